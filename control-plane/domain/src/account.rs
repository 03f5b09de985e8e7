use crate::{AccountId, Invalid, InviteId, OrganisationId, OrganisationName, Role, SignInId};
use jiff::Timestamp;
use std::fmt;

/// How a person is known: an address of mail in small letters, unique among accounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Their identifier.
    pub id: AccountId,
    /// What they sign in with.
    pub email: Email,
    /// What others call them.
    pub name: String,
    /// Since when.
    pub created_at: Timestamp,
}

/// Several people and the tenants that are theirs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    /// Its identifier.
    pub id: OrganisationId,
    /// What people call it; unique.
    pub name: OrganisationName,
    /// How many tenants it may have at a time.
    pub max_tenants: u32,
    /// Since when.
    pub created_at: Timestamp,
}

/// A person in an organisation, or one who runs the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub account: Account,
    /// What they may be there.
    pub role: Role,
    /// Since when.
    pub since: Timestamp,
}

/// A way in for somebody who is not there yet. The secret that opens it is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its identifier.
    pub id: InviteId,
    /// Whereto; nothing for the platform.
    pub organisation: Option<OrganisationId>,
    /// What they will be there.
    pub role: Role,
    /// For whom, in the words of whoever invited them.
    pub note: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing.
    pub expires_at: Timestamp,
}

/// A browser in which somebody is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Its identifier.
    pub id: SignInId,
    /// What the browser called itself.
    pub device: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was last used, within some minutes.
    pub last_used_at: Timestamp,
    /// From when on it is over, however much it is used.
    pub expires_at: Timestamp,
}

impl Email {
    /// Checks an address, and writes it in small letters.
    ///
    /// # Errors
    /// If it does not look like an address: whether it is one, only a letter to it could tell.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        const RULE: &str = "an address of mail, e.g. anna@example.com, at most 254 characters";
        let text = text.trim().to_lowercase();
        let is_plain = text.chars().all(|each| !each.is_whitespace() && !each.is_control());
        let is_split = text.split_once('@').is_some_and(|(person, place)| {
            !person.is_empty() && !place.is_empty() && !place.contains('@')
        });
        if text.len() <= 254 && is_plain && is_split {
            Ok(Self(text))
        } else {
            Err(Invalid::field(field, text, RULE))
        }
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks what others will call somebody.
///
/// # Errors
/// If it is empty, long, or has control characters.
pub fn person_name(field: &str, text: &str) -> Result<String, Invalid> {
    let text = text.trim();
    let is_plain = text.chars().all(|each| !each.is_control());
    if (1..=80).contains(&text.chars().count()) && is_plain {
        Ok(text.to_owned())
    } else {
        Err(Invalid::field(field, text, "1 to 80 characters without control characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_whatever_its_capitals() {
        let anna = Email::parse("/email", " Anna@Example.COM ").expect("an address");
        assert_eq!(anna.as_str(), "anna@example.com");
        for text in ["", "anna", "@example.com", "anna@", "a@b@c", "an na@example.com"] {
            assert!(Email::parse("/email", text).is_err(), "{text}");
        }
    }
}
