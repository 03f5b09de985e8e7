//! Who may send, as far as the token is concerned.
//!
//! The server answers a bad token after 3 seconds, and every caller would wait for its own answer. So while
//! a token has not been accepted, one call goes at a time; after a refusal all are refused here.

use crate::ApiToken;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::MutexGuard, time::Instant};

#[derive(Debug)]
pub(crate) struct Door {
    state: Mutex<State>,
    /// Held by the one call that tries a token.
    trial: tokio::sync::Mutex<()>,
    cool_down: Duration,
}

#[derive(Debug)]
struct State {
    token: Arc<ApiToken>,
    /// Counts tokens: what is heard about an older one says nothing about this one.
    number: u64,
    standing: Standing,
}

#[derive(Debug, Clone)]
enum Standing {
    Untried,
    Accepted,
    Refused { until: Instant, text: String },
}

/// Leave to send one call.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) token: Arc<ApiToken>,
    number: u64,
    _trial: Option<MutexGuard<'a, ()>>,
}

impl Door {
    pub(crate) fn new(token: ApiToken, cool_down: Duration) -> Self {
        let state = State { token: Arc::new(token), number: 0, standing: Standing::Untried };
        Self { state: Mutex::new(state), trial: tokio::sync::Mutex::new(()), cool_down }
    }

    /// Waits until the call may be sent, or gives what the server said to an earlier one.
    pub(crate) async fn enter(&self) -> Result<Pass<'_>, String> {
        if let Some(decision) = self.decide(false) {
            return decision;
        }
        let trial = self.trial.lock().await;
        let decision = self.decide(true).unwrap_or_else(|| Err("not decided".to_owned()));
        decision.map(|pass| {
            if self.is_accepted(pass.number) { pass } else { Pass { _trial: Some(trial), ..pass } }
        })
    }

    /// Nothing while another call should be waited for.
    fn decide(&self, is_trial: bool) -> Option<Result<Pass<'_>, String>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pass = || Pass { token: state.token.clone(), number: state.number, _trial: None };
        match &state.standing {
            Standing::Accepted => Some(Ok(pass())),
            Standing::Refused { until, text } if Instant::now() < *until => Some(Err(text.clone())),
            Standing::Untried | Standing::Refused { .. } => is_trial.then(|| Ok(pass())),
        }
    }

    fn is_accepted(&self, number: u64) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.number == number && matches!(state.standing, Standing::Accepted)
    }

    /// The server has let the call in.
    pub(crate) fn accepted(&self, pass: &Pass<'_>) {
        self.heard(pass.number, Standing::Accepted);
    }

    /// The server has refused the token.
    pub(crate) fn refused(&self, pass: &Pass<'_>, text: String) {
        self.heard(pass.number, Standing::Refused { until: Instant::now() + self.cool_down, text });
    }

    fn heard(&self, number: u64, standing: Standing) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.number == number {
            state.standing = standing;
        }
    }

    /// From now on calls carry this token.
    pub(crate) fn replace(&self, token: ApiToken) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.number + 1;
        *state = State { token: Arc::new(token), number, standing: Standing::Untried };
    }

    /// The token in use.
    pub(crate) fn token(&self) -> ApiToken {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).token.as_ref().clone()
    }

    /// The full name of the token in use.
    pub(crate) fn token_id(&self) -> String {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).token.id().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    const COOL_DOWN: Duration = Duration::from_mins(1);

    fn door() -> Door {
        let token = ApiToken::new("warren@pve!control", "secret".to_owned()).expect("a token");
        Door::new(token, COOL_DOWN)
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_tries_a_token_and_the_others_share_its_answer() {
        let door = door();
        let first = door.enter().await.expect("leave");
        let mut others: Vec<_> = (0..20).map(|_| Box::pin(door.enter())).collect();
        assert!(others.iter_mut().all(|other| other.now_or_never().is_none()), "they wait");
        tokio::time::advance(Duration::from_secs(3)).await;
        door.refused(&first, "Authentication failed!".to_owned());
        drop(first);
        for other in others {
            assert_eq!(other.await.map(|_| ()), Err("Authentication failed!".to_owned()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_cool_down_a_single_call_tries_again() {
        let door = door();
        let first = door.enter().await.expect("leave");
        door.refused(&first, "No ticket".to_owned());
        drop(first);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(door.enter().await.is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = door.enter().await.expect("leave");
        assert!(door.enter().now_or_never().is_none(), "another one waits");
        door.accepted(&second);
        drop(second);
        let third = door.enter().await.expect("leave");
        assert!(door.enter().now_or_never().is_some(), "now they go side by side");
        drop(third);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_token_is_tried_at_once_and_not_judged_by_the_old_one() {
        let door = door();
        let old = door.enter().await.expect("leave");
        door.accepted(&old);
        door.replace(ApiToken::new("warren@pve!second", "secret".to_owned()).expect("a token"));
        door.refused(&old, "Authentication failed!".to_owned());
        drop(old);
        let new = door.enter().await.expect("leave");
        assert_eq!(new.token.id(), "warren@pve!second");
        assert_eq!(door.token_id(), "warren@pve!second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_gets_no_answer_lets_the_next_one_try() {
        let door = door();
        drop(door.enter().await.expect("leave"));
        assert!(door.enter().now_or_never().is_some_and(|pass| pass.is_ok()));
    }
}
