use super::*;
use tempfile::TempDir;

const BOUNDS: Bounds = Bounds { memory: 2_000, disk: 20_000, batch: 1_000 };

fn queue() -> (Queue, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    (Queue::new(BOUNDS, Spill::new(folder.path(), BOUNDS.disk)), folder)
}

fn written(stream: Stream, parts: &[(Part, &str)]) -> Written {
    let mut written = Written::now(stream);
    for (part, text) in parts {
        written.add(*part, text);
    }
    written
}

fn push(queue: &mut Queue, number: u64) {
    queue.push(&written(Stream::Out, &[(Part::Whole, &number.to_string())]));
}

/// The texts of a batch.
fn texts(batch: &[u8]) -> Vec<String> {
    let lines = batch.split_inclusive(|byte| *byte == b'\n');
    let object = |line: &[u8]| -> serde_json::Value {
        serde_json::from_slice(&[b"{", line].concat()).expect("an object without its number")
    };
    lines.map(|line| object(line)["l"].as_str().expect("a text").to_owned()).collect()
}

fn drain(queue: &mut Queue) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let batch = queue.take();
        if batch.is_empty() {
            return all;
        }
        assert!(batch.len() <= BOUNDS.batch + 300, "{}", batch.len());
        all.extend(texts(&batch));
    }
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn lines_stay_in_order_from_memory_over_the_file_and_back() {
    let (mut queue, _folder) = queue();
    let (mut sent, mut received) = (0, Vec::new());
    let mut was_on_disk = 0;
    // Warren takes a batch now and then, so that the file fills, goes round and empties.
    for round in 0..200 {
        for _ in 0..10 + 15 * (round / 20 % 2) {
            push(&mut queue, sent);
            sent += 1;
        }
        was_on_disk += u64::from(!queue.spill.is_empty());
        for _ in 0..=2 * ((round / 20 + 1) % 2) {
            received.extend(texts(&queue.take()));
        }
    }
    received.extend(drain(&mut queue));
    assert_eq!(received, numbers(0..sent));
    assert!((20..180).contains(&was_on_disk), "{was_on_disk}");
}

#[test]
fn a_full_buffer_keeps_the_oldest_lines_and_tells_once_and_in_place_how_many_are_missing() {
    let (mut queue, _folder) = queue();
    for number in 0..1_000 {
        push(&mut queue, number);
    }
    let bytes = queue.memory.len() as u64 + queue.spill.bytes();
    assert!(bytes <= 22_000, "{bytes}");
    // One batch makes room for more than the remark.
    let mut received = Vec::new();
    for _ in 0..5 {
        received.extend(texts(&queue.take()));
    }
    for number in 1_000..1_010 {
        push(&mut queue, number);
    }
    received.extend(drain(&mut queue));
    let gap = received.iter().position(|text| text.starts_with("warren-runner: "));
    let gap = gap.expect("the gap is told");
    assert!(gap > 300, "{gap}");
    assert_eq!(received[..gap], numbers(0..gap as u64));
    let missing = 1_000 - gap;
    let expected = format!(
        "warren-runner: {missing} lines are missing here: Warren did not take them in time, and the \
         buffer was full"
    );
    assert_eq!(received[gap], expected);
    assert_eq!(received[gap + 1..], numbers(1_000..1_010));
}

#[test]
fn lines_that_are_missing_at_the_end_are_told_at_the_end() {
    let (mut queue, _folder) = queue();
    for number in 0..1_000 {
        push(&mut queue, number);
    }
    queue.close();
    push(&mut queue, 1_000);
    let received = drain(&mut queue);
    let (last, kept) = received.split_last().expect("lines");
    assert_eq!(kept, numbers(0..kept.len() as u64));
    let missing = 1_000 - kept.len();
    assert!(
        last.starts_with(&format!("warren-runner: {missing} lines are missing here")),
        "{last}"
    );
}

