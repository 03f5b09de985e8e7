//! How fast the run endpoint takes lines. Not for every day:
//! `cargo test --profile lab -p gateway --test it speed -- --ignored --nocapture`

use crate::endpoint::world_with_run;
use reqwest::StatusCode;
use serde_json::json;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn batches_of_a_mebibyte_are_kept() {
    let (world, run, runner) = world_with_run().await;
    let line = |number: u64| {
        let text = format!("{number:x} {:x} step done", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let line = json!({"n": number, "t": "2025-01-01T00:00:00.000Z", "s": "out", "l": text});
        line.to_string() + "\n"
    };
    let (mut bodies, mut next) = (Vec::new(), 1);
    for _ in 0..100 {
        let mut body = String::new();
        while body.len() < (1 << 20) - 200 {
            body += &line(next);
            next += 1;
        }
        bodies.push(body);
    }
    let bytes: usize = bodies.iter().map(String::len).sum();
    let start = Instant::now();
    for body in bodies {
        assert_eq!(runner.post("/logs", body).await.0, StatusCode::OK);
    }
    let time = start.elapsed().as_secs_f64();
    assert_eq!(world.log(&run).await.len() as u64, next - 1);
    let mebibytes = bytes >> 20;
    eprintln!("{} lines, {mebibytes} MiB as sent, kept in {time:.2} s", next - 1);
}
