use crate::Invalid;
use http::{HeaderValue, header::InvalidHeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;

/// An API token. Its secret is shown once, when the token is made.
///
/// A token needs no ticket and no CSRF header. Its rights are the intersection of its own and of its
/// user's, unless it was made without privilege separation. It is never `root@pam`, so raw devices,
/// `args` and skipping locks stay refused.
#[derive(Clone)]
pub struct ApiToken {
    id: String,
    secret: SecretString,
}

impl ApiToken {
    /// Takes the token's full name, `user@realm!name`, and its secret; white space around the secret is dropped.
    ///
    /// # Errors
    /// If the name is of another form, or the secret is empty or not one word. The error does not hold the secret.
    pub fn new(id: &str, secret: impl Into<SecretString>) -> Result<Self, Invalid> {
        const NAME: &str = "user@realm!name";
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let parts =
            id.split_once('!').and_then(|(user, name)| Some((user.rsplit_once('@')?, name)));
        let is_name = parts.is_some_and(|((user, realm), name)| {
            is_word(user)
                && is_word(realm)
                && is_word(name)
                && name.len() >= 2
                && !name.contains(['=', '!'])
        });
        if !is_name {
            return Err(Invalid::new("API token", id, NAME));
        }
        let secret: SecretString = secret.into();
        let trimmed = secret.expose_secret().trim();
        if !is_word(trimmed) {
            return Err(Invalid::new("secret of the API token", "", "one word"));
        }
        Ok(Self { id: id.to_owned(), secret: SecretString::from(trimmed) })
    }

    /// The token's full name, `user@realm!name`: how tasks name who began them.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The value of `Authorization`, marked so that it is not shown.
    pub(crate) fn header(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let text = format!("PVEAPIToken={}={}", self.id, self.secret.expose_secret());
        let mut value = HeaderValue::from_str(&text)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiToken").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_never_shown() {
        let token = ApiToken::new("warren@pve!control", "hunter2\n".to_owned()).expect("a token");
        assert_eq!(token.id(), "warren@pve!control");
        let header = token.header().expect("a header");
        assert_eq!(header, "PVEAPIToken=warren@pve!control=hunter2");
        assert!(!format!("{token:?} {header:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_token_is_refused_without_its_secret() {
        for id in
            ["root@pam", "root!x", "root@pam!", "root@pam!a", "root@pam!a b", "root@pam!a=b", ""]
        {
            assert!(ApiToken::new(id, "s".to_owned()).is_err(), "{id}");
        }
        let error = ApiToken::new("warren@pve!control", "hunter2 hunter3".to_owned())
            .expect_err("two words");
        assert!(!format!("{error} {error:?}").contains("hunter"));
    }
}
