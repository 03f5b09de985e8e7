use super::Pairs;
use crate::{Bridge, Invalid, MacAddress};
use std::fmt;

/// What a network card looks like to the guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NetModel {
    /// Paravirtual, the fast one.
    #[default]
    Virtio,
    /// Intel's gigabit card, for guests without drivers.
    E1000,
    /// Another paravirtual card, `vmxnet3`.
    Vmxnet3,
}

/// A network card: the value of `net0` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net {
    model: NetModel,
    bridge: Bridge,
    mac: Option<MacAddress>,
    vlan: Option<u16>,
    mtu: Option<u16>,
    queues: Option<u8>,
    rate: Option<u32>,
    firewall: Option<bool>,
    link_down: Option<bool>,
}

impl Net {
    /// A card on a bridge or virtual network; the server chooses its hardware address.
    #[must_use]
    pub fn new(model: NetModel, bridge: Bridge) -> Self {
        Self {
            model,
            bridge,
            mac: None,
            vlan: None,
            mtu: None,
            queues: None,
            rate: None,
            firewall: None,
            link_down: None,
        }
    }

    /// With this hardware address.
    #[must_use]
    pub fn mac(mut self, mac: MacAddress) -> Self {
        self.mac = Some(mac);
        self
    }

    /// In this VLAN: 1 to 4094.
    ///
    /// # Errors
    /// If it is another number.
    pub fn vlan(mut self, tag: u16) -> Result<Self, Invalid> {
        self.vlan = Some(within("VLAN", tag, 1, 4094)?);
        Ok(self)
    }

    /// With packets of at most so many bytes: 576 to 65520, or 1 for what the bridge has.
    ///
    /// # Errors
    /// If it is another number.
    pub fn mtu(mut self, bytes: u16) -> Result<Self, Invalid> {
        self.mtu = Some(if bytes == 1 { 1 } else { within("MTU", bytes, 576, 65520)? });
        Ok(self)
    }

    /// With so many packet queues: 1 to 64.
    ///
    /// # Errors
    /// If it is another number.
    pub fn queues(mut self, count: u8) -> Result<Self, Invalid> {
        self.queues = Some(within("packet queues", count, 1, 64)?);
        Ok(self)
    }

    /// Limited to so many megabytes (10^6) each second.
    #[must_use]
    pub fn rate(mut self, megabytes_per_second: u32) -> Self {
        self.rate = Some(megabytes_per_second);
        self
    }

    /// Whether the firewall looks at it; it also has a switch in the datacenter.
    #[must_use]
    pub fn firewall(mut self, is_on: bool) -> Self {
        self.firewall = Some(is_on);
        self
    }

    /// Whether its cable is pulled.
    #[must_use]
    pub fn link_down(mut self, is_down: bool) -> Self {
        self.link_down = Some(is_down);
        self
    }
}

impl fmt::Display for NetModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Virtio => "virtio",
            Self::E1000 => "e1000",
            Self::Vmxnet3 => "vmxnet3",
        })
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = Pairs::default();
        match &self.mac {
            Some(mac) => pairs.pair(&self.model.to_string(), mac),
            None => pairs.word(self.model),
        }
        pairs.pair("bridge", &self.bridge);
        pairs.maybe("tag", self.vlan);
        pairs.maybe("mtu", self.mtu);
        pairs.maybe("queues", self.queues);
        pairs.maybe("rate", self.rate);
        pairs.flag("firewall", self.firewall);
        pairs.flag("link_down", self.link_down);
        pairs.write(f)
    }
}

fn within<T: Copy + PartialOrd + fmt::Display>(
    what: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<T, Invalid> {
    if least <= value && value <= most {
        Ok(value)
    } else {
        Err(Invalid::new(what, value, format!("{least} to {most}")))
    }
}
