use super::*;
use crate::lines::MAX_LINE_BYTES;
use serde_json::Value;
use std::{ops::ControlFlow, sync::Arc, thread};
use tempfile::TempDir;

/// A Warren that keeps lines by their number.
#[derive(Default)]
struct Warren {
    lines: Vec<Value>,
    calls: usize,
}

impl Warren {
    /// As the run endpoint does.
    fn append(&mut self, body: &[u8]) -> Result<Kept, CallError> {
        assert!(body.len() <= (1 << 20) + (64 << 10), "the endpoint refuses {} bytes", body.len());
        for (number, line) in numbered_lines(body) {
            let next = self.lines.len() as u64 + 1;
            match number {
                number if number > next => return Err(CallError::Gap { next }),
                number if number == next => self.lines.push(line),
                _ => {}
            }
        }
        Ok(Kept { next: self.lines.len() as u64 + 1, full: false })
    }

    fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line["l"].as_str().expect("a text")).collect()
    }
}

fn numbered_lines(body: &[u8]) -> Vec<(u64, Value)> {
    let lines = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    let numbered = |line: Value| (line["n"].as_u64().expect("a number"), line);
    lines.map(|line| numbered(line.expect("one object for each line"))).collect()
}

fn log() -> (Arc<Log>, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bounds = Bounds { memory: 4 << 10, disk: 1 << 20, batch: 2 << 10 };
    (Arc::new(Log::bounded(folder.path(), bounds)), folder)
}

/// Writes as an agent does, to the end.
fn write(log: &Log, text: &[u8]) {
    let mut splitter = Splitter::default();
    log.write(Stream::Out, &mut splitter, text);
    log.finish(Stream::Out, &mut splitter);
    log.close();
}

fn counted(lines: usize) -> Vec<u8> {
    (1..=lines).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

/// What a Warren gets of `text` when `fault` may break its calls: before they have an effect, or after.
fn received(
    text: &[u8],
    mut fault: impl FnMut(&mut Warren) -> ControlFlow<CallError, Option<CallError>>,
) -> Warren {
    let (log, _folder) = log();
    write(&log, text);
    let mut warren = Warren::default();
    let last = log.send_all(|body, _| {
        loop {
            warren.calls += 1;
            let outcome = match fault(&mut warren) {
                ControlFlow::Break(error) => Err(error),
                ControlFlow::Continue(lost) => {
                    let outcome = warren.append(body);
                    lost.map_or(outcome, Err)
                }
            };
            // As `Patience` does.
            if !matches!(outcome, Err(CallError::Away(_))) {
                return outcome;
            }
        }
    });
    assert_eq!(last, warren.lines.len() as u64);
    for (line, number) in warren.lines.iter().zip(1..) {
        assert_eq!(line["n"].as_u64(), Some(number));
    }
    warren
}

fn away() -> CallError {
    CallError::Away("test".to_owned())
}

#[test]
fn what_is_on_disk_arrives_once_and_in_order_although_calls_and_answers_are_lost() {
    let expected: Vec<String> = (1..=5_000).map(|number| number.to_string()).collect();
    let warren = received(&counted(5_000), |warren| match warren.calls % 5 {
        1 | 2 => ControlFlow::Break(away()),
        3 => ControlFlow::Continue(Some(away())),
        _ => ControlFlow::Continue(None),
    });
    assert!(warren.calls > 300, "{}", warren.calls);
    assert_eq!(warren.texts(), expected);
}

#[test]
fn a_warren_that_knows_more_than_it_confirmed_is_not_sent_it_again() {
    let expected: Vec<String> = (1..=5_000).map(|number| number.to_string()).collect();
    // The effect is there, and the answer is that of an attempt that came after it.
    let warren = received(&counted(5_000), |warren| {
        let next = warren.lines.len() as u64 + 20;
        match warren.calls {
            4 => ControlFlow::Continue(Some(CallError::Gap { next })),
            _ => ControlFlow::Continue(None),
        }
    });
    assert_eq!(warren.texts(), expected);
}

#[test]
fn a_warren_that_was_restored_from_a_copy_is_told_what_it_has_lost() {
    let warren = received(&counted(5_000), |warren| {
        if warren.calls == 10 {
            warren.lines.truncate(100);
        }
        ControlFlow::Continue(None)
    });
    let texts = warren.texts();
    assert_eq!(texts[99], "100");
    let next: u64 = texts[101].parse().expect("a number");
    let lost = next - 101;
    assert_eq!(texts[100], format!("warren-runner: Warren has lost {lost} lines that were here"));
    let rest: Vec<String> = (next..=5_000).map(|number| number.to_string()).collect();
    assert_eq!(texts[101..], rest);
}

#[test]
fn a_line_of_a_mebibyte_is_put_together_again_from_its_pieces() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = Log::new(folder.path());
    // Each of its bytes becomes six on the way.
    let line = "\u{1}".repeat(1 << 20);
    write(&log, format!("{line}\nno line feed").as_bytes());
    let mut warren = Warren::default();
    log.send_all(|body, _| warren.append(body));
    let (last, pieces) = warren.lines.split_last().expect("lines");
    assert_eq!((last["l"].as_str(), last.get("p")), (Some("no line feed"), None));
    assert_eq!(pieces.len(), (1 << 20) / MAX_LINE_BYTES);
    let parts: Vec<&str> = pieces.iter().map(|line| line["p"].as_str().expect("a piece")).collect();
    assert_eq!((parts[0], parts[parts.len() - 1]), ("first", "last"));
    assert!(parts[1..parts.len() - 1].iter().all(|part| *part == "middle"));
    let whole: String = pieces.iter().filter_map(|line| line["l"].as_str()).collect();
    assert!(whole == line);
}

