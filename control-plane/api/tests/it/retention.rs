//! What sessions left is kept as long as the tenant's plan says, and then it is said that it was there.

use crate::harness::{TestApp, TestTenant, digest, look_cut_off};
use application::{
    Artifact,
    blobs::{BlobPath, Limits},
    housekeeping::Housekeeping,
};
use domain::{RunId, SessionId, SessionState};
use futures::stream;
use serde_json::Value;
use std::io;

const DAY: i64 = 24 * 60;

/// A session that is over, with a log, a result and an artifact.
async fn ended(server: &TestApp, tenant: &TestTenant) -> (SessionId, RunId) {
    let session = server.session(tenant).await;
    let run = server.run(session).await;
    server.log(run, 1, "oe").await;
    let blobs = &server.app.blobs;
    blobs.put(&BlobPath::result(run), "{}".into()).await.expect("written");
    let digest = digest(b"report");
    let path = BlobPath::artifact(run, &digest);
    let bytes = stream::iter([Ok::<_, io::Error>("report".into())]);
    blobs.write(&path, bytes, Limits { bytes: 10, digest: &digest }).await.expect("written");
    let artifact =
        Artifact { path: "report.txt".to_owned(), size: 6, digest, blob: path.to_string() };
    server.app.store.artifact_put(run, artifact).await.expect("noted");
    server.advance(session, SessionState::Succeeded).await;
    (session, run)
}

async fn look(server: &TestApp) {
    Housekeeping::default().look(&server.app).await.expect("everything can be removed");
}

/// The status of everything that a session left.
async fn statuses(server: &TestApp, path: &str) -> Vec<u16> {
    let mut found = Vec::new();
    for part in ["logs", "logs?tail=1", "result", "artifacts", "artifacts/report.txt"] {
        found.push(server.get(&format!("{path}/{part}")).await.status.as_u16());
    }
    found
}

#[tokio::test]
async fn what_a_session_left_ends_with_the_time_of_its_plan_and_the_session_stays() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let (session, _) = ended(&server, &tenant).await;
    let running = server.session(&tenant).await;
    let run = server.run(running).await;
    server.log(run, 1, "o").await;
    let path = format!("{}/sessions/{session}", tenant.path);
    let body = server.get(&path).await.json();
    assert_eq!(body["logKeptUntil"], "2026-11-28T10:00:00Z");
    assert_eq!(body["filesKeptUntil"], "2026-11-28T10:00:00Z");
    assert_eq!((&body["logRemovedAt"], &body["filesRemovedAt"]), (&Value::Null, &Value::Null));

    server.clock.forward(7 * DAY);
    look(&server).await;
    assert_eq!(statuses(&server, &path).await, [200; 5], "to the last moment");
    server.clock.forward(1);
    look(&server).await;
    assert_eq!(statuses(&server, &path).await, [410; 5]);
    let log = server.get(&format!("{path}/logs")).await;
    assert_eq!(log.problem(), (410, "expired".to_owned()));
    let detail = log.json()["detail"].as_str().expect("a text").to_owned();
    for part in ["log", "2026-11-28T10:01:00Z", "plan starter", "7 days"] {
        assert!(detail.contains(part), "{detail}");
    }
    let body = server.get(&path).await.json();
    assert_eq!((&body["state"], &body["logLines"]), (&"succeeded".into(), &2.into()));
    assert_eq!(body["logRemovedAt"], "2026-11-28T10:01:00Z");
    assert_eq!(body["filesRemovedAt"], "2026-11-28T10:01:00Z");
    let runs = server.get(&format!("{path}/runs")).await.json();
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "the record stays");

    let files = server.files();
    assert_eq!(files.len(), 1, "that of the session which is not over: {files:#?}");
    assert!(files[0].contains(&run.digits()));
    assert_eq!(server.app.store.session_removing(None, 9).await.expect("readable"), []);
}

#[tokio::test]
async fn a_removal_that_is_cut_off_anywhere_is_completed_and_never_shown_as_emptiness() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let (mut paths, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (session, run) = ended(&server, &tenant).await;
        paths.push(format!("{}/sessions/{session}", tenant.path));
        runs.push(run);
    }
    server.clock.forward(8 * DAY);
    let mut cuts = 0;
    loop {
        look_cut_off(&server, cuts).await;
        // A write that was cut off may still be under way, and break an answer off: others wait for it.
        server.app.store.run_heartbeat(runs[0], None).await.expect("it is there");
        for path in &paths {
            let found = statuses(&server, path).await;
            assert!(found.iter().all(|status| matches!(status, 200 | 410)), "{found:?}");
        }
        // Each of the first moments, and then ever fewer.
        cuts += 1 + cuts / 8;
        assert!(cuts < 100_000, "it gets on");
        let removing = server.app.store.session_removing(None, 9).await.expect("readable");
        if removing.is_empty() && statuses(&server, &paths[2]).await == [410; 5] {
            break;
        }
    }
    assert!(cuts > 1, "it was cut off at least once");
    assert_eq!(server.files(), Vec::<String>::new());
}
