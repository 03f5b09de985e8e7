//! When a request is worth another attempt, and after what pause.

use reqwest::{Response, StatusCode, header::RETRY_AFTER};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// After this, no further attempt begins.
const ATTEMPTS_FOR: Duration = Duration::from_secs(40);
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A server that asks for more patience is reported, not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Counts attempts and makes the pauses between them.
#[derive(Debug)]
pub(super) struct Attempts {
    made: u32,
    until: Instant,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self { made: 1, until: Instant::now() + ATTEMPTS_FOR }
    }

    /// Waits before another attempt; says no when there were enough.
    pub(super) async fn another(&mut self, asked: Option<Duration>) -> bool {
        let pause = asked.unwrap_or_default().max(FIRST_PAUSE * 2_u32.pow(self.made - 1));
        if self.made == ATTEMPTS || Instant::now() + pause > self.until {
            return false;
        }
        self.made += 1;
        sleep(pause).await;
        true
    }
}

/// The pause before another attempt, for answers that say "not now".
pub(super) fn asked_pause(response: &Response) -> Option<Duration> {
    let is_passing = matches!(
        response.status(),
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(0);
    let pause = Duration::from_secs(seconds);
    (is_passing && pause <= LONGEST_PAUSE).then_some(pause)
}
