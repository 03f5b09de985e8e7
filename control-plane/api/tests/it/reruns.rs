//! Sessions that are over and run again.

use crate::harness::{Answer, TestApp, TestTenant, digest, request};
use application::housekeeping::Housekeeping;
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use domain::{Bytes, Cause, FailureClass, SessionId, SessionState};
use serde_json::{Value, json};

async fn create(server: &TestApp, tenant: &TestTenant, body: Value) -> SessionId {
    let created = server.post(&format!("{}/sessions", tenant.path), body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text());
    created.json()["id"].as_str().expect("an id").parse().expect("a session's id")
}

/// A session that failed.
async fn failed(server: &TestApp, tenant: &TestTenant, cause: Cause, memory: &str) -> SessionId {
    let body = json!({
        "image": "agent:1", "command": ["/agent"], "secrets": { "KEY": "hunter2" }, "env": { "A": "1" },
        "inputs": [{ "name": "prompt", "content": "do it" }], "resources": { "memory": memory },
        "retry": { "transient": { "attempts": 1 } },
    });
    let session = create(server, tenant, body).await;
    server.run(session).await;
    let store = &server.app.store;
    let revision = store.session_get(session).await.expect("read").expect("there").revision;
    let failed = SessionState::Failed;
    store.session_move(session, revision, failed, Some(cause)).await.expect("allowed");
    session
}

fn path(tenant: &TestTenant, session: SessionId) -> String {
    format!("{}/sessions/{session}", tenant.path)
}

async fn rerun(
    server: &TestApp,
    tenant: &TestTenant,
    session: SessionId,
    body: Option<Value>,
) -> Answer {
    let path = format!("{}/rerun", path(tenant, session));
    server.send(&tenant.owner, Method::POST, &path, body).await
}

/// What the session's next step proposes.
async fn proposed(server: &TestApp, tenant: &TestTenant, session: SessionId) -> Option<Value> {
    let next = server.get(&path(tenant, session)).await.json()["cause"]["nextStep"].clone();
    assert!(next["advice"].is_string(), "{next}");
    next.get("rerun").cloned()
}

#[tokio::test]
async fn a_session_is_run_again_with_everything_that_it_had_its_secrets_included() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let cause = Cause::failure(FailureClass::Agent, "ExitCode", "ended with code 3");
    let session = failed(&server, &tenant, cause, "256Mi").await;
    let before = server.get(&path(&tenant, session)).await.json();
    for body in [None, Some(json!({}))] {
        let again = rerun(&server, &tenant, session, body).await;
        assert_eq!(again.status, StatusCode::CREATED, "{}", again.text());
        let (location, again) = (again.header("location").to_owned(), again.json());
        assert_ne!(again["id"], before["id"]);
        assert_eq!((&again["state"], &again["run"]), (&json!("queued"), &json!(null)));
        assert_eq!(again["spec"], before["spec"]);
        assert_eq!(again["spec"]["secrets"], json!({ "KEY": null }), "shown to nobody");
        assert_eq!(server.get(&location).await.json(), again);
        let id = again["id"].as_str().expect("an id").parse().expect("a session's id");
        let record = server.app.store.session_get(id).await.expect("read").expect("there");
        assert_eq!(record.spec.secrets["KEY"], "hunter2", "its agent has it");
    }
    assert_eq!(server.get(&path(&tenant, session)).await.json(), before);
}

#[tokio::test]
async fn what_the_next_step_proposes_is_what_to_post() {
    use FailureClass::{PolicyDenied, UserConfig};
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let short = |memory| Cause::out_of_memory(Bytes::parse(memory).expect("a quantity"), None);
    for (had, expected) in [("256Mi", "512Mi"), ("3Gi", "4Gi")] {
        let session = failed(&server, &tenant, short(had), had).await;
        let changes = proposed(&server, &tenant, session).await.expect("another run may help");
        assert_eq!(changes, json!({ "resources": { "memory": expected } }));
        let again = rerun(&server, &tenant, session, Some(changes)).await.json();
        let resources = json!({ "cpu": "250m", "memory": expected });
        assert_eq!(again["spec"]["resources"], resources);
    }
    let session = failed(&server, &tenant, short("4Gi"), "4Gi").await;
    assert_eq!(proposed(&server, &tenant, session).await, None, "the plan has no more");
    for class in FailureClass::ALL {
        let cause = Cause::failure(class, "Any", "it failed");
        let session = failed(&server, &tenant, cause, "256Mi").await;
        let expected = (!matches!(class, UserConfig | PolicyDenied)).then(|| json!({}));
        assert_eq!(proposed(&server, &tenant, session).await, expected, "{class}");
        let run = &server.get(&path(&tenant, session)).await.json()["run"]["cause"]["nextStep"];
        assert_eq!(run.get("rerun"), None, "its session is what runs again");
    }
}

