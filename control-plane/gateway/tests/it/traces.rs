//! What a run's reports leave in the traces.

use crate::endpoint::world_with_run;
use reqwest::StatusCode;
use serde_json::Value;
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tracing_subscriber::fmt::format::FmtSpan;

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::Error::other("a test panicked with it"))?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_the_record_does_for_a_run_carries_its_ids() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .json()
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        .init();
    let (_world, run, runner) = world_with_run().await;
    let (status, _) = runner.post("/started", r#"{"pid":7}"#).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let text = lines.0.lock().expect("no test panics with it").clone();
    let text = String::from_utf8(text).expect("text");
    let is_ours =
        |line: &&str| line.contains("\"db.run.started\"") && line.contains(&run.id.to_string());
    let line = text.lines().find(is_ours).unwrap_or_else(|| panic!("{text}"));
    let line: Value = serde_json::from_str(line).expect("JSON");
    let report = &line["spans"][0];
    assert_eq!(report["name"], "run", "{line}");
    assert_eq!(report["run.id"], run.id.to_string());
    assert_eq!(report["session.id"], run.session.to_string());
    assert!(report["tenant.id"].as_str().is_some_and(|id| id.starts_with("tn_")), "{line}");
    assert!(!text.contains(&run.token), "no trace shows a token");
}
