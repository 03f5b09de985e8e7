//! Which release answers, and what depends on it.

use crate::Invalid;
use std::{fmt, str::FromStr};

/// A release of Proxmox VE, e.g. `8.4.5` or `7.4-17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 7, 8 or 9.
    pub major: u16,
    /// The release within the major one.
    pub minor: u16,
    /// The package's own count; 0 if it was not said.
    pub patch: u16,
}

impl Version {
    /// Bridges have a right of their own, a first-boot upgrade can be turned off, a guest's command is
    /// a list, and a resize is a task.
    pub const V8_0: Self = Self::new(8, 0);
    /// Pools nest, and are changed by a query.
    pub const V8_1: Self = Self::new(8, 1);
    /// A stop can end a shutdown that is under way.
    pub const V8_2: Self = Self::new(8, 2);
    /// The guest agent has rights of its own, and the monitor's right is gone.
    pub const V9_0: Self = Self::new(9, 0);

    /// A release without its package's count.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor, patch: 0 }
    }
}

impl FromStr for Version {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("version", text, "MAJOR.MINOR, then '.' or '-' and a count");
        let mut numbers = text.split(['.', '-', '~', '+']);
        let mut number = || numbers.next().and_then(|part| part.parse::<u16>().ok());
        let (major, minor) = (number().ok_or_else(invalid)?, number().ok_or_else(invalid)?);
        Ok(Self { major, minor, patch: number().unwrap_or(0) })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch } = self;
        if *patch == 0 {
            write!(f, "{major}.{minor}")
        } else {
            write!(f, "{major}.{minor}.{patch}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered() {
        let read = |text: &str| text.parse::<Version>().expect(text);
        assert_eq!(read("7.4-17"), Version { major: 7, minor: 4, patch: 17 });
        assert_eq!(read("9.0.0~10"), Version::new(9, 0));
        assert_eq!(read("9.2"), Version::new(9, 2));
        assert!(read("8.0.2") > Version::V8_0 && read("8.10.1") > Version::V8_2);
        assert!(read("7.4-17") < Version::V8_0);
        for text in ["", "9", "a.b", "9.x"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
