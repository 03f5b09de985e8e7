//! Checks that the host cluster can do what Warren needs, each by asking or trying.
//!
//! Sources: the K3s baseline and what a tenant's isolation rests on (Kubernetes 1.36:
//! image volumes, user namespaces, mutating admission policies).

mod baseline;
mod enforcement;
mod k3s;
mod proxmox;
mod rights;
mod versions;

pub use proxmox::examine_proxmox;

use crate::Context;
use std::time::Duration;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Stable name in kebab-case.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub is_ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do; empty when all is well.
    pub way_out: String,
}

/// How long one check may take; the one that starts a pod has a limit of its own. They go on side by side, so that the
/// findings are there before whoever asks gives up, even if the host does not answer at all.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
const TRY_TIMEOUT: Duration = Duration::from_secs(15);

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, is_ok: true, detail: detail.into(), way_out: String::new() }
    }

    /// It works, and something is to be done all the same.
    fn warn(name: &'static str, detail: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { name, is_ok: true, detail: detail.into(), way_out: way_out.into() }
    }

    fn bad(name: &'static str, detail: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { name, is_ok: false, detail: detail.into(), way_out: way_out.into() }
    }
}

/// Looks at everything, in the order in which a problem should be mended.
pub async fn examine(cx: &Context) -> Vec<Check> {
    let (version, nodes, clock, rights, storage, dns, k3s, policies, enforcement) = tokio::join!(
        bounded("host-version", versions::host(cx)),
        bounded("node-versions", versions::nodes(cx)),
        bounded("clock", baseline::clock(cx)),
        bounded("rights", rights::check(cx)),
        bounded("storage", baseline::storage(cx)),
        bounded("dns", baseline::dns(cx)),
        bounded("k3s-baseline", k3s::check(cx)),
        bounded("admission-policies", baseline::policies(cx)),
        enforcement::check(cx),
    );
    let mut checks = vec![version, nodes, clock, rights, storage, dns, k3s, policies];
    checks.extend(enforcement);
    checks
}

/// One check with a deadline: a check that hangs is a finding, not a hang.
async fn bounded(
    name: &'static str,
    check: impl Future<Output = Result<Check, kube::Error>>,
) -> Check {
    match tokio::time::timeout(CHECK_TIMEOUT, check).await {
        Ok(Ok(check)) => check,
        Ok(Err(error)) => Check::bad(
            name,
            format!("the host's API server refused: {error}"),
            "see that it answers and what it refuses",
        ),
        Err(_) => Check::bad(
            name,
            format!("no answer within {} s", CHECK_TIMEOUT.as_secs()),
            "see that the host's API server answers in time",
        ),
    }
}
