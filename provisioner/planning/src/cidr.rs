//! Blocks of addresses.

use std::{fmt, net::IpAddr, str::FromStr};

/// A block of addresses, e.g. `10.77.0.0/24`; host bits are always zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// A text that is not a block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseCidrError;

impl fmt::Display for ParseCidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an address, '/' and a prefix length of at least 1, e.g. 10.77.0.0/24")
    }
}

impl std::error::Error for ParseCidrError {}

impl Cidr {
    /// The block with this one address.
    #[must_use]
    pub const fn single(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether it is a block of IPv4.
    #[must_use]
    pub const fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether `address` is in the block.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && masked(address, self.prefix) == self.address
    }
}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let (address, prefix) = text.split_once('/').ok_or(ParseCidrError)?;
        let address: IpAddr = address.parse().map_err(|_| ParseCidrError)?;
        let prefix: u8 = prefix.parse().map_err(|_| ParseCidrError)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if (1..=longest).contains(&prefix) {
            Ok(Self { address: masked(address, prefix), prefix })
        } else {
            Err(ParseCidrError)
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// `address` with everything behind the first `prefix` bits set to zero; `prefix` is at least 1.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            IpAddr::V4((v4.to_bits() & (u32::MAX << (32 - u32::from(prefix)))).into())
        }
        IpAddr::V6(v6) => {
            IpAddr::V6((v6.to_bits() & (u128::MAX << (128 - u32::from(prefix)))).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_written_without_host_bits_and_knows_its_addresses() {
        let block: Cidr = "10.77.0.20/24".parse().expect("a block");
        assert_eq!(block.to_string(), "10.77.0.0/24");
        assert!(block.contains("10.77.0.255".parse().expect("an address")));
        assert!(!block.contains("10.77.1.0".parse().expect("an address")));
        assert_eq!("fd00::1/8".parse::<Cidr>().map(|b| b.to_string()), Ok("fd00::/8".to_owned()));
        assert_eq!(Cidr::single("1.2.3.4".parse().expect("an address")).to_string(), "1.2.3.4/32");
    }

    #[test]
    fn what_would_mean_every_address_is_refused() {
        for text in ["0.0.0.0/0", "::/0", "10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1", ""] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
