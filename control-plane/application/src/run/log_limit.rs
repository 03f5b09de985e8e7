use super::{Caller, RunError};
use crate::{
    App,
    log::{LinePart, LogLine, LogStream},
};
use domain::{Bytes, Plan, PlanName, Run};
use std::borrow::Cow;
use store::{LogGrowth, StoreError};

/// What each run may add to a log that is full, in bytes: its runner says how many lines are missing, and
/// what else of the session was not kept.
const LAST_WORDS_BYTES: u64 = 64 << 10;

/// Whose lines are sent, as their runner says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Those of the agent, and what the runner puts among them.
    Agents,
    /// Of a runner that knows that the log is full.
    Last,
}

/// What is left of a session's log for one of its runs.
#[derive(Debug)]
pub(super) struct Room {
    plan: PlanName,
    limit: Bytes,
    used: u64,
    /// For the last words of this run and those before it; nothing while the log is not full.
    last_words: Option<u64>,
}

impl Room {
    pub(super) async fn of(app: &App, caller: &Caller, run: &Run) -> Result<Self, RunError> {
        let tenant = app.store.tenant_get(caller.session.tenant).await?;
        let plan = tenant.ok_or(RunError::Store(StoreError::NotFound))?.plan;
        Ok(Self::new(plan, run))
    }

    fn new(plan: PlanName, run: &Run) -> Self {
        let last_words = LAST_WORDS_BYTES * u64::from(run.attempt);
        Self {
            plan,
            limit: Plan::current(plan).session_log,
            used: run.log_text_bytes(),
            last_words: run.log_full_at.map(|_| last_words),
        }
    }

    /// The lines for which there is room. The first for which there is none is replaced by one that says
    /// so.
    pub(super) fn cut<'a>(
        &self,
        lines: &'a [LogLine],
        words: Words,
    ) -> (Cow<'a, [LogLine]>, LogGrowth) {
        let Bytes(limit) = self.limit;
        let most = match (self.last_words, words) {
            (None, _) => limit,
            (Some(last_words), Words::Last) => limit + last_words,
            // They came before, and the answer was lost.
            (Some(_), Words::Agents) => 0,
        };
        let mut used = self.used;
        let fits = |line: &&LogLine| {
            used += size(line);
            used <= most
        };
        let count = lines.iter().take_while(fits).count();
        let kept = &lines[..count];
        let mut growth = LogGrowth {
            text_bytes: kept.iter().map(size).sum(),
            is_full: self.last_words.is_some(),
        };
        let Some(first) = lines.get(count).filter(|_| !growth.is_full) else {
            return (Cow::Borrowed(kept), growth);
        };
        let full = self.full(first);
        growth = LogGrowth { text_bytes: growth.text_bytes + size(&full), is_full: true };
        (Cow::Owned([kept, &[full]].concat()), growth)
    }

    /// Takes the place of a line for which there is no room.
    fn full(&self, line: &LogLine) -> LogLine {
        let Self { plan, limit, .. } = self;
        let text = format!(
            "warren: the log is full: plan {plan} keeps {limit} of one session's log. The session \
             goes on; what its agent writes from here on is counted and not kept"
        );
        let (number, at) = (line.number, line.at);
        LogLine { number, at, stream: LogStream::Err, text, part: LinePart::Whole }
    }
}

/// With its line end.
fn size(line: &LogLine) -> u64 {
    line.text.len() as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::sample;
    use jiff::Timestamp;

    const LIMIT: u64 = 1 << 30;

    fn lines(numbers: std::ops::RangeInclusive<u64>) -> Vec<LogLine> {
        let line = |number| LogLine {
            number,
            at: Timestamp::UNIX_EPOCH,
            stream: LogStream::Out,
            text: "123456789".to_owned(),
            part: LinePart::Whole,
        };
        numbers.map(line).collect()
    }

    /// Texts that are kept, and how the log grows.
    fn cut(run: &Run, lines: &[LogLine]) -> (Vec<String>, u64, bool) {
        let (kept, growth) = Room::new(PlanName::Starter, run).cut(lines, Words::Last);
        for (line, number) in kept.iter().zip(lines[0].number..) {
            assert_eq!(line.number, number);
        }
        let texts = kept.iter().map(|line| line.text.clone()).collect();
        (texts, growth.text_bytes, growth.is_full)
    }

    #[test]
    fn lines_are_kept_to_the_last_byte_of_the_limit_and_then_one_says_that_it_is_full() {
        let run = Run { log_bytes_before: LIMIT - 100, log_bytes: 70, ..sample::run() };
        let (texts, bytes, is_full) = cut(&run, &lines(7..=9));
        assert_eq!((texts.len(), bytes, is_full), (3, 30, false));
        let (texts, bytes, is_full) = cut(&run, &lines(7..=20));
        assert_eq!((texts.len(), is_full), (4, true));
        let full = texts.last().expect("four");
        assert!(full.contains("plan starter keeps 1Gi of one session's log"), "{full}");
        assert_eq!(bytes, 30 + full.len() as u64 + 1);
        let run = Run { log_bytes: 100, ..run };
        assert_eq!(cut(&run, &lines(1..=1)).0, [full.as_str()]);
    }

    #[test]
    fn a_full_log_has_room_for_last_words_and_for_no_more() {
        let full_at = Some(Timestamp::UNIX_EPOCH);
        let run = Run { log_bytes: LIMIT, log_full_at: full_at, ..sample::run() };
        let (texts, bytes, is_full) = cut(&run, &lines(1..=10_000));
        assert_eq!((texts.len(), bytes, is_full), (6_553, 65_530, true));
        let agents = lines(1..=1);
        let (kept, _) = Room::new(PlanName::Starter, &run).cut(&agents, Words::Agents);
        assert!(kept.is_empty(), "{kept:?}");
        let run = Run { log_bytes: LIMIT + 65_530, ..run };
        assert_eq!(cut(&run, &lines(1..=9)), (Vec::new(), 0, true));
        let second = Run { attempt: 2, ..run };
        assert_eq!(cut(&second, &lines(1..=9)).0.len(), 9);
    }
}
