use super::{Caller, RunError, note_missing, settle};
use crate::{App, blobs::BlobPath, log, result_schema};
use domain::{Cause, Evidence, Exit, FailureClass, Run, RunUsage, Session, SessionState};

/// How much of a run's log is kept with the cause of its failure.
const LAST_LINES: u64 = 5;
const LAST_LINE_CHARS: usize = 500;

/// How an agent ended, as its runner saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Exit code or signal.
    pub exit: Exit,
    /// Whether the runner was told to end first: a deadline, an eviction, a deleted pod.
    pub was_terminated: bool,
    /// Whether the kernel ended processes of the agent for want of memory.
    pub is_out_of_memory: bool,
    /// The number of the last line of the log.
    pub last_line: u64,
    /// How many lines the runner gave up.
    pub missing_lines: u64,
    /// What was used.
    pub usage: RunUsage,
}

/// The agent's process ended, and everything of it was sent. Ends the session, unless somebody else
/// knows better why the agent ended. The token is dead after that.
///
/// # Errors
/// If the run is over, or the record does not answer.
pub async fn exited(app: &App, caller: &Caller, report: Report) -> Result<(), RunError> {
    let run = &caller.run;
    if run.next_log_line != report.last_line + 1 {
        tracing::warn!(
            run.id = %run.id, next = run.next_log_line, last = report.last_line,
            "a run ended without the whole of its log"
        );
    }
    let unsent = (report.last_line + 1).saturating_sub(run.next_log_line);
    note_missing(app, run, report.missing_lines + unsent).await?;
    app.store.run_exited(run.id, report.exit, report.usage).await?;
    let has_failed = report.exit.code != Some(0);
    let last_lines = if has_failed { last_lines(app, run).await } else { Vec::new() };
    let bad_result = if has_failed { None } else { bad_result(app, caller).await? };
    settle(app, caller, |session| {
        let (mut state, mut cause) = decide(session, run, &report)?;
        if state == SessionState::Succeeded && bad_result.is_some() {
            (state, cause) = (SessionState::Failed, bad_result.clone());
        }
        if let Some(cause) = cause.as_mut().filter(|cause| cause.class.is_some()) {
            cause.evidence.last_lines.clone_from(&last_lines);
        }
        Some((state, cause))
    })
    .await
}

/// Why what a run left as its result is not what its session declares; nothing if it is, or declares
/// nothing.
async fn bad_result(app: &App, caller: &Caller) -> Result<Option<Cause>, RunError> {
    let Some(schema) = caller.session.spec.result_schema.clone() else { return Ok(None) };
    let failed = |reason: &str, message: &str, words: &str| {
        let cause = Cause::failure(FailureClass::Agent, reason, message);
        Ok(Some(cause.with(Evidence::of_words(words))))
    };
    let Some(result) = app.blobs.get(&BlobPath::result(caller.run.id)).await? else {
        let message =
            "the agent ended with code 0 and left no result.json, which resultSchema asks for";
        return failed("ResultMissing", message, "");
    };
    // It may take a while.
    let checked = tokio::task::spawn_blocking(move || result_schema::violations(&schema, &result));
    let violations = match checked.await {
        Ok(Ok(violations)) => violations,
        Ok(Err(error)) => vec![error],
        Err(error) => vec![format!("it could not be checked: {error}")],
    };
    match violations.first() {
        None => Ok(None),
        Some(first) => {
            let message = format!("the result does not obey resultSchema: {first}");
            failed("ResultInvalid", &message, &violations.join("\n"))
        }
    }
}

/// What a run wrote last; nothing if that cannot be read now: its end does not wait for it.
async fn last_lines(app: &App, run: &Run) -> Vec<String> {
    let lines = log::last_lines(app, run, LAST_LINES).await.unwrap_or_else(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(run.id = %run.id, error, "the end of a run's log could not be read");
        Vec::new()
    });
    let cut = |text: String| text.chars().take(LAST_LINE_CHARS).collect();
    lines.into_iter().map(|line| cut(line.text)).collect()
}

