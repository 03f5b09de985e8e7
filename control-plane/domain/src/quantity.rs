use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount of CPU in thousandths of a core.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millicores(pub u64);

/// An amount of memory or storage in bytes.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Millicores {
    /// Reads a Kubernetes quantity of CPU, e.g. `2`, `0.5` or `250m`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        thousandths(text).map(Self)
    }
}

impl fmt::Display for Millicores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            write!(f, "{}", self.0 / 1000)
        } else {
            write!(f, "{}m", self.0)
        }
    }
}

impl Bytes {
    /// `count` mebibytes.
    #[must_use]
    pub const fn mebi(count: u64) -> Self {
        Self(count << 20)
    }

    /// `count` gibibytes.
    #[must_use]
    pub const fn gibi(count: u64) -> Self {
        Self(count << 30)
    }

    /// Reads a Kubernetes quantity of bytes, e.g. `512Mi`, `2Gi`, `1.5Gi`, `1G` or `4096`.
    ///
    /// Source: Kubernetes API machinery, resource.Quantity.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const UNITS: [(&str, u64); 12] = [
            ("Ki", 1 << 10),
            ("Mi", 1 << 20),
            ("Gi", 1 << 30),
            ("Ti", 1 << 40),
            ("Pi", 1 << 50),
            ("k", 1_000),
            ("M", 1_000_000),
            ("G", 1_000_000_000),
            ("T", 1_000_000_000_000),
            ("P", 1_000_000_000_000_000),
            ("m", 0),
            ("", 1),
        ];
        let (number, unit) = UNITS
            .iter()
            .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, *unit)))?;
        if unit == 0 {
            return number.parse::<u64>().ok().map(|thousandths| Self(thousandths.div_ceil(1000)));
        }
        let thousandths = u128::from(thousandths_of_number(number)?);
        u64::try_from((thousandths * u128::from(unit)).div_ceil(1000)).ok().map(Self)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

fn thousandths(text: &str) -> Option<u64> {
    match text.strip_suffix('m') {
        Some(number) => number.parse().ok(),
        None => thousandths_of_number(text),
    }
}

fn thousandths_of_number(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty()
        || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
        || fraction.len() > 3
    {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, expected) in [("2", 2000), ("0.5", 500), ("250m", 250), ("0", 0)] {
            assert_eq!(Millicores::parse(text), Some(Millicores(expected)), "{text}");
        }
        for (text, expected) in
            [("512Mi", 512 << 20), ("1.5Gi", 3 << 29), ("1k", 1000), ("7", 7), ("1500m", 2)]
        {
            assert_eq!(Bytes::parse(text), Some(Bytes(expected)), "{text}");
        }
        for text in ["", "-1", "x", "1.2345", "Gi", "1e3x", "99999999999999999999Gi"] {
            assert_eq!(Bytes::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_quantity_survives_its_text(amount in 0..u64::MAX >> 10) {
            prop_assert_eq!(Bytes::parse(&Bytes(amount).to_string()), Some(Bytes(amount)));
            prop_assert_eq!(Millicores::parse(&Millicores(amount).to_string()), Some(Millicores(amount)));
        }
    }
}
