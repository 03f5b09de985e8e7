//! What is made of passwords, and how they are looked at: with Argon2id, away from the threads that answer requests, and
//! only so many at a time.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use domain::Invalid;
use secrecy::{ExposeSecret as _, SecretString};
use std::{error::Error, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Each takes 19 MiB for as long as it lasts: the parameters of [`Argon2::default`], which are those of OWASP's
/// Password Storage Cheat Sheet (m = 19456, t = 2, p = 1).
static AT_ONCE: Semaphore = Semaphore::const_new(4);
/// How long somebody waits for their turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a password was not looked at; it is nobody's fault who typed one.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many others wait.
    #[error("too many passwords are to be looked at")]
    Busy,
    /// Something that trying again does not repair.
    #[error("hash a password")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

/// The right to work on a password: there are only so many. Whoever counts wrong ones holds it from the look at the
/// count to the new one, so that nobody guesses faster by asking many times at once.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: SemaphorePermit<'static>,
}

/// Checks a password that somebody chooses.
pub(crate) fn check(field: &str, password: &SecretString) -> Result<(), Invalid> {
    // Its value is never shown, not even to whoever typed it.
    let length = password.expose_secret().chars().count();
    if (12..=256).contains(&length) {
        return Ok(());
    }
    let rule = "12 to 256 characters of any kind; several words are easy to remember";
    Err(Invalid::field(field, format!("({length} characters)"), rule))
}

impl Turn {
    pub(crate) async fn take() -> Result<Self, HashError> {
        let permit = timeout(PATIENCE, AT_ONCE.acquire()).await.map_err(|_| HashError::Busy)?;
        permit
            .map(|permit| Self { _permit: permit })
            .map_err(|error| HashError::Broken(error.into()))
    }

    /// What is stored of a password: a PHC string.
    pub(crate) async fn hash(
        &self,
        password: &SecretString,
        salt: [u8; 32],
    ) -> Result<SecretString, HashError> {
        let password = password.clone();
        away(move || {
            let password = password.expose_secret().as_bytes();
            let hash: Result<PasswordHash, _> =
                Argon2::default().hash_password_with_salt(password, &salt[..16]);
            let hash = hash.map_err(|error| HashError::Broken(error.to_string().into()))?;
            Ok(SecretString::from(hash.to_string()))
        })
        .await?
    }

    /// Whether a password is the one that something was made of. Without such a thing it takes as long, and is not.
    pub(crate) async fn is_right(
        &self,
        password: &SecretString,
        stored: Option<&SecretString>,
    ) -> Result<bool, HashError> {
        /// Of a password that nobody knows; its parameters are those of [`Turn::hash`].
        const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                               AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let (password, is_somebodys) = (password.clone(), stored.is_some());
        let stored = stored.cloned().unwrap_or_else(|| SecretString::from(NOBODYS));
        away(move || {
            let stored = PasswordHash::new(stored.expose_secret())
                .map_err(|error| HashError::Broken(error.to_string().into()))?;
            let password = password.expose_secret().as_bytes();
            Ok(Argon2::default().verify_password(password, &stored).is_ok() && is_somebodys)
        })
        .await?
    }
}

async fn away<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HashError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| HashError::Broken(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let password = SecretString::from("correct horse battery staple");
        let turn = Turn::take().await.expect("nobody else waits");
        let stored = turn.hash(&password, [7; 32]).await.expect("hashed");
        assert!(stored.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(turn.is_right(&password, Some(&stored)).await.expect("looked at"));
        let wrong = SecretString::from("correct horse battery stapl");
        assert!(!turn.is_right(&wrong, Some(&stored)).await.expect("looked at"));
        assert!(!turn.is_right(&password, None).await.expect("looked at"));
    }
}
