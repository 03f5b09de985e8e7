//! Names and numbers as Proxmox VE accepts them.
//!
//! Source of the rules: the formats of the public API schema (`pve-node`, `pve-storage-id`,
//! `pve-poolid`, `pve-configid`, `dns-name`, `pve-tag`, `mac-addr`, `pve-vmid`).

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet, fmt, str::FromStr};

/// A value that Proxmox VE would refuse; nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?}: expected {rule}")]
pub struct Invalid {
    /// What the value was meant to be.
    pub what: &'static str,
    /// The value; empty if it is secret.
    pub value: String,
    /// What is accepted.
    pub rule: Cow<'static, str>,
}

impl Invalid {
    pub(crate) fn new(
        what: &'static str,
        value: impl fmt::Display,
        rule: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { what, value: value.to_string(), rule: rule.into() }
    }
}

/// The number of a VM, unique in its cluster: 100 to 999,999,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct VmId(u32);

impl VmId {
    /// Checks a number.
    ///
    /// # Errors
    /// If it is below 100 or above 999,999,999.
    pub fn new(number: u32) -> Result<Self, Invalid> {
        if (100..=999_999_999).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Invalid::new("VM id", number, "a number from 100 to 999999999"))
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for VmId {
    type Error = Invalid;

    fn try_from(number: u32) -> Result<Self, Invalid> {
        Self::new(number)
    }
}

impl From<VmId> for u32 {
    fn from(id: VmId) -> Self {
        id.0
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VmId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text.parse().map_err(|_| Invalid::new("VM id", text, "a number"))?;
        Self::new(number)
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks a text.
            ///
            /// # Errors
            /// If Proxmox VE would refuse it.
            pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
                let text = text.into();
                let is_valid: fn(&str) -> bool = $is_valid;
                if is_valid(&text) { Ok(Self(text)) } else { Err(Invalid::new($what, text, $rule)) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

text!(
    /// A node as the cluster calls it: one DNS label, never its full domain name.
    NodeName,
    "node name",
    "one DNS label, as `pvecm nodes` shows it: letters, digits and '-', no dot",
    is_label
);
text!(
    /// A storage of the cluster.
    StorageId,
    "storage id",
    "two or more of: letters, digits, '-', '_', '.'; a letter first, a letter or digit last",
    |text| {
        let bytes = text.as_bytes();
        (2..=100).contains(&bytes.len())
            && bytes[0].is_ascii_alphabetic()
            && bytes[bytes.len() - 1].is_ascii_alphanumeric()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    }
);
text!(
    /// A pool; from 8.1 on pools nest, at most three deep: `a/b/c`.
    PoolId,
    "pool id",
    "one to three parts of letters, digits, '-', '_' and '.', joined by '/'",
    |text| {
        let parts: Vec<&str> = text.split('/').collect();
        let is_part = |part: &&str| {
            !part.is_empty()
                && *part != "."
                && *part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        parts.len() <= 3 && parts.iter().all(is_part)
    }
);
text!(
    /// What a VM is called: a DNS name, no underscore.
    VmName,
    "VM name",
    "DNS labels joined by '.': letters, digits and '-'",
    |text| text.len() <= 253 && text.split('.').all(is_label)
);
text!(
    /// A snapshot; `current` is the VM itself and therefore none.
    SnapshotName,
    "snapshot name",
    "2 to 40 of: letters, digits, '-', '_'; a letter first; not 'current'",
    |text| {
        let bytes = text.as_bytes();
        (2..=40).contains(&bytes.len())
            && bytes[0].is_ascii_alphabetic()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
            && !text.eq_ignore_ascii_case("current")
    }
);
text!(
    /// One tag. Only lower case, since Proxmox VE folds case unless it was told not to.
    Tag,
    "tag",
    "a-z, 0-9, '_', and not first '-', '+', '.'",
    |text| {
        let is_first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        text.len() <= 124
            && text.bytes().next().is_some_and(is_first)
            && text.bytes().all(|b| is_first(b) || b"-+.".contains(&b))
    }
);
text!(
    /// A bridge or a virtual network.
    Bridge,
    "bridge",
    "1 to 15 letters, digits, '-', '_' or '.'",
    |text| {
        (1..=15).contains(&text.len())
            && text != "."
            && text != ".."
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    }
);
text!(
    /// The name of a file to upload, e.g. `seed-120.iso`.
    FileName,
    "file name",
    "1 to 255 letters, digits, '-', '_' or '.', not starting with '.'",
    |text| {
        (1..=255).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    }
);
text!(
    /// A volume: its storage, a colon and what the storage calls it, e.g. `local:iso/seed-120.iso`.
    VolumeId,
    "volume id",
    "STORAGE:NAME without spaces, commas or '..'",
    |text| {
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.contains("..")
                && name.bytes().all(|b| b.is_ascii_graphic() && b != b',')
        };
        text.split_once(':').is_some_and(|(storage, name)| StorageId::new(storage).is_ok() && is_name(name))
    }
);
text!(
    /// A hardware address of one card, as `BC:24:11:00:00:01`.
    MacAddress,
    "hardware address",
    "six pairs of upper-case hexadecimal digits with colons, the first pair even",
    |text| {
        let pairs: Vec<&str> = text.split(':').collect();
        let is_pair = |pair: &&str| {
            pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
        };
        // An odd first byte is a group of cards (IEEE 802).
        let is_one_card = |pair: &str| u8::from_str_radix(pair, 16).is_ok_and(|byte| byte % 2 == 0);
        pairs.len() == 6 && pairs.iter().all(is_pair) && is_one_card(pairs[0])
    }
);

impl VolumeId {
    /// The storage that the volume lies on.
    #[must_use]
    pub fn storage(&self) -> &str {
        self.0.split_once(':').map_or(self.0.as_str(), |(storage, _)| storage)
    }
}

/// A set of tags, in the order in which the server answers them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(BTreeSet<Tag>);

impl Tags {
    /// Reads what the server answers; what is not a [`Tag`] is left out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let words = text.split([';', ',', ' ']);
        Self(words.filter_map(|word| Tag::new(word.to_ascii_lowercase()).ok()).collect())
    }

    /// Whether the tag is one of them.
    #[must_use]
    pub fn contains(&self, tag: &Tag) -> bool {
        self.0.contains(tag)
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter()
    }
}

impl FromIterator<Tag> for Tags {
    fn from_iter<I: IntoIterator<Item = Tag>>(tags: I) -> Self {
        Self(tags.into_iter().collect())
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(Tag::as_str).collect();
        f.write_str(&words.join(";"))
    }
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

#[cfg(test)]
mod tests;
