//! What holds of every history.

use super::{history::History, process::Process, user};
use application::{blobs::BlobPath, log::segment};
use domain::{Cause, DrainEnd, FailureClass, Run, Session, SessionId, SessionState};
use sha2::{Digest as _, Sha256};

/// A session changed: a state that is final is never left, and nothing goes back.
pub(super) async fn session(history: &mut History<'_>, id: SessionId) {
    let now = history.ground.cx.store.session_get(id).await;
    let Some(now) = now.expect("the record answers") else {
        history.violations.push(format!("session {id} was lost"));
        return;
    };
    if let Some(before) = history.seen.insert(id, now.clone()) {
        if before.state.is_final() && before != now {
            let (was, is) = (before.state, now.state);
            history.violations.push(format!("session {id} was {was} and is {is}"));
        }
        if now.revision < before.revision {
            history.violations.push(format!("session {id} went back"));
        }
    }
}

/// All is over.
pub(super) async fn the_end(history: &mut History<'_>) {
    for session in history.seen.clone().values() {
        let runs = history.ground.cx.store.runs_of_session(session.id).await;
        let runs = runs.expect("the record answers");
        attempts(history, session, &runs);
        if let Some(last) = runs.last() {
            tells_the_truth(history, session, last);
        }
        for run in &runs {
            output(history, run).await;
        }
    }
    for run in history.cluster.secrets.keys() {
        if !history.cluster.jobs.contains_key(run) {
            history.violations.push(format!("the Secret of run {run} is left"));
        }
    }
    let alive = history.cluster.processes.values().find(|process| !process.is_over());
    if let Some(process) = alive {
        history.violations.push(format!("the process of run {} still runs", process.run));
    }
}

/// No more than the policy allows, each over and settled.
fn attempts(history: &mut History<'_>, session: &Session, runs: &[Run]) {
    let mut spared = 0;
    for (run, next) in runs.iter().zip(runs.iter().skip(1)) {
        let class = run.cause.as_ref().and_then(|cause| cause.class);
        let rule = class.and_then(|class| session.spec.retry.0.get(&class));
        let is_drained = is_drained(run.cause.as_ref());
        let is_spared = is_drained && ended_by(run) == Some(DrainEnd::Restart);
        spared += u32::from(is_spared);
        if !is_spared && rule.is_none_or(|rule| next.attempt - spared > rule.attempts) {
            history.violations.push(format!("run {} followed {:?}", next.id, run.cause));
        }
        if run.settled_at.is_none_or(|settled| settled > next.created_at) {
            history.violations.push(format!("run {} began before {} was settled", next.id, run.id));
        }
    }
    for run in runs {
        let allowed = history.may_end.get(&run.id);
        let is_allowed = |end: DrainEnd| allowed.is_some_and(|ends| ends.contains(&end));
        if ended_by(run).is_some_and(|end| !is_allowed(end)) {
            history.violations.push(format!("run {} was drained: {:?}", run.id, run.drain));
        }
        if is_drained(run.cause.as_ref()) && run.drain.is_none() {
            history.violations.push(format!("nobody drained run {}", run.id));
        }
        if run.ended_at.is_none() || run.settled_at.is_none() {
            history.violations.push(format!("run {} is not settled: {run:?}", run.id));
        }
    }
}

fn ended_by(run: &Run) -> Option<DrainEnd> {
    run.drain.as_ref().map(|drain| drain.end)
}

fn is_drained(cause: Option<&Cause>) -> bool {
    cause.is_some_and(|cause| cause.reason == Cause::NODE_DRAINED)
}

/// What is said of a session is what happened.
fn tells_the_truth(history: &mut History<'_>, session: &Session, last: &Run) {
    let process = history.cluster.processes.get(&last.id);
    let exit = process.and_then(|process| process.exit);
    let has_succeeded = exit.is_some_and(|exit| exit.code == Some(0));
    let cause = session.cause.as_ref();
    let is_true = match session.state {
        SessionState::Succeeded => has_succeeded,
        SessionState::Stopped => {
            let was_drained = is_drained(cause) && ended_by(last) == Some(DrainEnd::Stop);
            session.stop_requested_at.is_some()
                && (was_drained || history.stopped.contains(&session.id))
        }
        SessionState::TimedOut => {
            let seconds = i64::from(session.spec.timeout_seconds);
            let finished = session.finished_at.unwrap_or(last.created_at);
            finished.duration_since(last.created_at).as_secs() >= seconds
        }
        SessionState::Failed if cause.and_then(|c| c.class) == Some(FailureClass::Agent) => {
            // Whoever is killed from outside looks like an agent that was.
            !has_succeeded
        }
        SessionState::Failed => match cause.map(|cause| cause.reason.as_str()) {
            Some("JobGone") => history.cluster.deleted.contains(&last.id),
            // Whoever may begin again does.
            Some(Cause::NODE_DRAINED) => ended_by(last) == Some(DrainEnd::CutOff),
            Some("NodeLost") => history.cluster.cut.contains(&last.id),
            Some(_) => true,
            None => false,
        },
        SessionState::Queued
        | SessionState::Starting
        | SessionState::Running
        | SessionState::Stopping => false,
    };
    if !is_true {
        let told = format!("{} {:?}", session.state, session.cause);
        history.violations.push(format!("session {} is {told}, its agent {exit:?}", session.id));
    }
}

/// The log is what the agent wrote, from its first line on without a gap; files are what was sent.
async fn output(history: &mut History<'_>, run: &Run) {
    let Some(process) = history.cluster.processes.get(&run.id) else { return };
    let app = &history.ground.app;
    let segments = app.store.log_segments(run.id, 1).await.expect("the record answers");
    let mut lines = Vec::new();
    for named in &segments {
        let bytes = app.blobs.get(&BlobPath::stored(&named.path)).await.expect("it can be read");
        let bytes = bytes.unwrap_or_default();
        let unpacked = segment::lines(&named.path, &bytes).unwrap_or_default();
        lines.extend(unpacked.into_iter().map(|line| (line.number, line.text)));
    }
    let written: Vec<_> = (1..=process.written).map(|n| (n, process.line(n))).collect();
    let is_prefix = written.starts_with(&lines);
    let is_told_whole = process.is_end_told || run.is_log_whole() == Some(true);
    let is_whole = !is_told_whole || lines.len() == written.len();
    if !is_prefix || !is_whole || run.next_log_line != lines.len() as u64 + 1 {
        let (has, wrote) = (lines.len(), written.len());
        history.violations.push(format!("the log of run {} has {has} of {wrote} lines", run.id));
        return;
    }
    if let Some(violation) = result(app, run, process).await {
        history.violations.push(violation);
    }
}

async fn result(app: &application::App, run: &Run, process: &Process) -> Option<String> {
    if !process.is_result_kept {
        return None;
    }
    let expected = user::result(process);
    let result = app.blobs.get(&BlobPath::result(run.id)).await.expect("it can be read");
    if result.as_deref() != Some(expected.as_bytes()) {
        return Some(format!("the result of run {} is not what was sent", run.id));
    }
    let artifacts = app.store.artifact_list(run.id).await.expect("the record answers");
    let [artifact] = artifacts.as_slice() else {
        return Some(format!("run {} has {} artifacts", run.id, artifacts.len()));
    };
    let bytes = app.blobs.get(&BlobPath::stored(&artifact.blob)).await.expect("it can be read");
    let digest = domain::Digest::of_sha256(Sha256::digest(bytes.unwrap_or_default()).into());
    (digest != artifact.digest).then(|| format!("an artifact of run {} is damaged", run.id))
}
