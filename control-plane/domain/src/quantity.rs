use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount as Kubernetes writes it, exact to a thousandth: `2`, `250m`, `1.5Gi`, `1G`.
///
/// Source: Kubernetes API machinery, resource.Quantity; exponents (`1e3`) and suffixes below a
/// thousandth (`u`, `n`) are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    thousandths: u128,
}

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

impl Quantity {
    /// Reads a quantity; nothing if it is none or not a whole number of thousandths.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        /// Suffixes and how many thousandths one of each is; longer suffixes first.
        const UNITS: [(&str, u128); 14] = [
            ("Ki", 1000 << 10),
            ("Mi", 1000 << 20),
            ("Gi", 1000 << 30),
            ("Ti", 1000 << 40),
            ("Pi", 1000 << 50),
            ("Ei", 1000 << 60),
            ("m", 1),
            ("k", 10_u128.pow(6)),
            ("M", 10_u128.pow(9)),
            ("G", 10_u128.pow(12)),
            ("T", 10_u128.pow(15)),
            ("P", 10_u128.pow(18)),
            ("E", 10_u128.pow(21)),
            ("", 1000),
        ];
        let (number, unit) =
            UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        // As a whole number of the fraction's last place, and how many of those make one.
        let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
        let places = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let scaled = digits.checked_mul(unit)?;
        scaled.is_multiple_of(places).then(|| Self { thousandths: scaled / places })
    }
}

impl Millicores {
    /// Reads a Kubernetes quantity of CPU, e.g. `2`, `0.5` or `250m`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Quantity { thousandths } = Quantity::parse(text)?;
        u64::try_from(thousandths).ok().map(Self)
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

    /// Without what nobody wants to read: whole gibibytes, or mebibytes if it is less than one.
    #[must_use]
    pub const fn rounded(self) -> Self {
        let shift = if self.0 < 1 << 30 { 20 } else { 30 };
        Self(self.0 >> shift << shift)
    }

    /// Reads a Kubernetes quantity of bytes, e.g. `512Mi`, `2Gi`, `1.5Gi`, `1G` or `4096`; a part of
    /// a byte is a whole one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Quantity { thousandths } = Quantity::parse(text)?;
        u64::try_from(thousandths.div_ceil(1000)).ok().map(Self)
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
        for text in ["", "-1", "x", "1.2345", "Gi", "1e3x", "99999999999999999999Gi", ".5", "1m5"] {
            assert_eq!(Bytes::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_same_amount_is_the_same_however_it_is_written() {
        for (left, right) in [
            ("1000m", "1"),
            ("1Gi", "1024Mi"),
            ("0.0625Gi", "64Mi"),
            ("1.5G", "1500M"),
            ("1Ei", "1024Pi"),
            ("0", "0Mi"),
        ] {
            assert_eq!(Quantity::parse(left), Quantity::parse(right), "{left} {right}");
            assert!(Quantity::parse(left).is_some(), "{left}");
        }
        for (less, more) in [("999m", "1"), ("1k", "1Ki"), ("1499m", "1.5"), ("1E", "1Ei")] {
            assert!(Quantity::parse(less) < Quantity::parse(more), "{less} {more}");
        }
        // A part of a byte is a whole byte, and yet not the same.
        assert_eq!(Bytes::parse("1500m"), Bytes::parse("2"));
        assert_ne!(Quantity::parse("1500m"), Quantity::parse("2"));
    }

    proptest! {
        #[test]
        fn a_quantity_survives_its_text(amount in 0..u64::MAX >> 10) {
            prop_assert_eq!(Bytes::parse(&Bytes(amount).to_string()), Some(Bytes(amount)));
            prop_assert_eq!(Millicores::parse(&Millicores(amount).to_string()), Some(Millicores(amount)));
        }
    }
}
