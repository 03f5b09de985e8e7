use domain::{Digest, RunId, TenantId};
use object_store::path::Path;
use std::fmt;

/// The address of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobPath(pub(super) Path);

impl BlobPath {
    /// An uploaded input of a tenant.
    #[must_use]
    pub fn input(tenant: TenantId, digest: &Digest) -> Self {
        Self(Self::inputs(tenant).0.join(digest.digits()))
    }

    /// The folder of all that a tenant uploaded.
    pub(super) fn inputs(tenant: TenantId) -> Self {
        Self(Path::from(format!("inputs/{}", tenant.digits())))
    }

    /// The folder of all that a run left.
    pub(super) fn run(run: RunId) -> Self {
        Self(Path::from(format!("runs/{}", run.digits())))
    }

    /// The folder of a run's log.
    pub(super) fn log(run: RunId) -> Self {
        Self(Self::run(run).0.join("logs"))
    }

    /// The folder of the files that a run left.
    pub(super) fn artifacts(run: RunId) -> Self {
        Self(Self::run(run).0.join("artifacts"))
    }

    /// The segment of a run's log that starts at line `first`.
    #[must_use]
    pub fn log_segment(run: RunId, first: u64) -> Self {
        Self(Path::from(format!("runs/{}/logs/{first:012}.ndjson", run.digits())))
    }

    /// The result of a run.
    #[must_use]
    pub fn result(run: RunId) -> Self {
        Self(Path::from(format!("runs/{}/result.json", run.digits())))
    }

    /// A file that a run left.
    #[must_use]
    pub fn artifact(run: RunId, digest: &Digest) -> Self {
        Self(Path::from(format!("runs/{}/artifacts/{}", run.digits(), digest.digits())))
    }

    /// Takes a path that was made by one of the functions above and stored.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(Path::from(text))
    }
}

impl fmt::Display for BlobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
