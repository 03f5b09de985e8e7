use clusters::{Identity, Passage, ReachError, TenantClusters};
use domain::{Acting, Role, Subject, TenantId};
use jiff::Timestamp;
use moka::future::Cache;
use std::{fmt, sync::Arc, time::Duration};

/// How many are open at the same time; one that was not used for the longest time is closed for the next.
const MOST: u64 = 2_000;
/// After how long one is closed that nobody uses.
const IDLE: Duration = Duration::from_mins(5);

/// Whose way it is, as what, and whereto.
type Key = (Subject, Role, TenantId);

/// Open ways to tenants' API servers, each with a credential of its caller's own. Cheap to clone.
#[derive(Clone)]
pub struct Ways {
    clusters: TenantClusters,
    open: Cache<Key, Passage>,
}

impl Ways {
    /// None is open yet.
    #[must_use]
    pub fn new(clusters: TenantClusters) -> Self {
        let open = Cache::builder().max_capacity(MOST).time_to_idle(IDLE).build();
        Self { clusters, open }
    }

    /// The caller's way, opened if it is not, or if its credential is old. Of many who ask at once one opens it.
    pub(super) async fn open(
        &self,
        tenant: TenantId,
        actor: &Acting,
        now: Timestamp,
    ) -> Result<Passage, Arc<ReachError>> {
        let key = (actor.subject, actor.role, tenant);
        if let Some(open) = self.open.get(&key).await {
            if now < open.valid_until {
                return Ok(open);
            }
            self.open.invalidate(&key).await;
        }
        let identity = Identity::of_role(actor.role, &actor.subject.to_string());
        self.open.try_get_with(key, self.clusters.passage(tenant, &identity)).await
    }

    /// Closes the caller's way: it leads nowhere.
    pub(super) async fn forget(&self, tenant: TenantId, actor: &Acting) {
        self.open.invalidate(&(actor.subject, actor.role, tenant)).await;
    }
}

impl fmt::Debug for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ways").field("open", &self.open.entry_count()).finish_non_exhaustive()
    }
}
