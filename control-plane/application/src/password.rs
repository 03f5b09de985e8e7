//! What is made of passwords, and how they are looked at: with Argon2id, away from the threads that answer requests, and
//! only so many at a time.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use domain::Invalid;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

/// Each takes 19 MiB for as long as it lasts: the parameters of [`Argon2::default`], which are those of OWASP's
/// Password Storage Cheat Sheet (m = 19456, t = 2, p = 1).
static AT_ONCE: Semaphore = Semaphore::const_new(4);

/// Something went wrong that is nobody's fault but ours.
#[derive(Debug, thiserror::Error)]
#[error("hash a password")]
pub struct HashError(#[source] Box<dyn std::error::Error + Send + Sync>);

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

/// What is stored of a password: a PHC string.
pub(crate) async fn hash(
    password: &SecretString,
    salt: [u8; 32],
) -> Result<SecretString, HashError> {
    let password = password.clone();
    away(move || {
        let salt = &salt[..16];
        let hash: Result<PasswordHash, _> =
            Argon2::default().hash_password_with_salt(password.expose_secret().as_bytes(), salt);
        let hash = hash.map_err(|error| HashError(error.to_string().into()))?;
        Ok(SecretString::from(hash.to_string()))
    })
    .await?
}

/// Whether a password is the one that something was made of. Without such a thing it takes as long, and is not.
pub(crate) async fn is_right(
    password: &SecretString,
    stored: Option<&SecretString>,
) -> Result<bool, HashError> {
    /// Of a password that nobody knows; its parameters are those of [`hash`].
    const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                           AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let (password, is_somebodys) = (password.clone(), stored.is_some());
    let stored = stored.cloned().unwrap_or_else(|| SecretString::from(NOBODYS));
    away(move || {
        let stored = PasswordHash::new(stored.expose_secret())
            .map_err(|error| HashError(error.to_string().into()))?;
        let password = password.expose_secret().as_bytes();
        Ok(Argon2::default().verify_password(password, &stored).is_ok() && is_somebodys)
    })
    .await?
}

async fn away<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HashError> {
    let _turn = AT_ONCE.acquire().await.map_err(|error| HashError(error.into()))?;
    tokio::task::spawn_blocking(work).await.map_err(|error| HashError(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let password = SecretString::from("correct horse battery staple");
        let stored = hash(&password, [7; 32]).await.expect("hashed");
        assert!(stored.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(is_right(&password, Some(&stored)).await.expect("looked at"));
        let wrong = SecretString::from("correct horse battery stapl");
        assert!(!is_right(&wrong, Some(&stored)).await.expect("looked at"));
        assert!(!is_right(&password, None).await.expect("looked at"));
    }
}
