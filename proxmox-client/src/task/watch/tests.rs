use super::*;
use crate::{Call, Fault, Method};
use futures::{FutureExt as _, StreamExt as _};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

const UPID: &str = "UPID:pve1:0000A1B2:00ABCDEF:6921B0C1:qmclone:9000:warren@pve!control:";

/// A task that ends after some looks, and whose log grows with every look.
#[derive(Clone, Default)]
struct Script {
    looks: Arc<AtomicU64>,
    ends_at: u64,
    exit: &'static str,
    lines: Vec<&'static str>,
    /// What looks answer instead, by their number.
    trouble: Vec<(u64, Fault)>,
    log_fails: bool,
    times: Arc<Mutex<Vec<Instant>>>,
}

fn refusal(fault: Fault) -> Error {
    let call = Call { method: Method::Get, path: "/x".to_owned() };
    Error::Refused { call, status: 500, fault, text: "trouble".to_owned() }
}

impl Source for Script {
    fn status(&self) -> BoxFuture<'_, Result<TaskStatus, Error>> {
        let look = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        self.times.lock().expect("the lock").push(Instant::now());
        let trouble = self.trouble.iter().find(|(number, _)| *number == look);
        let answer = match trouble {
            Some((_, fault)) => Err(refusal(fault.clone())),
            None => {
                Ok(TaskStatus { end: (look >= self.ends_at).then(|| TaskEnd::read(self.exit)) })
            }
        };
        async move { answer }.boxed()
    }

    fn log(&self, start: u64) -> BoxFuture<'_, Result<TaskLog, Error>> {
        if self.log_fails {
            return async { Err(refusal(Fault::Other)) }.boxed();
        }
        let known = self.looks.load(Ordering::Relaxed).min(self.lines.len() as u64);
        let numbered =
            (1..).zip(&self.lines).take(known.try_into().expect("few")).filter(|(n, _)| *n > start);
        let lines = numbered.map(|(number, text)| TaskLine { number, text: (*text).to_owned() });
        let log = TaskLog { lines: lines.collect(), total: known };
        async move { Ok(log) }.boxed()
    }
}

async fn watch(script: &Script, deadline: u64) -> Vec<Result<TaskEvent, Error>> {
    let upid = UPID.parse().expect("a task id");
    let timing = Timing::default();
    let watch = Watch::new(script.clone(), upid, &timing, Duration::from_secs(deadline), true);
    watch.events().collect().await
}

#[tokio::test(start_paused = true)]
async fn a_task_is_told_line_by_line_to_its_end() {
    let lines = vec!["create full clone", "transferred 1.0 GiB of 2.0 GiB (50.00%)", "TASK OK"];
    let script = Script { ends_at: 3, exit: "OK", lines, ..Script::default() };
    let events: Vec<TaskEvent> =
        watch(&script, 60).await.into_iter().map(|e| e.expect("an event")).collect();
    assert!(matches!(&events[0], TaskEvent::Line(line) if line.number == 1));
    assert!(
        matches!(&events[1], TaskEvent::Progress(progress) if (progress.percent - 50.0).abs() < 1e-9)
    );
    assert_eq!(events[3], TaskEvent::Ended(TaskEnd::Ok));
    assert_eq!(events.len(), 4, "every line once");
}

#[tokio::test(start_paused = true)]
async fn looks_begin_soon_and_become_rare() {
    let script = Script { ends_at: 20, exit: "OK", ..Script::default() };
    watch(&script, 600).await;
    let times = script.times.lock().expect("the lock").clone();
    let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] <= Duration::from_millis(310), "{pauses:?}");
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]), "{pauses:?}");
    assert!(pauses.last().is_some_and(|pause| *pause <= Duration::from_millis(2010)), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn an_end_is_seen_soon_after_it_came_whenever_that_was() {
    let script = Script { ends_at: 60, exit: "OK", ..Script::default() };
    let began = Instant::now();
    watch(&script, 600).await;
    for pair in script.times.lock().expect("the lock").windows(2) {
        let (ran, pause) = (pair[0] - began, pair[1] - pair[0]);
        let most = (ran / 7).max(Duration::from_millis(110));
        assert!(pause <= most, "after {ran:?} nobody looked for {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_not_over_in_time_is_told_and_nothing_after_it() {
    let script = Script { ends_at: u64::MAX, ..Script::default() };
    let began = Instant::now();
    let events = watch(&script, 5).await;
    assert!(
        matches!(events.as_slice(), [Err(Error::StillRunning { source: None, .. })]),
        "{events:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_silent_for_a_while_is_no_end() {
    let trouble = vec![(2, Fault::NodeUnreachable), (3, Fault::NodeUnreachable)];
    let script = Script { ends_at: 4, exit: "WARNINGS: 2", trouble, ..Script::default() };
    let events = watch(&script, 60).await;
    assert!(
        matches!(events.as_slice(), [Ok(TaskEvent::Ended(TaskEnd::Warnings(2)))]),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stays_silent_is_named_at_the_deadline() {
    let trouble = (1..100).map(|look| (look, Fault::NodeUnreachable)).collect();
    let script = Script { ends_at: u64::MAX, trouble, ..Script::default() };
    let events = watch(&script, 10).await;
    assert!(
        matches!(events.as_slice(), [Err(Error::StillRunning { source: Some(_), .. })]),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_task_ends_the_watch() {
    let trouble = vec![(1, Fault::NotFound(crate::Missing::Task))];
    let script = Script { ends_at: 9, trouble, ..Script::default() };
    let events = watch(&script, 60).await;
    assert!(matches!(events.as_slice(), [Err(Error::Refused { .. })]), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_does_not_hide_the_end() {
    let script =
        Script { ends_at: 2, exit: "VM is locked (clone)", log_fails: true, ..Script::default() };
    let events = watch(&script, 60).await;
    let [Ok(TaskEvent::Ended(TaskEnd::Failed { fault, .. }))] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(*fault, Fault::Locked { lock: "clone".to_owned() });
}

#[test]
fn an_end_is_good_or_has_warnings_or_is_a_fault() {
    assert_eq!(TaskEnd::read("OK"), TaskEnd::Ok);
    assert_eq!(TaskEnd::read("WARNINGS: 3"), TaskEnd::Warnings(3));
    let failed = |fault: Fault, text: &str| TaskEnd::Failed { fault, text: text.to_owned() };
    assert_eq!(TaskEnd::read("WARNINGS: many"), failed(Fault::Other, "WARNINGS: many"));
    assert_eq!(TaskEnd::read("unexpected status"), failed(Fault::Interrupted, "unexpected status"));
}
