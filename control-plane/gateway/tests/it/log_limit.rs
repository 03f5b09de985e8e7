//! A session's log ends at the limit of its plan, and says so.

use crate::endpoint::{lines, world_with_run};
use application::blobs::BlobPath;
use domain::{Plan, PlanName, SessionState};
use reqwest::StatusCode;
use serde_json::json;
use store::{LogGrowth, LogSegment};

#[tokio::test]
async fn a_full_log_says_so_takes_last_words_and_leaves_the_session_alone() {
    let (world, run, runner) = world_with_run().await;
    // As if the first line were nearly all that the plan keeps.
    let bytes = lines(1..=1);
    let path = BlobPath::log_segment(run.id, 1, ".ndjson");
    let digest = crate::world::sha256(bytes.as_bytes());
    world.app.blobs.put(&path, bytes.into()).await.expect("written");
    let limit = Plan::current(PlanName::Enterprise).session_log.0;
    let segment = LogSegment { first: 1, lines: 1, bytes: 9, path: path.to_string(), digest };
    let growth = LogGrowth { text_bytes: limit - 20, is_full: false };
    world.app.store.log_append(run.id, segment, growth).await.expect("it is the first");

    assert_eq!(runner.post("/logs", lines(2..=2)).await, (StatusCode::OK, json!({ "next": 3 })));
    let full = json!({ "next": 5, "full": true });
    for _ in 0..2 {
        // The first answer may have been lost.
        assert_eq!(runner.post("/logs", lines(3..=900)).await, (StatusCode::OK, full.clone()));
    }
    let texts = world.texts(&run).await;
    assert_eq!(texts.len(), 4);
    assert_eq!(texts[2], "line 3");
    assert!(texts[3].contains("plan enterprise keeps 16Gi of one session's log"), "{}", texts[3]);
    let record = world.record(&run).await;
    assert!(record.log_full_at.is_some());

    let usage = json!({ "cpuMs": 5, "peakMemoryBytes": 6, "wallMs": 7, "missingLines": 896 });
    assert_eq!(runner.post("/heartbeat", usage.to_string()).await.0, StatusCode::OK);
    assert_eq!(world.record(&run).await.log_missing_lines, 896, "known while it runs");
    let words = (StatusCode::OK, json!({ "next": 6, "full": true }));
    assert_eq!(
        runner.post("/logs?lastWords=true", lines(5..=5)).await,
        words,
        "last words have room"
    );
    let mut next = 6;
    for _ in 0..100 {
        let (status, answer) = runner.post("/logs?lastWords=true", lines(next..=next + 999)).await;
        assert_eq!((status, &answer["full"]), (StatusCode::OK, &json!(true)));
        next = answer["next"].as_u64().expect("a number");
    }
    let kept = world.record(&run).await.log_text_bytes() - limit;
    assert!((60_000..70_000).contains(&kept), "{kept}");

    let mut exit = usage;
    exit["code"] = json!(0);
    exit["wasTerminated"] = json!(false);
    exit["lastLine"] = json!(next - 1);
    exit["missingLines"] = json!(5_000);
    assert_eq!(runner.post("/exited", exit.to_string()).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.record(&run).await.log_missing_lines, 5_000);
    assert_eq!(world.session(&run).await.state, SessionState::Succeeded);
}
