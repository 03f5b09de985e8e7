//! How long to wait after failures.

use std::time::Duration;

/// The longest that an API server can make Warren wait for it.
const LONGEST_ASKED: Duration = Duration::from_mins(1);
/// How much waits differ.
pub(crate) const SPREAD: f64 = 0.25;

/// A wait that doubles with each failure.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Up to which part of it a wait is longer or shorter, at random, so that many do not come at once.
    pub spread: f64,
}

impl Backoff {
    /// For a host that is away or refuses: somebody is mending it, and everybody waits.
    pub const HOST: Self = Self {
        first: Duration::from_millis(500),
        longest: Duration::from_secs(15),
        spread: SPREAD,
    };

    /// The wait after so many failures in a row.
    #[must_use]
    pub fn after(self, failures: u32) -> Duration {
        let wait = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        spread(wait.min(self.longest), self.spread)
    }

    /// The same if an API server has said when it wants to be asked again.
    pub(crate) fn after_answer(self, failures: u32, asked: Option<Duration>) -> Duration {
        self.after(failures).max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }
}

/// Between 75 and 125 % of a duration, so that many do not come at once.
pub(crate) fn jittered(duration: Duration) -> Duration {
    spread(duration, SPREAD)
}

fn spread(duration: Duration, part: f64) -> Duration {
    duration.mul_f64(rand::random_range(1. - part..=1. + part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_no_api_server_asks_for_more_than_a_minute() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(20),
            spread: SPREAD,
        };
        let range = |seconds: f64| {
            Duration::from_secs_f64(seconds * 0.75)..=Duration::from_secs_f64(seconds * 1.25)
        };
        for (failures, seconds) in [(0, 1.), (1, 1.), (2, 2.), (3, 4.), (9, 20.), (u32::MAX, 20.)] {
            assert!(range(seconds).contains(&backoff.after(failures)), "{failures}");
        }
        let asked = |seconds| backoff.after_answer(1, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(7), Duration::from_secs(7));
        assert_eq!(asked(86_400), LONGEST_ASKED);
        assert!(range(1.).contains(&asked(0)));
    }
}
