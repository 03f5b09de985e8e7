use super::{Pairs, Slot};
use crate::{Invalid, VolumeId};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;

/// Whether the server talks to an agent inside the guest: the value of `agent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    is_enabled: bool,
    trims_clones: Option<bool>,
}

impl Agent {
    /// There is an agent.
    #[must_use]
    pub fn enabled() -> Self {
        Self { is_enabled: true, trims_clones: None }
    }

    /// There is none.
    #[must_use]
    pub fn disabled() -> Self {
        Self { is_enabled: false, trims_clones: None }
    }

    /// Whether the guest is told to trim its disks after they were copied.
    #[must_use]
    pub fn trims_clones(mut self, is_on: bool) -> Self {
        self.trims_clones = Some(is_on);
        self
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = Pairs::default();
        pairs.pair("enabled", u8::from(self.is_enabled));
        pairs.flag("fstrim_cloned_disks", self.trims_clones);
        pairs.write(f)
    }
}

/// What the machine says about itself: the value of `smbios1`. Texts go in base64, so they may be any.
///
/// Setting it replaces all of it: without [`Smbios::uuid`] the VM loses the identity that the
/// server gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Smbios {
    uuid: Option<String>,
    texts: Vec<(&'static str, String)>,
}

impl Smbios {
    /// Says nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The machine's identity, as `8-4-4-4-12` hexadecimal digits.
    ///
    /// # Errors
    /// If it is none.
    pub fn uuid(mut self, uuid: &str) -> Result<Self, Invalid> {
        let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
        let are_digits = uuid.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
        if groups != [8, 4, 4, 4, 12] || !are_digits {
            return Err(Invalid::new("UUID", uuid, "8-4-4-4-12 hexadecimal digits"));
        }
        self.uuid = Some(uuid.to_owned());
        Ok(self)
    }

    /// The serial number; cloud-init takes `ds=nocloud;s=URL` from it.
    #[must_use]
    pub fn serial(self, text: &str) -> Self {
        self.text("serial", text)
    }

    /// The maker.
    #[must_use]
    pub fn manufacturer(self, text: &str) -> Self {
        self.text("manufacturer", text)
    }

    /// The product.
    #[must_use]
    pub fn product(self, text: &str) -> Self {
        self.text("product", text)
    }

    /// The family.
    #[must_use]
    pub fn family(self, text: &str) -> Self {
        self.text("family", text)
    }

    fn text(mut self, key: &'static str, text: &str) -> Self {
        self.texts.retain(|(other, _)| *other != key);
        if !text.is_empty() {
            self.texts.push((key, STANDARD.encode(text)));
        }
        self
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let length = self.to_string().len();
        if (1..=512).contains(&length) {
            Ok(())
        } else {
            Err(Invalid::new("smbios1", format_args!("{length} characters"), "1 to 512 characters"))
        }
    }
}

impl fmt::Display for Smbios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = Pairs::default();
        pairs.maybe("uuid", self.uuid.as_ref());
        for (key, value) in &self.texts {
            pairs.pair(key, value);
        }
        if !self.texts.is_empty() {
            pairs.pair("base64", 1);
        }
        pairs.write(f)
    }
}

/// What the machine starts from, in order: the value of `boot`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boot(Vec<String>);

impl Boot {
    /// From this drive.
    #[must_use]
    pub fn drive(slot: Slot) -> Self {
        Self(vec![slot.to_string()])
    }

    /// Then from this drive.
    #[must_use]
    pub fn then_drive(mut self, slot: Slot) -> Self {
        self.0.push(slot.to_string());
        self
    }

    /// Then from the network by this card.
    #[must_use]
    pub fn then_net(mut self, index: u8) -> Self {
        self.0.push(format!("net{index}"));
        self
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order={}", self.0.join(";"))
    }
}

/// A device of the host by its mapping, the only way that a token may use: the value of `hostpci0` and
/// its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPci {
    mapping: String,
    pcie: Option<bool>,
    primary: Option<bool>,
}

impl HostPci {
    /// The device that the datacenter's mapping of this name stands for.
    ///
    /// # Errors
    /// If it cannot be the name of a mapping.
    pub fn mapping(name: &str) -> Result<Self, Invalid> {
        let is_name = name.len() >= 2
            && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if is_name {
            Ok(Self { mapping: name.to_owned(), pcie: None, primary: None })
        } else {
            Err(Invalid::new("mapping", name, "a letter, then letters, digits, '-' or '_'"))
        }
    }

    /// Whether it is a PCI Express device; needs the machine `q35`.
    #[must_use]
    pub fn pcie(mut self, is_on: bool) -> Self {
        self.pcie = Some(is_on);
        self
    }

    /// Whether it is the machine's first display.
    #[must_use]
    pub fn primary_display(mut self, is_on: bool) -> Self {
        self.primary = Some(is_on);
        self
    }
}

impl fmt::Display for HostPci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = Pairs::default();
        pairs.pair("mapping", &self.mapping);
        pairs.flag("pcie", self.pcie);
        pairs.flag("x-vga", self.primary);
        pairs.write(f)
    }
}

/// Files in place of what the server writes for cloud-init: the value of `cicustom`.
///
/// A file that is missing is told only when the VM starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomCloudInit(Vec<(&'static str, VolumeId)>);

impl CustomCloudInit {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// In place of the user data.
    #[must_use]
    pub fn user(self, snippet: VolumeId) -> Self {
        self.file("user", snippet)
    }

    /// Beside the user data.
    #[must_use]
    pub fn vendor(self, snippet: VolumeId) -> Self {
        self.file("vendor", snippet)
    }

    /// In place of the meta data.
    #[must_use]
    pub fn meta(self, snippet: VolumeId) -> Self {
        self.file("meta", snippet)
    }

    /// In place of the network configuration.
    #[must_use]
    pub fn network(self, snippet: VolumeId) -> Self {
        self.file("network", snippet)
    }

    fn file(mut self, key: &'static str, snippet: VolumeId) -> Self {
        self.0.retain(|(other, _)| *other != key);
        self.0.push((key, snippet));
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for CustomCloudInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = Pairs::default();
        for (key, snippet) in &self.0 {
            pairs.pair(key, snippet);
        }
        pairs.write(f)
    }
}
