//! What a session is and how it is doing, in the words of people.

use crate::{
    part::Status,
    time::{Took, When},
    words,
};
use application::session::SessionView;
use domain::{Bytes, Cause, Evidence, Exit, FailureClass, Run, Session, Shortage};
use jiff::Timestamp;

/// The state of a session: its word, why, and since when.
pub(super) fn status(session: &Session, now: Timestamp) -> Status {
    let status = Status::of(words::session(session.state)).because(reason(session));
    status.since(When::new(since(session), now))
}

/// The same without the reason, which stands elsewhere.
pub(super) fn short_status(session: &Session, now: Timestamp) -> Status {
    Status::of(words::session(session.state)).since(When::new(since(session), now))
}

/// When it came into its state, as far as that is recorded.
fn since(session: &Session) -> Timestamp {
    let Session { finished_at, stop_requested_at, running_at, starting_at, .. } = session;
    let latest = finished_at.or(*stop_requested_at).or(*running_at).or(*starting_at);
    latest.unwrap_or(session.created_at)
}

/// Why a session is in its state, in a few words; nothing where its word says all.
pub(super) fn reason(session: &Session) -> String {
    let is_failing = session.cause.as_ref().filter(|cause| cause.class.is_some());
    match (is_failing, session.retry_at) {
        (Some(cause), Some(_)) => format!("{}; another run follows", headline(cause)),
        (Some(cause), None) => headline(cause),
        (None, _) => String::new(),
    }
}

/// A failure in a few words; the first words of what is told about it, if it is none that everybody knows.
fn headline(cause: &Cause) -> String {
    let exit = cause.evidence.exit;
    match cause.reason.as_str() {
        Cause::OUT_OF_MEMORY => "out of memory".to_owned(),
        Cause::NODE_DRAINED => "its node was emptied".to_owned(),
        _ => match exit.map(|exit| (exit.code, exit.signal)) {
            Some((Some(code), _)) => format!("exit code {code}"),
            Some((None, Some(signal))) => format!("ended by signal {signal}"),
            Some((None, None)) | None => cut(&cause.message, 60),
        },
    }
}

/// The first characters of a text.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
    }
}

/// Why a session or a run ended, with what is known about it.
#[derive(Debug)]
pub(super) struct Why {
    /// A sentence.
    pub(super) sentence: String,
    /// Who or what it comes from; empty where nothing failed.
    pub(super) class: &'static str,
    /// One word for programs.
    pub(super) code: String,
    /// Name and value of what it was concluded from.
    pub(super) evidence: Vec<(&'static str, String)>,
    pub(super) last_lines: Vec<String>,
    /// What may help.
    pub(super) advice: Option<String>,
}

impl Why {
    /// Nothing where there is nothing to explain.
    pub(super) fn of(view: &SessionView) -> Option<Self> {
        let cause = view.session.cause.clone()?;
        let advice = view.next_step.as_ref().map(|step| sentence(&step.advice));
        Some(Self {
            sentence: sentence(&cause.message),
            class: cause.class.map_or("", class),
            code: cause.reason,
            last_lines: cause.evidence.last_lines.clone(),
            evidence: evidence(*cause.evidence),
            advice,
        })
    }
}

/// What a failure comes from.
const fn class(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Transient => "Passing trouble before the agent began",
        FailureClass::Resource => "Too little of a resource",
        FailureClass::UserConfig => "What it was told to do",
        FailureClass::PolicyDenied => "A rule that refused it",
        FailureClass::Agent => "The agent itself",
        FailureClass::Infrastructure => "The machines below it",
    }
}

fn evidence(evidence: Evidence) -> Vec<(&'static str, String)> {
    let Evidence { exit, memory_limit_bytes, peak_memory_bytes, image, node, .. } = evidence;
    let short = |Shortage { resource, requested, used, limit }| {
        ("Too little", format!("{resource}: {requested} more than the {used} in use of {limit}"))
    };
    let known = [
        exit.map(|exit| ("Exit", ended(exit))),
        memory_limit_bytes.map(|bytes| ("Memory allowed", Bytes(bytes).to_string())),
        peak_memory_bytes.map(|bytes| ("Memory seen", size(bytes))),
        image.map(|image| ("Image", image)),
        node.map(|node| ("Node", node)),
        evidence.words.map(|words| ("In its own words", words)),
    ];
    known.into_iter().flatten().chain(evidence.shortages.into_iter().map(short)).collect()
}

/// How a process ended.
pub(super) fn ended(Exit { code, signal }: Exit) -> String {
    match (code, signal) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "nobody saw how".to_owned(),
    }
}

/// With a capital letter and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let stop = if text.ends_with(['.', '!', '?', ':']) { "" } else { "." };
    first.chain(letters).chain(stop.chars()).collect()
}

/// How long its agent runs or ran; nothing before it began.
pub(super) fn duration(session: &Session, now: Timestamp) -> Option<Took> {
    let start = session.running_at?;
    Some(Took::between(start, session.finished_at.unwrap_or(now)))
}

/// What a run used, in words.
pub(super) fn usage(run: &Run) -> Option<String> {
    let usage = run.usage?;
    let cpu = Took::milliseconds(u32::try_from(usage.cpu_ms).unwrap_or(u32::MAX));
    Some(format!("{cpu} of CPU, {} of memory at most", size(usage.peak_memory_bytes)))
}

/// A size for people, to one decimal.
pub(super) fn size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >> shift > 0 {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_sentences_are_made_for_people() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "17179869183.9 GiB");
        assert_eq!(sentence("it ended"), "It ended.");
        assert_eq!(sentence(""), ".");
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äö", 2), "äö");
    }

    #[test]
    fn what_everybody_knows_is_told_in_two_words() {
        let memory = Cause::out_of_memory(Bytes::mebi(64), None);
        assert_eq!(headline(&memory), "out of memory");
        let code = Cause::of_exit(Exit { code: Some(3), signal: None });
        assert_eq!(headline(&code), "exit code 3");
    }
}