#[test]
fn the_numbers_of_many_empty_lines_are_not_too_many_bytes_for_the_endpoint() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = Log::new(folder.path());
    write(&log, &vec![b'\n'; 50_000]);
    let mut warren = Warren::default();
    assert_eq!(log.send_all(|body, _| warren.append(body)), 50_000);
    assert!(warren.texts().iter().all(|text| text.is_empty()));
}

#[test]
fn lines_are_sent_while_others_are_written() {
    let (log, _folder) = log();
    let writer = thread::spawn({
        let log = Arc::clone(&log);
        move || {
            let mut splitter = Splitter::default();
            for number in 1..=2_000 {
                log.write(Stream::Out, &mut splitter, format!("{number}\n").as_bytes());
            }
            log.close();
        }
    });
    let mut warren = Warren::default();
    let last = log.send_all(|body, _| warren.append(body));
    writer.join().expect("it does not panic");
    assert_eq!(last, 2_000);
    let expected: Vec<String> = (1..=2_000).map(|number| number.to_string()).collect();
    assert_eq!(warren.texts(), expected);
}

#[test]
fn a_closed_log_hands_out_what_it_has_and_takes_no_more() {
    let (log, _folder) = log();
    write(&log, b"last");
    write(&log, b"too late");
    let mut warren = Warren::default();
    assert_eq!(log.send_all(|body, _| warren.append(body)), 1);
    assert_eq!(warren.texts(), ["last"]);
}

#[test]
fn a_batch_is_one_numbered_object_per_line() {
    let at = "1970-01-01T00:00:00.000Z".to_owned();
    let mut written = Written { stream: Stream::Err, at, lines: Vec::new() };
    written.add(Part::Whole, "a\"\u{1}");
    written.add(Part::First, "b");
    let expected = "{\"n\":7,\"t\":\"1970-01-01T00:00:00.000Z\",\"s\":\"err\",\"l\":\"a\\\"\\u0001\"}\n\
                    {\"n\":8,\"t\":\"1970-01-01T00:00:00.000Z\",\"s\":\"err\",\"l\":\"b\",\"p\":\"first\"}\n";
    assert_eq!(String::from_utf8_lossy(&numbered(7, &written.lines)), expected);
}

/// A Warren that has room for so many lines and, after that, for last words.
#[derive(Default)]
struct SmallWarren {
    texts: Vec<String>,
    full: bool,
}

impl SmallWarren {
    const ROOM: u64 = 100;

    /// As the run endpoint does.
    fn append(&mut self, body: &[u8], are_last_words: bool) -> Kept {
        for (number, line) in numbered_lines(body) {
            let next = self.texts.len() as u64 + 1;
            let text = line["l"].as_str().expect("a text").to_owned();
            if number == next && (number <= Self::ROOM && !self.full || are_last_words) {
                self.texts.push(text);
            } else if number == next && !self.full {
                self.full = true;
                self.texts.push("full".to_owned());
            }
        }
        Kept { next: self.texts.len() as u64 + 1, full: self.full }
    }
}

#[test]
fn a_warren_without_room_gets_nothing_but_last_words_and_every_missing_line_is_counted() {
    for loses_answers in [false, true] {
        let (log, _folder) = log();
        let mut splitter = Splitter::default();
        log.write(Stream::Out, &mut splitter, &counted(3_000));
        let mut warren = SmallWarren::default();
        let mut bytes_when_full = 0;
        let last = log.send_all(|body, are_last_words| {
            let was_full = warren.full;
            let mut answer = warren.append(body, are_last_words);
            if loses_answers {
                answer = warren.append(body, are_last_words);
            }
            if was_full {
                bytes_when_full += body.len();
            } else if answer.full {
                log.write(Stream::Out, &mut splitter, &counted(1_000));
                log.note("x is left out");
                log.close();
            }
            Ok(answer)
        });
        let texts = &warren.texts;
        assert_eq!(last, texts.len() as u64);
        assert_eq!(texts[99..102], ["100", "full", "warren-runner: x is left out"]);
        assert_eq!(texts.len(), 103);
        let missing = "warren-runner: 3900 lines are missing here";
        assert!(texts[102].starts_with(missing), "{}", texts[102]);
        assert_eq!(log.missing_lines(), 3_900);
        assert!(bytes_when_full < 1_000, "{bytes_when_full}");
    }
}
