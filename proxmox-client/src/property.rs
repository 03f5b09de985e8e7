//! Property strings: `key=value` pairs joined by commas, which many options hold.
//!
//! Every builder takes checked parts, so what it writes is one that Proxmox VE can read.
//!
//! Source: pve-common, `PVE::JSONSchema::parse_property_string`; the formats of the public API schema.

mod drive;
mod hardware;
mod ip;
mod net;

pub use drive::{Drive, Slot};
pub use hardware::{Agent, Boot, CustomCloudInit, HostPci, Smbios};
pub use ip::{Ip4, Ip6, IpConfig};
pub use net::{Net, NetModel};

use std::{collections::BTreeMap, fmt};

/// What a property string that was read holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    first: Option<String>,
    named: BTreeMap<String, String>,
}

impl Fields {
    /// Reads a property string.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut fields = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((key, value)) => {
                    fields.named.insert(key.trim().to_owned(), value.to_owned());
                }
                None if fields.first.is_none() => fields.first = Some(part.to_owned()),
                None => {}
            }
        }
        fields
    }

    /// The part without a key: of a drive its volume, of an agent whether it is on.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.named.get(key).map(String::as_str)
    }

    /// All keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// Collects the parts of a property string. Whoever calls it has checked them.
#[derive(Debug, Default)]
struct Pairs(Vec<String>);

impl Pairs {
    fn word(&mut self, word: impl fmt::Display) {
        self.0.push(word.to_string());
    }

    fn pair(&mut self, key: &str, value: impl fmt::Display) {
        self.0.push(format!("{key}={value}"));
    }

    fn maybe(&mut self, key: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.pair(key, value);
        }
    }

    fn flag(&mut self, key: &str, value: Option<bool>) {
        self.maybe(key, value.map(u8::from));
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests;
