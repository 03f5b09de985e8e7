//! Looking at a session for as long as something happens to it.

use crate::{App, wait::Waiter};
use domain::SessionId;
use std::time::Duration;
use store::Change;

/// Wakes whoever looks at a session. What is to be seen is asked for by the usual use cases, each time: so it is never
/// more than the caller may see by then. The lines of its log come by [`crate::log::read`].
#[derive(Debug)]
pub struct Watch {
    waiter: Waiter,
    session: SessionId,
}

impl Watch {
    /// Made before the first look, so that nothing is missed between looking and waiting; ends after `time`.
    #[must_use]
    pub fn new(app: &App, session: SessionId, time: Duration) -> Self {
        Self { waiter: Waiter::new(app, time), session }
    }

    /// Whether to look again: waits for a change of the session. False when the time is up.
    pub async fn changed(&mut self) -> bool {
        let Self { waiter, session } = self;
        let matters =
            |change| matches!(change, Change::Session { session: of, .. } if of == *session);
        waiter.is_worth_a_look(matters).await
    }
}
