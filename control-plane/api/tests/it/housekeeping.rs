//! What is removed when nobody needs it any more, and what is not.

use crate::harness::{Answer, TestApp, TestTenant, digest, look_cut_off, request};
use application::{
    Artifact,
    blobs::{BlobPath, Limits},
    housekeeping::Housekeeping,
};
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use domain::{Digest, RunId, SessionState};
use futures::stream;
use serde_json::json;
use std::io;

const DAY: i64 = 24 * 60;

async fn put(server: &TestApp, tenant: &TestTenant, bytes: &'static str) -> Answer {
    let path = format!("{}/blobs/{}", tenant.path, digest(bytes.as_bytes()));
    let request = request(&tenant.owner, Method::PUT, &path).header("content-length", bytes.len());
    server.call(request.body(Body::from(bytes))).await
}

async fn is_there(server: &TestApp, tenant: &TestTenant, bytes: &str) -> bool {
    let path = format!("{}/blobs/{}", tenant.path, digest(bytes.as_bytes()));
    server.send(&tenant.owner, Method::HEAD, &path, None).await.status == StatusCode::OK
}

async fn session_with(server: &TestApp, tenant: &TestTenant, bytes: &str) -> Answer {
    let inputs = json!([{ "name": "a", "digest": digest(bytes.as_bytes()).to_string() }]);
    let body = json!({ "image": "agent:1", "command": ["/agent"], "inputs": inputs });
    server.post(&format!("{}/sessions", tenant.path), body).await
}

/// A run with a log, a result and an artifact.
async fn run(server: &TestApp, tenant: &TestTenant) -> RunId {
    let run = server.run(server.session(tenant).await).await;
    server.log(run, 1, "oe").await;
    let blobs = &server.app.blobs;
    blobs.put(&BlobPath::result(run), "{}".into()).await.expect("written");
    let digest = digest(b"report");
    let path = BlobPath::artifact(run, &digest);
    let bytes = stream::iter([Ok::<_, io::Error>("report".into())]);
    let limits = Limits { bytes: 10, digest: &digest };
    blobs.write(&path, bytes, limits).await.expect("written");
    let artifact =
        Artifact { path: "report.txt".to_owned(), size: 6, digest, blob: path.to_string() };
    server.app.store.artifact_put(run, artifact).await.expect("noted");
    run
}

/// What the provisioner does when a tenant is gone from the world.
async fn remove(server: &TestApp, tenant: &TestTenant) {
    let asked = server.send(&tenant.owner, Method::DELETE, &tenant.path, None).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED);
    server.app.store.tenant_remove(tenant.id, Vec::new(), None).await.expect("it was asked for");
}

async fn look(server: &TestApp, housekeeping: &mut Housekeeping) {
    housekeeping.look(&server.app).await.expect("everything can be removed");
}

#[tokio::test]
async fn nothing_of_a_removed_tenant_is_left_and_everything_of_the_others() {
    let server = TestApp::new().await;
    let (gone, stays) = (server.tenant("gone").await, server.tenant("stays").await);
    let mut runs = Vec::new();
    for tenant in [&gone, &stays] {
        assert_eq!(put(&server, tenant, "the same bytes").await.status, StatusCode::CREATED);
        runs.push(run(&server, tenant).await);
    }
    let mut housekeeping = Housekeeping::default();
    look(&server, &mut housekeeping).await;
    assert_eq!(server.files().len(), 8, "nobody is removed yet");

    remove(&server, &gone).await;
    look(&server, &mut housekeeping).await;
    let (own, other) = (stays.id.digits(), runs[1].digits());
    let files = server.files();
    assert_eq!(files.len(), 4, "{files:#?}");
    assert!(files.iter().all(|file| file.contains(&own) || file.contains(&other)), "{files:#?}");
    assert!(is_there(&server, &stays, "the same bytes").await);
    let store = &server.app.store;
    for (run, lines, artifacts) in [(runs[0], 0, 0), (runs[1], 1, 1)] {
        assert_eq!(store.log_segments(run, 1).await.expect("readable").len(), lines);
        assert_eq!(store.artifact_list(run).await.expect("readable").len(), artifacts);
    }

    // What was on its way at the removal is found by the last look, and only that one is the end.
    let late = BlobPath::result(runs[0]);
    server.app.blobs.put(&late, "{}".into()).await.expect("written");
    assert_eq!(store.tenant_unerased(None, 9).await.expect("readable").len(), 1);
    server.clock.forward(61);
    look(&server, &mut housekeeping).await;
    assert_eq!(server.app.blobs.get(&late).await.expect("readable"), None);
    assert_eq!(store.tenant_unerased(None, 9).await.expect("readable"), []);
    let audit = store.audit_list(Some(gone.id), None, 1).await.expect("readable");
    assert_eq!(audit[0].action, "tenant.erase");
    assert_eq!(server.files().len(), 4);
}