/// What becomes of the session; nothing if that is for the watcher of its Job to say.
fn decide(session: &Session, run: &Run, report: &Report) -> Option<(SessionState, Option<Cause>)> {
    use FailureClass::{Transient, UserConfig};

    if session.state == SessionState::Stopping {
        let cause = Cause::plain("StopRequested", "it was stopped on request");
        return Some((SessionState::Stopped, Some(cause)));
    }
    let was_started = run.started_at.is_some();
    let failed = |class, reason: &str, message: String| {
        Some((SessionState::Failed, Some(Cause::failure(class, reason, message))))
    };
    match (report.exit.code, report.exit.signal) {
        (Some(0), _) => {
            let cause = Cause::plain("Completed", "the agent ended with code 0");
            Some((SessionState::Succeeded, Some(cause)))
        }
        // That is why, if there is an order; without one, somebody else has to find out.
        _ if report.was_terminated => {
            run.drain.as_ref().map(|drain| (SessionState::Failed, Some(drain.failure())))
        }
        (Some(127), _) if !was_started => {
            let message = "the image has no such program; look at `command` and at the log";
            failed(UserConfig, "ProgramNotFound", message.to_owned())
        }
        (Some(126), _) if !was_started => {
            let message = "the program cannot be executed; look at `command` and at the log";
            failed(UserConfig, "ProgramNotExecutable", message.to_owned())
        }
        (Some(_), _) if !was_started => {
            let message = "the agent was not started; the log says why";
            failed(Transient, "NotStarted", message.to_owned())
        }
        _ if report.is_out_of_memory => {
            let cause = Cause::out_of_memory(run.resources.memory, Some(report.usage));
            Some((SessionState::Failed, Some(cause)))
        }
        _ => Some((SessionState::Failed, Some(Cause::of_exit(report.exit)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        DrainEnd,
        sample::{self, run, session},
    };

    const fn ended(code: Option<i32>, signal: Option<i32>) -> Report {
        Report {
            exit: Exit { code, signal },
            was_terminated: false,
            is_out_of_memory: false,
            last_line: 0,
            missing_lines: 0,
            usage: RunUsage { cpu_ms: 0, peak_memory_bytes: 0, wall_ms: 0 },
        }
    }

    /// State and reason that a report leads to.
    fn outcome(state: SessionState, was_started: bool, report: Report) -> String {
        let started_at = was_started.then_some(jiff::Timestamp::UNIX_EPOCH);
        match decide(&session(state), &Run { started_at, ..run() }, &report) {
            None => "left to the watcher".to_owned(),
            Some((next, cause)) => {
                let cause = cause.expect("every end has a cause");
                format!("{next} {:?} {}", cause.class, cause.reason)
            }
        }
    }

    #[test]
    fn the_end_of_the_agent_is_the_end_of_the_session() {
        use SessionState::{Running, Starting, Stopping};
        let terminated = |report| Report { was_terminated: true, ..report };
        let out_of_memory = |report| Report { is_out_of_memory: true, ..report };
        for (state, was_started, report, expected) in [
            (Running, true, ended(Some(0), None), "succeeded None Completed"),
            (Running, true, ended(Some(3), None), "failed Some(Agent) ExitCode"),
            (Running, true, ended(None, Some(11)), "failed Some(Agent) Signal"),
            (Running, true, ended(Some(127), None), "failed Some(Agent) ExitCode"),
            (
                Running,
                true,
                out_of_memory(ended(None, Some(9))),
                "failed Some(Resource) OutOfMemory",
            ),
            (Running, true, terminated(ended(None, Some(15))), "left to the watcher"),
            (Running, true, terminated(ended(Some(0), None)), "succeeded None Completed"),
            (Stopping, true, ended(Some(0), None), "stopped None StopRequested"),
            (Stopping, true, terminated(ended(None, Some(15))), "stopped None StopRequested"),
            (Starting, true, ended(Some(0), None), "succeeded None Completed"),
            (Starting, false, ended(Some(127), None), "failed Some(UserConfig) ProgramNotFound"),
            (
                Starting,
                false,
                ended(Some(126), None),
                "failed Some(UserConfig) ProgramNotExecutable",
            ),
            (Starting, false, ended(Some(65), None), "failed Some(Transient) NotStarted"),
        ] {
            assert_eq!(outcome(state, was_started, report), expected, "{state} {report:?}");
        }
    }

    #[test]
    fn a_run_that_was_told_to_end_for_its_nodes_sake_ends_for_that_and_not_for_another_reason() {
        let drain = sample::drain(DrainEnd::Restart);
        let started_at = Some(jiff::Timestamp::UNIX_EPOCH);
        let drained = Run { started_at, drain: Some(drain), ..run() };
        let session = session(SessionState::Running);
        let reason = |report| {
            let (state, cause) = decide(&session, &drained, &report).expect("it is known");
            (state, cause.expect("every end has a cause").reason)
        };
        let told = Report { was_terminated: true, ..ended(None, Some(15)) };
        assert_eq!(reason(told), (SessionState::Failed, Cause::NODE_DRAINED.to_owned()));
        let done = Report { was_terminated: true, ..ended(Some(0), None) };
        assert_eq!(reason(done), (SessionState::Succeeded, "Completed".to_owned()));
        let quicker = ended(Some(3), None);
        assert_eq!(reason(quicker), (SessionState::Failed, "ExitCode".to_owned()));
    }
}
