//! People: how they sign in and out, and what is theirs alone.

use crate::{
    App,
    error::{FindError, Noun},
    password::{self, HashError, Turn},
    wait::Listener,
};
use domain::{Email, Invalid, SignIn, SignInId};
use jiff::SignedDuration;
use secrecy::SecretString;
use store::{Change, Failures, StoreError};

pub use store::{NewSignIn, SignedIn};

/// How long somebody stays signed in at most, however much they use it.
const VALID: SignedDuration = SignedDuration::from_hours(30 * 24);
/// So many wrong passwords cost nothing.
const FREE: u32 = 5;
/// The longest that somebody waits after a wrong one. No longer, for anybody can let anybody else wait.
const LONGEST: SignedDuration = SignedDuration::from_secs(60);
/// The most characters that are kept of what a browser calls itself.
const DEVICE: usize = 200;

/// Why somebody did not get in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// There is no such account, or it is another password: the same answer.
    #[error("the address or the password is wrong")]
    Wrong,
    /// There were too many wrong ones just now.
    #[error("too many attempts; again in {wait:#}")]
    TooOften {
        /// How long nobody gets in.
        wait: SignedDuration,
    },
    /// The password could not be looked at.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The record did not answer.
    #[error("read the record")]
    Store(#[from] StoreError),
}

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The new one breaks a rule.
    #[error("{0}")]
    Invalid(Invalid),
    /// The old one is not right.
    #[error(transparent)]
    SignIn(#[from] SignInError),
}

/// Signs somebody in.
///
/// # Errors
/// `Wrong`, without saying what; `TooOften` after several wrong ones, for an address without an account, too.
pub async fn sign_in(
    app: &App,
    email: &str,
    password: &SecretString,
    device: &str,
    request_id: &str,
) -> Result<NewSignIn, SignInError> {
    let email = Email::parse("/email", email).map_err(|_| SignInError::Wrong)?;
    let account = proven(app, &email, password, request_id).await?;
    let device: String = device.chars().filter(|each| !each.is_control()).take(DEVICE).collect();
    Ok(app.store.sign_in_create(&account, &device, VALID, request_id).await?)
}

/// Who shows this secret; nobody if it is over.
///
/// # Errors
/// If the record does not answer.
pub async fn signed_in(
    app: &App,
    secret: &str,
    request_id: String,
) -> Result<Option<SignedIn>, FindError> {
    Ok(app.store.signed_in(secret, request_id).await?)
}

/// Where somebody is signed in, the newest first.
///
/// # Errors
/// If the record does not answer.
pub async fn sign_ins(app: &App, person: &SignedIn) -> Result<Vec<SignIn>, FindError> {
    Ok(app.store.sign_in_list(person.account.id).await?)
}

/// Signs somebody out, here or elsewhere.
///
/// # Errors
/// If they are not signed in there.
pub async fn sign_out(app: &App, person: &SignedIn, id: SignInId) -> Result<(), FindError> {
    let ended = app.store.sign_in_end(&person.actor, person.account.id, id).await;
    ended.map_err(|error| FindError::of_write(error, Noun::SignIn))
}

/// Changes somebody's password. Wherever else they are signed in, they are not any more.
///
/// # Errors
/// If the old one is wrong, or the new one breaks a rule.
pub async fn change_password(
    app: &App,
    person: &SignedIn,
    old: &SecretString,
    new: &SecretString,
) -> Result<(), PasswordError> {
    password::check("/new", new).map_err(PasswordError::Invalid)?;
    let SignedIn { account, sign_in, actor } = person;
    proven(app, &account.email, old, &actor.request_id).await?;
    let turn = Turn::take().await.map_err(SignInError::from)?;
    let hash = turn.hash(new, app.ids.secret()).await.map_err(SignInError::from)?;
    let written = app.store.account_password(actor, account.id, *sign_in, &hash).await;
    Ok(written.map_err(SignInError::from)?)
}

/// Waits until somebody is signed out here, or may something else than now.
pub async fn changed(app: &App, person: &SignedIn) {
    let mut listener = Listener::new(app);
    let SignedIn { account, sign_in, actor } = person;
    loop {
        // What cannot be read now is looked at again with the next change.
        if let Ok(here) = app.store.sign_in_list(account.id).await
            && here.iter().all(|here| here.id != *sign_in)
        {
            return;
        }
        if let Ok(now) = app.store.actor_of(actor.subject, String::new()).await
            && now.is_none_or(|now| now.grants != actor.grants)
        {
            return;
        }
        if listener.hear(|change| change == Change::Account(account.id)).await.is_err() {
            return;
        }
    }
}

/// The account, if it is their password.
async fn proven(
    app: &App,
    email: &Email,
    password: &SecretString,
    request_id: &str,
) -> Result<domain::Account, SignInError> {
    let turn = Turn::take().await?;
    if let Some(failures) = app.store.sign_in_failures(email).await? {
        let wait = failures.last_at + pause(failures) - app.clock.now();
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::ZERO);
        if wait.is_positive() {
            return Err(SignInError::TooOften { wait });
        }
    }
    let found = app.store.account_by_email(email).await?;
    let stored = found.as_ref().map(|(_, stored)| stored);
    let is_right = turn.is_right(password, stored).await?;
    match found {
        Some((account, _)) if is_right => Ok(account),
        _ => {
            app.store.sign_in_failed(email, request_id).await?;
            Err(SignInError::Wrong)
        }
    }
}

/// How long nobody gets in after so many failures: twice as long each time.
fn pause(failures: Failures) -> SignedDuration {
    match failures.count.checked_sub(FREE) {
        None => SignedDuration::ZERO,
        Some(more) => SignedDuration::from_secs(1 << more.min(6)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn who_guesses_waits_ever_longer_but_never_for_ever() {
        let after = |count| pause(Failures { count, last_at: Timestamp::UNIX_EPOCH }).as_secs();
        assert_eq!([4, 5, 6, 10, 11, 1_000].map(after), [0, 1, 2, 32, 60, 60]);
    }
}
