use super::Pairs;
use ipnet::{Ipv4Net, Ipv6Net};
use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// How a guest gets its IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ip4 {
    /// By DHCP.
    Dhcp,
    /// This one.
    Static {
        /// The address with the length of its prefix.
        address: Ipv4Net,
        /// Where everything else is sent to.
        gateway: Option<Ipv4Addr>,
    },
}

/// How a guest gets its IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ip6 {
    /// From router advertisements.
    Auto,
    /// By DHCP as well.
    Dhcp,
    /// This one.
    Static {
        /// The address with the length of its prefix.
        address: Ipv6Net,
        /// Where everything else is sent to.
        gateway: Option<Ipv6Addr>,
    },
}

/// The addresses of one network card by cloud-init: the value of `ipconfig0` and its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpConfig {
    v4: Option<Ip4>,
    v6: Option<Ip6>,
}

impl IpConfig {
    /// An IPv4 address.
    #[must_use]
    pub fn v4(address: Ip4) -> Self {
        Self { v4: Some(address), v6: None }
    }

    /// An IPv6 address.
    #[must_use]
    pub fn v6(address: Ip6) -> Self {
        Self { v4: None, v6: Some(address) }
    }

    /// Both.
    #[must_use]
    pub fn both(v4: Ip4, v6: Ip6) -> Self {
        Self { v4: Some(v4), v6: Some(v6) }
    }
}

impl fmt::Display for IpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = Pairs::default();
        match self.v4 {
            None => {}
            Some(Ip4::Dhcp) => pairs.pair("ip", "dhcp"),
            Some(Ip4::Static { address, gateway }) => {
                pairs.pair("ip", address);
                pairs.maybe("gw", gateway);
            }
        }
        match self.v6 {
            None => {}
            Some(Ip6::Auto) => pairs.pair("ip6", "auto"),
            Some(Ip6::Dhcp) => pairs.pair("ip6", "dhcp"),
            Some(Ip6::Static { address, gateway }) => {
                pairs.pair("ip6", address);
                pairs.maybe("gw6", gateway);
            }
        }
        pairs.write(f)
    }
}
