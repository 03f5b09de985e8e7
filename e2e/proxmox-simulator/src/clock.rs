//! Time: what the cluster takes for now. In tests it follows tokio's clock, which can stand still.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Seconds since 1970 that go on as tokio's clock goes on.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began_s: u64,
    began: Instant,
}

impl Clock {
    /// A clock that shows this many seconds since 1970 now.
    #[must_use]
    pub fn starting_at(unix_s: u64) -> Self {
        Self { began_s: unix_s, began: Instant::now() }
    }

    /// A clock that shows the machine's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn system() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(now.as_secs())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Since 1970.
    pub(crate) fn unix(&self) -> Duration {
        Duration::from_secs(self.began_s) + self.elapsed()
    }

    pub(crate) fn unix_s(&self) -> u64 {
        self.unix().as_secs()
    }
}
