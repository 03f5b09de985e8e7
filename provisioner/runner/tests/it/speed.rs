//! How fast lines go from an agent to the record. Not for every day:
//! `cargo test --profile lab -p runner --test it speed -- --ignored --nocapture --test-threads 1`

use crate::bench::pod_of_run;
use std::{fs, time::Instant};

/// Bytes of each line, with its line feed.
const LINE_BYTES: usize = 100;
const LINES: usize = 1_000_000;

/// Runs a script that writes [`LINES`] lines, and checks that each of them is kept once.
async fn measure(what: &str, script: &str) {
    let (world, run, pod) = pod_of_run().await;
    let lines: Vec<String> = (0..10_000).map(|number| format!("{number:099}\n")).collect();
    let block = lines.concat();
    assert_eq!(block.len(), 10_000 * LINE_BYTES);
    fs::write(pod.path("block"), &block).expect("a new file");
    let start = Instant::now();
    let ended = pod.shell(script).await;
    let time = start.elapsed().as_secs_f64();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let texts = world.texts(&run).await;
    let segments = world.app.store.log_segments(run.id, 1).await.expect("the record answers").len();
    assert_eq!(texts.len(), LINES);
    let expected = block.lines().cycle();
    assert!(
        texts.iter().zip(expected).all(|(text, line)| text == line),
        "lines are not as written"
    );
    eprintln!(
        "{what}: {LINES} lines of {LINE_BYTES} bytes kept after {time:.1} s, {segments} segments"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_hundred_thousand_lines_a_second_for_ten_seconds_are_kept() {
    let script = r#"for i in $(seq 1 100); do cat "$POD/block"; sleep 0.1; done"#;
    measure("100,000 lines a second for 10 s", script).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_million_lines_at_once_are_kept() {
    measure("at once", r#"for i in $(seq 1 100); do cat "$POD/block"; done"#).await;
}
