use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// What ties an entry of the audit log to all entries before it: the SHA-256 of the seal before, 32 bytes, and the
/// entry's text. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seal([u8; 32]);

/// A text or bytes that are no seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hexadecimal digits")]
pub struct ParseSealError;

impl Seal {
    /// What stands before the first entry.
    pub const BEFORE_ALL: Self = Self([0; 32]);

    /// The seal of the entry that follows.
    #[must_use]
    pub fn then(self, entry: &str) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(entry).finalize().into())
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl TryFrom<Vec<u8>> for Seal {
    type Error = ParseSealError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, ParseSealError> {
        bytes.try_into().map(Self).map_err(|_| ParseSealError)
    }
}

impl FromStr for Seal {
    type Err = ParseSealError;

    fn from_str(text: &str) -> Result<Self, ParseSealError> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ParseSealError);
        }
        hex::decode(text).map_err(|_| ParseSealError)?.try_into()
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_the_sha256_of_the_one_before_and_the_text() {
        let first = Seal::BEFORE_ALL.then("a");
        // (head -c 32 /dev/zero; printf a) | sha256sum
        let expected = "41a0370c3d9f42773a59e8e01651911cf43b1e3f66944cbb690029debc4eb647";
        assert_eq!(first.to_string(), expected);
        assert_eq!(expected.parse(), Ok(first));
        assert_ne!(first.then("a"), first);
    }

    #[test]
    fn what_is_no_seal_is_refused() {
        for text in ["", "00", &"g".repeat(64), &"A".repeat(64), &"0".repeat(66)] {
            assert_eq!(text.parse::<Seal>(), Err(ParseSealError), "{text:?}");
        }
    }
}
