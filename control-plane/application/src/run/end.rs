use super::{Caller, RunError, settle};
use crate::App;
use domain::{Cause, Exit, FailureClass, RunUsage, Session, SessionState};

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
    app.store.run_exited(run.id, report.exit, report.usage).await?;
    let was_started = run.started_at.is_some();
    settle(app, caller.session.id, |session| decide(session, was_started, &report)).await
}

/// What becomes of the session; nothing if that is for the watcher of its Job to say.
fn decide(
    session: &Session,
    was_started: bool,
    report: &Report,
) -> Option<(SessionState, Option<Cause>)> {
    use FailureClass::{Agent, Infrastructure, Resource, UserConfig};

    if session.state == SessionState::Stopping {
        let cause = Cause::plain("StopRequested", "it was stopped on request");
        return Some((SessionState::Stopped, Some(cause)));
    }
    let failed = |class, reason: &str, message: String| {
        Some((SessionState::Failed, Some(Cause::failure(class, reason, message))))
    };
    match (report.exit.code, report.exit.signal) {
        (Some(0), _) => {
            let cause = Cause::plain("Completed", "the agent ended with code 0");
            Some((SessionState::Succeeded, Some(cause)))
        }
        _ if report.was_terminated => None,
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
            failed(Infrastructure, "NotStarted", message.to_owned())
        }
        _ if report.is_out_of_memory => {
            let limit = session.spec.resources.memory;
            let message = format!("the agent used more than {limit}, its limit; ask for more");
            failed(Resource, "OutOfMemory", message)
        }
        (Some(code), _) => failed(Agent, "ExitCode", format!("the agent ended with code {code}")),
        (None, Some(signal)) => {
            failed(Agent, "Signal", format!("the agent was ended by signal {signal}"))
        }
        (None, None) => failed(Agent, "Unknown", "the agent ended, and nobody saw how".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::sample::session;

    const fn ended(code: Option<i32>, signal: Option<i32>) -> Report {
        Report {
            exit: Exit { code, signal },
            was_terminated: false,
            is_out_of_memory: false,
            last_line: 0,
            usage: RunUsage { cpu_ms: 0, peak_memory_bytes: 0, wall_ms: 0 },
        }
    }

    /// State and reason that a report leads to.
    fn outcome(state: SessionState, was_started: bool, report: Report) -> String {
        match decide(&session(state), was_started, &report) {
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
            (Starting, false, ended(Some(65), None), "failed Some(Infrastructure) NotStarted"),
        ] {
            assert_eq!(outcome(state, was_started, report), expected, "{state} {report:?}");
        }
    }
}
