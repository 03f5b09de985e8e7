//! `warren session describe`: all about one session on one screen.

use super::{
    super::{
        Context,
        answer::{Cause, ProcessExit, Run, Session, Shortage, decode},
        format::{bytes, instant, time},
        output,
        problem::Failure,
    },
    One, rerun, running_time,
};
use jiff::Timestamp;
use std::time::Duration;

pub(super) async fn run(cx: &Context, one: &One) -> Result<(), Failure> {
    let (value, session) = one.get(cx).await?;
    let earlier = earlier(cx, one, &session).await?;
    cx.printer.item("session", &session.id, &value, || text(&session, &earlier, &one.tenant.tenant))
}

/// The runs before the newest one.
async fn earlier(cx: &Context, one: &One, session: &Session) -> Result<Vec<Run>, Failure> {
    let newest = session.run.as_ref().map_or(0, |run| run.attempt);
    if newest < 2 {
        return Ok(Vec::new());
    }
    let runs = cx.client.list(&one.path(&["runs"]), &[], usize::MAX).await?;
    let runs: Vec<Run> = runs.items.iter().map(decode).collect::<Result<_, _>>()?;
    Ok(runs.into_iter().filter(|run| run.attempt < newest).collect())
}

fn text(session: &Session, earlier: &[Run], tenant: &str) -> String {
    let spec = &session.spec;
    let words: Vec<_> = spec.command.iter().chain(&spec.args).map(|word| quoted(word)).collect();
    let labels: Vec<_> = spec
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    let mut fields = vec![
        ("Id", session.id.clone()),
        ("Project", session.project.clone()),
        ("State", session.state.clone()),
        ("Cause", session.cause.as_ref().map(told).unwrap_or_default()),
    ];
    if let Some(cause) = &session.cause {
        fields.extend(evidence(cause));
    }
    fields.extend(rerun::command(session, tenant).map(|command| ("Run again", command)));
    fields.extend([
        ("Image", spec.image.clone()),
        ("Command", words.join(" ")),
        ("User", spec.run_as_user.to_string()),
        ("Labels", labels.join(" ")),
        ("Limits", limits(session)),
        ("On drain", spec.on_drain.clone()),
        ("Created", instant(session.created_at)),
    ]);
    let times = [
        ("Starting", session.starting_at),
        ("Running", session.running_at),
        ("Stop asked", session.stop_requested_at),
        ("Next run from", session.retry_at),
        ("Finished", session.finished_at),
    ];
    fields.extend(times.into_iter().filter(|(_, at)| at.is_some()).map(|(n, at)| (n, instant(at))));
    fields.push(("Ran for", running_time(session)));
    fields.extend(earlier.iter().map(|run| ("Earlier run", failed_run(run))));
    if let Some(run) = &session.run {
        fields.push(("Run", format!("{} (attempt {})", run.id, run.attempt)));
        fields.push(("Exit", run.exit.as_ref().map(exit).unwrap_or_default()));
        if let Some(usage) = &run.usage {
            let used = format!(
                "{} of CPU, {} of memory at most, {} in all",
                time(Duration::from_millis(usage.cpu_ms)),
                bytes(usage.peak_memory_bytes),
                time(Duration::from_millis(usage.wall_ms))
            );
            fields.push(("Used", used));
        }
        if !session.is_final() && run.heartbeat_at.is_some() {
            fields.push(("Heard of", instant(run.heartbeat_at)));
        }
        let ends = [
            ("Agent ended", run.exited_at),
            ("Token dead", run.ended_at),
            ("Settled", run.settled_at),
        ];
        let ends = ends.into_iter().filter(|(_, at)| at.is_some());
        fields.extend(ends.map(|(name, at)| (name, instant(at))));
        fields.push(("Log", format!("{} lines", session.log_lines)));
        fields.extend(run.log_full_at.map(|at| ("Log full", instant(Some(at)))));
        if run.log_missing_lines > 0 {
            fields.push(("Not in the log", format!("{} lines", run.log_missing_lines)));
        }
        fields.extend(retention(session));
    }
    output::fields(&fields)
}

/// Until when what it left is kept, or when it was removed.
fn retention(session: &Session) -> impl Iterator<Item = (&'static str, String)> {
    let Session { log_removed_at, log_kept_until, files_removed_at, files_kept_until, .. } =
        session;
    let end = |removed_at: Option<Timestamp>, kept: (&'static str, Option<Timestamp>), removed| {
        let (name, at) = if removed_at.is_some() { (removed, removed_at) } else { kept };
        at.map(|at| (name, format!("{at:.0}")))
    };
    [
        end(*log_removed_at, ("Log kept until", *log_kept_until), "Log removed"),
        end(*files_removed_at, ("Files kept until", *files_kept_until), "Files removed"),
    ]
    .into_iter()
    .flatten()
}

/// One line about a run that failed.
fn failed_run(run: &Run) -> String {
    let Run { attempt, resources, ended_at, .. } = run;
    let cause = run.cause.as_ref().map(told).unwrap_or_default();
    format!("{attempt}, with {} of memory, ended {}: {cause}", resources.memory, instant(*ended_at))
}

/// What a failure was concluded from, and what may help.
fn evidence(cause: &Cause) -> Vec<(&'static str, String)> {
    let short = |short: &Shortage| {
        let Shortage { resource, requested, used, limit } = short;
        ("Too little", format!("{resource}: {requested} more than the {used} in use of {limit}"))
    };
    let mut fields: Vec<_> = cause.evidence.shortages.iter().map(short).collect();
    fields.extend(cause.evidence.last_lines.iter().map(|line| ("Last line", line.clone())));
    fields.extend(cause.next_step.as_ref().map(|next| ("Next step", next.advice.clone())));
    fields
}

pub(super) fn told(cause: &Cause) -> String {
    let class = cause.class.as_ref().map(|class| format!("{class}, ")).unwrap_or_default();
    format!("{} ({class}{})", cause.message, cause.reason)
}

fn limits(session: &Session) -> String {
    let spec = &session.spec;
    let timeout = time(Duration::from_secs(spec.timeout_seconds));
    let grace = time(Duration::from_secs(spec.grace_period_seconds));
    format!("{timeout}, then {grace} to end")
}

fn exit(exit: &ProcessExit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => String::new(),
    }
}

/// A word as a shell would need it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
