//! `warren session describe`: all about one session on one screen.

use super::{
    super::{
        Context,
        answer::{ProcessExit, Session},
        format::{bytes, instant, time},
        output,
        problem::Failure,
    },
    One, running_time,
};
use std::time::Duration;

pub(super) async fn run(cx: &Context, one: &One) -> Result<(), Failure> {
    let (value, session) = one.get(cx).await?;
    cx.printer.item("session", &session.id, &value, || text(&session))
}

fn text(session: &Session) -> String {
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
        ("Cause", cause(session)),
        ("Image", spec.image.clone()),
        ("Command", words.join(" ")),
        ("Labels", labels.join(" ")),
        ("Limits", limits(session)),
        ("Created", instant(session.created_at)),
    ];
    let times = [
        ("Starting", session.starting_at),
        ("Running", session.running_at),
        ("Stop asked", session.stop_requested_at),
        ("Finished", session.finished_at),
    ];
    fields.extend(times.into_iter().filter(|(_, at)| at.is_some()).map(|(n, at)| (n, instant(at))));
    fields.push(("Ran for", running_time(session)));
    if let Some(run) = &session.run {
        fields.push(("Run", run.id.clone()));
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
        fields.push(("Log", format!("{} lines", run.log_lines)));
    }
    output::fields(&fields)
}

fn cause(session: &Session) -> String {
    let Some(cause) = &session.cause else { return String::new() };
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
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