#[tokio::test]
async fn a_session_that_is_not_over_is_not_run_again() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    for state in ["queued", "running"] {
        if state == "running" {
            server.run(session).await;
        }
        let refused = rerun(&server, &tenant, session, None).await;
        assert_eq!(refused.problem(), (409, "session-not-over".to_owned()));
        let detail =
            format!("The session {session} is {state}: only one that is over is run again.");
        assert_eq!(refused.json()["detail"], detail);
        assert_eq!(refused.json()["hint"], "Wait until it is over, or stop it.");
    }
    server.advance(session, SessionState::Succeeded).await;
    assert_eq!(rerun(&server, &tenant, session, None).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn changes_obey_the_rules_of_a_new_session() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    server.run(session).await;
    server.advance(session, SessionState::Succeeded).await;
    let post = async |body: Value| rerun(&server, &tenant, session, Some(body)).await;
    let changes = json!({ "resources": { "cpu": "3", "memory": "5Gi" }, "timeoutSeconds": 0 });
    let refused = post(changes).await;
    assert_eq!(refused.problem(), (422, "invalid-input".to_owned()));
    let expected = json!([
        { "field": "/resources/cpu", "value": "3", "rule": "between 10m and 2, the limit of plan starter" },
        { "field": "/resources/memory", "value": "5Gi", "rule": "between 16Mi and 4Gi, the limit of plan starter" },
        { "field": "/timeoutSeconds", "value": "0", "rule": "between 1 and 86400 seconds" },
    ]);
    assert_eq!(refused.json()["errors"], expected);
    let refused = post(json!({ "image": "another", "resources": { "memory": "much" } })).await;
    let fields = refused.json()["errors"].clone();
    assert_eq!(fields[0]["rule"], "unknown field; known are: resources, timeoutSeconds");
    assert_eq!(fields[1]["field"], "/resources/memory");
    let again = post(json!({ "resources": { "cpu": "500m" }, "timeoutSeconds": 60 })).await.json();
    assert_eq!(again["spec"]["resources"], json!({ "cpu": "500m", "memory": "256Mi" }));
    assert_eq!(again["spec"]["timeoutSeconds"], 60);
}

#[tokio::test]
async fn a_repetition_with_the_same_key_runs_it_again_once() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let cause = Cause::failure(FailureClass::Agent, "ExitCode", "ended with code 3");
    let session = failed(&server, &tenant, cause, "256Mi").await;
    let path = format!("{}/rerun", path(&tenant, session));
    let post = async |body: &'static str| {
        let request = request(&tenant.owner, Method::POST, &path)
            .header("content-type", "application/json")
            .header("idempotency-key", "once");
        server.call(request.body(Body::from(body))).await
    };
    let first = post("").await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text());
    for same in ["{}", "null", ""] {
        let second = post(same).await;
        assert_eq!(second.json()["id"], first.json()["id"], "{same:?}");
        assert_eq!(second.header("idempotent-replayed"), "true");
    }
    let other = post(r#"{"timeoutSeconds":60}"#).await;
    assert_eq!(other.problem(), (422, "idempotency-mismatch".to_owned()));
}

#[tokio::test]
async fn who_may_only_look_on_runs_nothing_again() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    let path = format!("{}/rerun", path(&tenant, session));
    let viewer = server.token(&tenant.path, "viewer").await;
    let refused = server.send(&viewer, Method::POST, &path, None).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn an_input_that_is_not_there_any_more_is_named() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let digest = digest(b"data").to_string();
    let blob = format!("{}/blobs/{digest}", tenant.path);
    let put = request(&tenant.owner, Method::PUT, &blob).header("content-length", 4);
    server.call(put.body(Body::from("data"))).await;
    let inputs = json!([{ "name": "a", "digest": digest }]);
    let body = json!({ "image": "agent:1", "command": ["/agent"], "inputs": inputs });
    let session = create(&server, &tenant, body).await;
    server.run(session).await;
    server.advance(session, SessionState::Succeeded).await;
    server.clock.forward(8 * 24 * 60);
    Housekeeping::default().look(&server.app).await.expect("everything can be removed");
    let refused = rerun(&server, &tenant, session, None).await;
    assert_eq!(refused.problem(), (422, "invalid-input".to_owned()));
    let error = &refused.json()["errors"][0];
    assert_eq!((&error["field"], &error["value"]), (&json!("/inputs/0/digest"), &json!(digest)));
}
