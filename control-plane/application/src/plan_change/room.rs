//! How much room there is for changes of plan.

use crate::App;
use domain::{Capacity, Isolation, Needs, PlanPreview, Problem, Subscription};
use tokio::sync::OnceCell;

/// The code of a problem that goes when somebody answers.
const UNKNOWN: &str = "capacity-unknown";

/// The room for those who are to pay for something. It is looked at once, when the first of them needs any.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    pub(crate) app: &'a App,
    pub(super) to: Subscription,
    seen: OnceCell<Result<Capacity, Problem>>,
}

impl<'a> Room<'a> {
    pub(crate) fn new(app: &'a App, to: Subscription) -> Self {
        Self { app, to, seen: OnceCell::new() }
    }

    /// How much there is beside what is needed; nothing is told if nothing is.
    ///
    /// # Errors
    /// That nobody could look, which is in the way of whoever needs some.
    pub(crate) async fn holds(&self, needs: &Needs) -> Result<Capacity, Problem> {
        if needs.is_nothing() {
            return Ok(Capacity::default());
        }
        let seen = self.seen.get_or_init(|| self.look()).await;
        seen.clone().map(|capacity| capacity.needing(needs))
    }

    async fn look(&self) -> Result<Capacity, Problem> {
        self.app.access.capacity(self.to.plan).await.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "nobody could look for room");
            let (who, command) = match self.to.isolation() {
                Isolation::Dedicated => ("Proxmox VE", "warren doctor proxmox"),
                Isolation::Shared => ("the host cluster", "warren doctor"),
            };
            Problem {
                code: UNKNOWN.to_owned(),
                detail: format!("{who} does not say how much room there is"),
                hint: format!("try again in a moment; an operator asks `{command}` what is wrong"),
            }
        })
    }
}

/// Whether nothing is in the way of a change but that nobody could look for room.
pub(crate) fn is_only_unknown(preview: &PlanPreview) -> bool {
    !preview.blockers.is_empty() && preview.blockers.iter().all(|one| one.code == UNKNOWN)
}
