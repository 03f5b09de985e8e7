//! A VM's configuration: what it says, and what it is to say.

mod change;

pub use change::ConfigChange;

use crate::{
    Fields, MacAddress, Slot, Tags,
    scalar::{self, Scalar},
};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt};

/// What a VM's configuration says. Every value as the text that a form would carry.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(from = "BTreeMap<String, Option<Scalar>>")]
pub struct VmConfig(BTreeMap<String, String>);

/// An option whose change waits for a restart. Values are not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct PendingOption {
    /// Its name.
    #[serde(deserialize_with = "scalar::text")]
    pub key: String,
    /// What holds now.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub value: Option<String>,
    /// What will hold.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub pending: Option<String>,
    #[serde(default, deserialize_with = "scalar::maybe_whole")]
    delete: Option<u64>,
}

impl fmt::Debug for PendingOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PendingOption").field(&self.key).finish()
    }
}

impl PendingOption {
    /// Whether it will be taken away.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.delete.is_some_and(|delete| delete != 0)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.pending.is_some() || self.is_removed()
    }
}

impl From<BTreeMap<String, Option<Scalar>>> for VmConfig {
    fn from(answer: BTreeMap<String, Option<Scalar>>) -> Self {
        let text = |(key, value): (String, Option<Scalar>)| Some((key, value?.to_string()));
        Self(answer.into_iter().filter_map(text).collect())
    }
}

/// Only the keys: among the values are passwords' stars and keys.
impl fmt::Debug for VmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl VmConfig {
    /// One option as text.
    #[must_use]
    pub fn get(&self, option: &str) -> Option<&str> {
        self.0.get(option).map(String::as_str)
    }

    /// All options.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Marks this state of the configuration: see [`ConfigChange::only_if`].
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.get("digest")
    }

    /// Its description, with the line feed that the server adds.
    #[must_use]
    pub fn description(&self) -> &str {
        self.get("description").unwrap_or_default()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.get("name")
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> Tags {
        Tags::read(self.get("tags").unwrap_or_default())
    }

    /// What locks it.
    #[must_use]
    pub fn lock(&self) -> Option<&str> {
        self.get("lock")
    }

    /// Whether it is a template.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.get("template") == Some("1")
    }

    /// Whether it may not be removed.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.get("protection") == Some("1")
    }

    /// A network card.
    #[must_use]
    pub fn net(&self, index: u8) -> Option<Fields> {
        self.get(&format!("net{index}")).map(Fields::read)
    }

    /// The hardware address of a network card, by which the guest's addresses are told apart.
    #[must_use]
    pub fn mac(&self, index: u8) -> Option<MacAddress> {
        let net = self.net(index)?;
        net.iter().find_map(|(_, value)| MacAddress::new(value.to_ascii_uppercase()).ok())
    }

    /// What is plugged into a slot.
    #[must_use]
    pub fn drive(&self, slot: Slot) -> Option<Fields> {
        self.get(&slot.to_string()).map(Fields::read)
    }

    /// Everything that is plugged in.
    pub fn drives(&self) -> impl Iterator<Item = (Slot, Fields)> {
        self.0.iter().filter_map(|(key, value)| Some((key.parse().ok()?, Fields::read(value))))
    }
}

#[cfg(test)]
mod tests;
