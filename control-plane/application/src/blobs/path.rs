use super::RemoveError;
use domain::{Digest, RunId, TenantId};
use object_store::path::Path;
use std::{fmt, io};

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

    /// The segment of a run's log that starts at line `first`; `ending` is how its name ends.
    #[must_use]
    pub fn log_segment(run: RunId, first: u64, ending: &str) -> Self {
        Self(Self::log(run).0.join(format!("{first:012}{ending}")))
    }

    /// The result of a run.
    #[must_use]
    pub fn result(run: RunId) -> Self {
        Self(Self::run(run).0.join("result.json"))
    }

    /// A file that a run left.
    #[must_use]
    pub fn artifact(run: RunId, digest: &Digest) -> Self {
        Self(Self::artifacts(run).0.join(digest.digits()))
    }

    /// What came of removing it: that it was not there is fine.
    pub(super) fn removed(&self, outcome: io::Result<()>) -> Result<(), RemoveError> {
        match outcome {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(RemoveError { path: self.to_string(), source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
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
