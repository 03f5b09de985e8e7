//! Times, amounts and foreign text in the form in which people read them.

use domain::{Bytes, Millicores};
use jiff::Timestamp;
use std::{borrow::Cow, time::Duration};

use super::answer::Amount;

/// What is measured by an amount.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Cpu,
    Bytes,
    Count,
}

/// `0.4 s`, `12.3 s`, `3m 04s`, `2h 05m`, `4d 02h`.
pub(super) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => {
            let tenths = duration.as_millis() / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Rounded up, so that nothing is cut off.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// How long ago, coarsely: `8s`, `5m`, `3h`, `12d`.
pub(super) fn age(since: Option<Timestamp>) -> String {
    let Some(since) = since else { return "-".to_owned() };
    let seconds = between(since, now()).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Exact to the second, with its age.
pub(super) fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0} ({} ago)", age(Some(at))))
}

/// The time from `start` to `end`; none when clocks disagree.
pub(super) fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}

/// The present, for ages on a screen.
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// An amount in its largest sensible unit, rounded to a tenth.
pub(super) fn amount(amount: &Amount, unit: Unit) -> String {
    match (value(amount, unit), unit) {
        (None, _) => match amount {
            Amount::Text(text) => visible(text).into_owned(),
            Amount::Number(number) => number.to_string(),
        },
        (Some(number), Unit::Cpu) => Millicores(number).to_string(),
        (Some(number), Unit::Bytes) => bytes(number),
        (Some(number), Unit::Count) => number.to_string(),
    }
}

/// `1.5 GiB`-like, in Kubernetes' spelling: `1.5Gi`.
pub(super) fn bytes(number: u64) -> String {
    let units = [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
    match units.into_iter().find(|(shift, _)| number >> shift > 0) {
        None => number.to_string(),
        Some((shift, unit)) => {
            let tenths = (u128::from(number) * 10 + (1 << (shift - 1))) >> shift;
            match (tenths / 10, tenths % 10) {
                (whole, 0) => format!("{whole}{unit}"),
                (whole, tenth) => format!("{whole}.{tenth}{unit}"),
            }
        }
    }
}

/// How much of `limit` is used, in whole percent.
pub(super) fn percent(used: &Amount, limit: &Amount, unit: Unit) -> String {
    match (value(used, unit), value(limit, unit)) {
        (Some(used), Some(limit)) if limit > 0 => {
            format!("{} %", u128::from(used) * 100 / u128::from(limit))
        }
        _ => "-".to_owned(),
    }
}

fn value(amount: &Amount, unit: Unit) -> Option<u64> {
    match (amount, unit) {
        (Amount::Number(number), _) => Some(*number),
        (Amount::Text(text), Unit::Cpu) => Millicores::parse(text).map(|amount| amount.0),
        (Amount::Text(text), Unit::Bytes) => Bytes::parse(text).map(|amount| amount.0),
        (Amount::Text(text), Unit::Count) => text.parse().ok(),
    }
}

/// Text from elsewhere without control characters, so that it cannot move the cursor, change the
/// title of a terminal or answer in its user's name.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
    } else {
        Cow::Borrowed(text)
    }
}

/// A log line for a terminal: colours stay (`ESC [ … m`), other control characters do not.
pub(super) fn visible_with_colours(line: &str) -> Cow<'_, str> {
    if !line.chars().any(|c| c.is_control() && c != '\t') {
        return Cow::Borrowed(line);
    }
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let taken = if let Some(sequence) = colour(rest) {
            clean.push_str(sequence);
            sequence.len()
        } else {
            clean.push_str(&visible(&rest[..next.len_utf8()]));
            next.len_utf8()
        };
        rest = &rest[taken..];
    }
    Cow::Owned(clean)
}

fn colour(text: &str) -> Option<&str> {
    let body = text.strip_prefix("\u{1b}[")?;
    let end = body.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    body[end..].starts_with('m').then(|| &text[..end + 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_to_what_a_person_reads() {
        for (number, text) in
            [(0, "0"), (1023, "1023"), (1 << 30, "1Gi"), (1_610_612_736, "1.5Gi"), (5 << 20, "5Mi")]
        {
            assert_eq!(bytes(number), text);
        }
        let half = (Amount::Text("500m".to_owned()), Amount::Number(2000));
        assert_eq!(percent(&half.0, &half.1, Unit::Cpu), "25 %");
        assert_eq!(percent(&half.0, &Amount::Number(0), Unit::Cpu), "-");
        assert_eq!(time(Duration::from_millis(12_345)), "12.3 s");
        assert_eq!(time(Duration::from_secs(184)), "3m 04s");
    }

    #[test]
    fn an_agents_log_can_colour_a_terminal_but_not_command_it() {
        assert_eq!(visible_with_colours("\u{1b}[1;31mred\u{1b}[0m"), "\u{1b}[1;31mred\u{1b}[0m");
        assert_eq!(visible_with_colours("a\u{1b}]0;title\u{7}b"), "a\u{fffd}]0;title\u{fffd}b");
        assert_eq!(visible_with_colours("\u{1b}[2Jgone\u{1b}["), "\u{fffd}[2Jgone\u{fffd}[");
        assert_eq!(visible("tab\tand é"), "tab\tand é");
    }
}
