//! A time that goes much faster than the real one, and never while somebody computes: a beat comes only when everything
//! that could go on has had its turn. Sockets and the record are real, so it cannot simply jump to the next timer.

use domain::Clock;
use jiff::{SignedDuration, Timestamp};
use std::{cell::Cell, num::NonZeroU64, thread, time::Duration};
use tokio::{
    runtime::Builder,
    sync::mpsc::{channel, error::TrySendError},
    task::spawn_blocking,
    time::{Instant, advance},
};
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::with_default,
};

/// How much time goes by with a beat.
const BEAT: Duration = Duration::from_millis(100);
/// And how much really does, at least.
const REALLY: Duration = Duration::from_millis(1);

thread_local! {
    /// How many pieces of work there are during which no time goes by.
    static STANDING: Cell<u32> = const { Cell::new(0) };
}

/// Does work that takes no time, although threads of others do it: they may be slow because the computer is.
pub(super) async fn timelessly<T>(work: impl Future<Output = T>) -> T {
    struct Standing;
    impl Drop for Standing {
        fn drop(&mut self) {
            STANDING.set(STANDING.get() - 1);
        }
    }
    STANDING.set(STANDING.get() + 1);
    let _standing = Standing;
    work.await
}

/// Does work in that time.
pub(super) fn quickly<T>(work: impl Future<Output = T>) -> T {
    by_beats(BEAT, work)
}

/// The same with beats of another length, and while somebody works on the record no time goes by: what is measured is
/// what is waited for, told as exactly as a beat, and the same on every computer.
pub(super) fn measured<T>(beat: Duration, work: impl Future<Output = T>) -> T {
    with_default(OnTheRecord, || by_beats(beat, work))
}

/// Hears of all work on the record: its spans are called `db.`.
struct OnTheRecord;

impl Subscriber for OnTheRecord {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name().starts_with("db.")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        STANDING.set(STANDING.get() + 1);
        Id::from_non_zero_u64(NonZeroU64::MIN)
    }

    fn clone_span(&self, id: &Id) -> Id {
        STANDING.set(STANDING.get() + 1);
        id.clone()
    }

    fn try_close(&self, _: Id) -> bool {
        STANDING.set(STANDING.get() - 1);
        true
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn by_beats<T>(length: Duration, work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let (beat, mut beats) = channel(1);
        // As long as this thread runs, tokio does not move its clock by itself.
        let heart = spawn_blocking(move || {
            while !matches!(beat.try_send(()), Err(TrySendError::Closed(()))) {
                #[expect(clippy::disallowed_methods, reason = "this is what makes the time")]
                thread::sleep(REALLY);
            }
        });
        let pass = async {
            while beats.recv().await.is_some() {
                if STANDING.get() == 0 {
                    advance(length).await;
                }
            }
        };
        let done = tokio::select! {
            done = work => Some(done),
            () = pass => None,
        };
        drop(beats);
        heart.await.expect("it only beats");
        done.expect("the beats go on until the work is done")
    })
}

/// That time, as the product sees it. It begins now: certificates are compared with the real one.
#[derive(Debug)]
pub(super) struct QuickClock {
    began: Timestamp,
    since: Instant,
}

impl QuickClock {
    pub(super) fn new() -> Self {
        Self { began: Timestamp::now(), since: Instant::now() }
    }
}

impl Clock for QuickClock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed());
        self.began + passed.expect("a history is not that long")
    }
}