#[tokio::test]
async fn an_erasure_that_is_cut_off_anywhere_is_completed_by_the_next_process() {
    let server = TestApp::new().await;
    let tenant = server.tenant("gone").await;
    put(&server, &tenant, "an input").await;
    for _ in 0..3 {
        run(&server, &tenant).await;
    }
    remove(&server, &tenant).await;
    server.clock.forward(61);
    let store = &server.app.store;
    let mut cuts = 0;
    while !store.tenant_unerased(None, 9).await.expect("readable").is_empty() {
        look_cut_off(&server, cuts).await;
        cuts += 1;
        assert!(cuts < 10_000, "it gets on");
    }
    assert!(cuts > 1, "it was cut off at least once");
    assert_eq!(server.files(), Vec::<String>::new());
}

#[tokio::test]
async fn an_upload_ends_a_while_after_it_was_last_sent_or_named_but_not_under_a_session() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    for bytes in ["never named", "named and over", "waited for", "sent again"] {
        assert_eq!(put(&server, &tenant, bytes).await.status, StatusCode::CREATED);
    }
    server.clock.forward(4 * DAY);
    let over = session_with(&server, &tenant, "named and over").await.json();
    let over = over["id"].as_str().expect("an id").parse().expect("a session's id");
    server.advance(over, SessionState::Stopped).await;
    let waiting = session_with(&server, &tenant, "waited for").await;
    assert_eq!(waiting.status, StatusCode::CREATED);
    assert_eq!(put(&server, &tenant, "sent again").await.status, StatusCode::OK);

    let left = async || {
        let mut left = Vec::new();
        for bytes in ["never named", "named and over", "waited for", "sent again"] {
            if is_there(&server, &tenant, bytes).await {
                left.push(bytes);
            }
        }
        assert_eq!(uploads(&server), left.len());
        left
    };
    let clean = async || look(&server, &mut Housekeeping::default()).await;
    server.clock.forward(2 * DAY);
    clean().await;
    assert_eq!(left().await.len(), 4, "six days are within seven");
    server.clock.forward(2 * DAY);
    clean().await;
    assert_eq!(left().await, ["named and over", "waited for", "sent again"]);
    server.clock.forward(4 * DAY);
    clean().await;
    assert_eq!(left().await, ["waited for"], "a session that is not over names it");

    let refused = session_with(&server, &tenant, "never named").await;
    assert_eq!(refused.problem(), (422, "invalid-input".to_owned()));
    assert_eq!(refused.json()["errors"][0]["field"], "/inputs/0/digest");
    assert_eq!(put(&server, &tenant, "never named").await.status, StatusCode::CREATED);
    assert_eq!(session_with(&server, &tenant, "never named").await.status, StatusCode::CREATED);
}

fn uploads(server: &TestApp) -> usize {
    server.files().iter().filter(|file| file.contains("/inputs/")).count()
}

#[tokio::test]
async fn what_a_plan_has_no_room_for_is_refused_with_field_value_and_rule() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    // 2 GiB less 10 bytes are there.
    let there = Digest::of_sha256([1; 32]);
    server.app.store.blob_put(tenant.id, &there, (2 << 30) - 10).await.expect("there is room");
    let refused = put(&server, &tenant, "eleven byte").await;
    assert_eq!(refused.problem(), (422, "quota-exceeded".to_owned()));
    let error = &refused.json()["errors"][0];
    assert_eq!((&error["field"], &error["value"]), (&json!("Content-Length"), &json!("11")));
    let rule = error["rule"].as_str().expect("a rule");
    for part in ["at most 2Gi in 1000 uploads", "plan starter", "2147483638 bytes in 1", "7 days"] {
        assert!(rule.contains(part), "{rule}");
    }
    // Somebody who does not say how much there is.
    let path = format!("{}/blobs/{}", tenant.path, digest(b"eleven byte"));
    let stream = stream::iter([Ok::<_, io::Error>("eleven"), Ok(" byte")]);
    let request = request(&tenant.owner, Method::PUT, &path).body(Body::from_stream(stream));
    let refused = server.call(request).await;
    assert_eq!(refused.problem(), (422, "quota-exceeded".to_owned()));
    assert_eq!(refused.json()["errors"][0]["value"], "more than 10");
    assert_eq!(server.files(), Vec::<String>::new());
    assert!(!is_there(&server, &tenant, "eleven byte").await);

    assert_eq!(put(&server, &tenant, "ten bytes!").await.status, StatusCode::CREATED);
    assert_eq!(put(&server, &tenant, "ten bytes!").await.status, StatusCode::OK, "it is there");
    assert_eq!(put(&server, &tenant, "x").await.problem().1, "quota-exceeded");
    // Time makes room.
    server.clock.forward(8 * DAY);
    look(&server, &mut Housekeeping::default()).await;
    assert_eq!(put(&server, &tenant, "eleven byte").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_tenant_on_its_way_out_takes_no_uploads() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    server.send(&tenant.owner, Method::DELETE, &tenant.path, None).await;
    let refused = put(&server, &tenant, "hello").await;
    assert_eq!(refused.problem(), (409, "tenant-deleting".to_owned()));
    assert_eq!(server.files(), Vec::<String>::new());
}