#[test]
fn a_line_that_has_lost_a_piece_loses_the_rest_and_the_next_one_is_whole() {
    let (mut queue, _folder) = queue();
    let long = "x".repeat(600);
    queue.push(&written(Stream::Err, &[(Part::First, "begin")]));
    for _ in 0..100 {
        queue.push(&written(Stream::Err, &[(Part::Middle, &long)]));
    }
    let mut received = Vec::new();
    for _ in 0..15 {
        received.extend(texts(&queue.take()));
    }
    // There is room again, in the middle of the line.
    queue.push(&written(Stream::Err, &[(Part::Middle, "rest"), (Part::Last, "end")]));
    queue.push(&written(Stream::Out, &[(Part::Whole, "other")]));
    queue.push(&written(Stream::Err, &[(Part::Whole, "next"), (Part::First, "open")]));
    received.extend(drain(&mut queue));
    let kept = received.iter().filter(|text| **text == long).count();
    let gap = received[kept + 1].split(" missing").next();
    assert_eq!(gap, Some(format!("warren-runner: {} lines are", 100 - kept + 2).as_str()));
    assert_eq!(received[kept + 2..], ["other", "next", "open"]);
}

#[test]
fn a_disk_that_cannot_be_written_leaves_the_memory_and_is_named() {
    let (mut queue, _folder) = queue();
    queue.spill.break_for_writing();
    for number in 0..100 {
        push(&mut queue, number);
    }
    assert!(queue.memory.len() <= BOUNDS.memory);
    let mut received = drain(&mut queue);
    for number in 100..110 {
        push(&mut queue, number);
    }
    received.extend(drain(&mut queue));
    let gap = received.iter().position(|text| text.starts_with("warren-runner: ")).expect("told");
    assert!(gap > 10, "{gap}");
    assert_eq!(received[..gap], numbers(0..gap as u64));
    let expected = format!("warren-runner: {} lines are missing here", 100 - gap);
    assert!(received[gap].starts_with(&expected), "{}", received[gap]);
    assert!(received[gap].contains("the buffer on disk cannot be used: "), "{}", received[gap]);
    assert_eq!(received[gap + 1..], numbers(100..110));
}

#[test]
fn what_a_line_is_of_its_line_is_known_by_its_end_whatever_its_text_is() {
    for text in ["", r#"","p":"middle"}"#, r#"\","p":"last"}"#, "\u{1}\\"] {
        for expected in [Part::Whole, Part::First, Part::Middle, Part::Last] {
            let written = written(Stream::Out, &[(expected, text)]);
            assert_eq!(part(written.lines.strip_suffix(b"\n").expect("a line")), expected);
        }
    }
}

#[test]
fn a_full_log_gives_up_what_waits_but_for_last_words_and_tells_once_how_much_that_was() {
    let (mut queue, _folder) = queue();
    let own = |text: &str| written(Stream::Err, &[(Part::Whole, &format!("{OWN}{text}"))]);
    for number in 0..40 {
        push(&mut queue, number);
    }
    queue.push(&own("in memory or in the file"));
    for number in 40..80 {
        push(&mut queue, number);
    }
    assert!(!queue.spill.is_empty());
    let mut refused = queue.take();
    refused.extend_from_slice(&own("refused").lines);
    let taken = texts(&refused).len() as u64 - 1;
    queue.fill(&refused);
    assert!(queue.spill.is_empty());
    assert_eq!(queue.missing_lines(), 80, "{taken} of them were refused");
    assert_eq!(
        texts(&queue.take()),
        [format!("{OWN}refused"), format!("{OWN}in memory or in the file")]
    );

    for number in 80..10_000 {
        push(&mut queue, number);
    }
    assert_eq!((queue.since(), queue.is_due()), (None, false), "nothing wakes the sender");
    queue.push_last_word(&own("the end"));
    assert_eq!(texts(&queue.take()), [format!("{OWN}the end")]);
    queue.close();
    let last = drain(&mut queue);
    let told = "warren-runner: 10000 lines are missing here: the log of the session is full";
    assert_eq!(last, [told]);
    // Not even for that there is room: it is not tried for ever.
    queue.fill(&own("refused").lines);
    assert_eq!(drain(&mut queue), Vec::<String>::new());
    assert_eq!(queue.missing_lines(), 10_001);
}
