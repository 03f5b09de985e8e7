use crate::harness::{TestApp, digest, request};
use application::{Artifact, blobs::BlobPath};
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use bytes::Bytes;
use domain::{Cause, Exit, FailureClass, RunUsage, SessionState};
use serde_json::json;

#[tokio::test]
async fn a_session_is_queued_with_its_defaults_and_can_be_found_again() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let path = format!("{}/sessions", tenant.path);
    let body = json!({ "image": "agent:1", "command": ["/agent", "--fast"] });
    let created = server.send(&tenant.owner, Method::POST, &path, Some(body)).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let session = created.json();
    assert_eq!(session["state"], "queued");
    assert_eq!(session["project"], "agents");
    assert_eq!(session["run"], json!(null));
    assert_eq!(session["spec"]["resources"], json!({ "cpu": "250m", "memory": "256Mi" }));
    assert_eq!(session["spec"]["timeoutSeconds"], 3600);
    assert_eq!(session["spec"]["onDrain"], "wait");
    assert_eq!(server.get(created.header("location")).await.json(), session);
    let list = server.get(&format!("{path}?state=queued")).await.json();
    assert_eq!(list["items"], json!([session]));
    assert_eq!(server.get(&format!("{path}?state=running")).await.json()["items"], json!([]));
}

#[tokio::test]
async fn everything_that_was_asked_for_is_in_the_specification() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let spec = json!({
        "image": "agent:1",
        "command": ["/agent"],
        "args": ["x"],
        "env": { "A": "1" },
        "secrets": { "KEY": "hunter2" },
        "inputs": [{ "name": "prompt.txt", "content": "hello" }],
        "resources": { "cpu": "500m", "memory": "1Gi" },
        "runAsUser": 0,
        "timeoutSeconds": 60,
        "gracePeriodSeconds": 0,
        "labels": { "team": "blue" },
        "retry": {
            "resource": { "attempts": 3, "backoffSeconds": 0, "memoryPercent": 150 },
            "transient": { "attempts": 1, "backoffSeconds": 5, "memoryPercent": 100 },
        },
        "onDrain": "restart",
    });
    let mut body = spec.clone();
    body["project"] = json!("research");
    let created = server.post(&format!("{}/sessions", tenant.path), body).await.json();
    assert_eq!(created["project"], "research");
    let mut shown = spec;
    shown["secrets"]["KEY"] = json!(null);
    assert_eq!(created["spec"], shown, "a secret is shown to nobody, not even to its owner");
}

#[tokio::test]
async fn who_may_only_look_on_sees_the_names_in_an_environment_and_not_its_values() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let sessions = format!("{}/sessions", tenant.path);
    let body = json!({ "image": "agent:1", "command": ["/agent"], "env": { "KEY": "a password" } });
    let created = server.send(&tenant.owner, Method::POST, &sessions, Some(body)).await;
    let path = created.header("location").to_owned();
    let (shown, hidden) = (json!({ "KEY": "a password" }), json!({ "KEY": null }));
    assert_eq!(created.json()["spec"]["env"], shown);
    for (role, expected) in [("admin", &shown), ("developer", &shown), ("viewer", &hidden)] {
        let token = server.token(&tenant.path, role).await;
        let one = server.send(&token, Method::GET, &path, None).await;
        assert_eq!(one.json()["spec"]["env"], *expected, "{role}");
        let list = server.send(&token, Method::GET, &sessions, None).await;
        assert_eq!(list.json()["items"][0]["spec"]["env"], *expected, "{role}");
        assert_eq!(list.text().contains("a password"), expected == &shown, "{role}");
    }
}

#[tokio::test]
async fn more_sessions_than_may_wait_are_refused_with_the_limit_and_the_way_out() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let path = format!("{}/sessions", tenant.path);
    let plans = server.get("/api/v1/plans").await.json();
    let limit = plans["items"][0]["sessionsWaiting"].as_u64().expect("the plan says it");
    for _ in 0..limit {
        server.session(&tenant).await;
    }
    let body = json!({ "image": "agent:1", "command": ["/agent"] });
    let refused = server.send(&tenant.owner, Method::POST, &path, Some(body.clone())).await;
    assert_eq!(refused.problem(), (422, "quota-exceeded".to_owned()));
    let expected = json!([{
        "field": "{tenant}", "value": "100 queued sessions",
        "rule": "at most 100 in plan starter, which runs 4 at a time; wait until some have begun, or stop some",
    }]);
    assert_eq!(refused.json()["errors"], expected);
    let oldest = server.get(&format!("{path}?limit=1")).await.json()["items"][0]["id"].clone();
    let stop = format!("{path}/{}/stop", oldest.as_str().expect("an id"));
    server.send(&tenant.owner, Method::POST, &stop, None).await;
    let again = server.send(&tenant.owner, Method::POST, &path, Some(body)).await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.text());
}

#[tokio::test]
async fn a_run_shows_how_it_goes_and_how_it_ended() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    let path = format!("{}/sessions/{session}", tenant.path);
    let run = server.run(session).await;
    server.log(run, 1, "oe").await;
    let running = server.get(&path).await.json();
    assert_eq!(running["state"], "running");
    assert_eq!(running["run"]["attempt"], 1);
    assert_eq!(running["run"]["logLines"], 2);

    let usage = RunUsage { cpu_ms: 5, peak_memory_bytes: 6, wall_ms: 7 };
    let exit = Exit { code: Some(3), signal: None };
    server.app.store.run_exited(run, exit, usage).await.expect("noted");
    let revision =
        server.app.store.session_get(session).await.expect("read").expect("there").revision;
    let cause = Cause::failure(FailureClass::Agent, "ExitCode", "ended with code 3");
    let failed = SessionState::Failed;
    server.app.store.session_move(session, revision, failed, Some(cause)).await.expect("allowed");
    let ended = server.get(&path).await.json();
    assert_eq!(ended["state"], "failed");
    assert_eq!(ended["cause"]["class"], "agent");
    assert_eq!(ended["run"]["exit"], json!({ "code": 3, "signal": null }));
    assert_eq!(ended["run"]["usage"]["peakMemoryBytes"], 6);
}

#[tokio::test]
async fn a_queued_session_stops_at_once_and_stopping_again_is_harmless() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    let path = format!("{}/sessions/{session}/stop", tenant.path);
    for _ in 0..2 {
        let stopped = server.send(&tenant.owner, Method::POST, &path, None).await;
        assert_eq!(stopped.status, StatusCode::ACCEPTED);
        assert_eq!(stopped.json()["state"], "stopped");
    }
}

#[tokio::test]
async fn whoever_prefers_to_wait_hears_of_the_end_of_a_session_as_it_comes() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    server.run(session).await;
    let path = format!("{}/sessions/{session}", tenant.path);
    let waiting = request(&server.operator, Method::GET, &path).header("prefer", "wait=60");
    let (answer, ()) = tokio::join!(server.call(waiting.body(Body::empty())), async {
        tokio::task::yield_now().await;
        server.advance(session, SessionState::Succeeded).await;
    });
    assert_eq!(answer.json()["state"], "succeeded");
}

#[tokio::test]
async fn a_repetition_with_the_same_key_starts_no_second_session() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let path = format!("{}/sessions", tenant.path);
    let post = async |image: &str| {
        let body = json!({ "image": image, "command": ["/agent"] });
        let request = request(&tenant.owner, Method::POST, &path)
            .header("content-type", "application/json")
            .header("idempotency-key", "once")
            .body(Body::from(body.to_string()));
        server.call(request).await
    };
    let first = post("agent:1").await;
    assert_eq!(post("agent:1").await.json()["id"], first.json()["id"]);
    assert_eq!(post("agent:2").await.problem(), (422, "idempotency-mismatch".to_owned()));
    assert_eq!(server.get(&path).await.json()["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_a_session_left_is_handed_out_as_it_was_left() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    let path = format!("{}/sessions/{session}", tenant.path);
    let result = format!("{path}/result");
    assert_eq!(server.get(&result).await.problem(), (404, "not-found".to_owned()));

    let run = server.run(session).await;
    let put = async |path: &BlobPath, bytes: &'static [u8]| {
        server.app.blobs.put(path, Bytes::from_static(bytes)).await.expect("written");
    };
    put(&BlobPath::result(run), b"{\"answer\": 42}").await;
    let digest = digest(b"<script>");
    let blob = BlobPath::artifact(run, &digest);
    put(&blob, b"<script>").await;
    let artifact = Artifact {
        path: "site/index page.html".to_owned(),
        size: 8,
        digest: digest.clone(),
        blob: blob.to_string(),
    };
    server.app.store.artifact_put(run, artifact).await.expect("noted");

    let answer = server.get(&result).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.text(), "{\"answer\": 42}");
    let list = server.get(&format!("{path}/artifacts")).await.json();
    let expected =
        json!({ "path": "site/index page.html", "size": 8, "digest": digest.to_string() });
    assert_eq!(list["items"], json!([expected]));

    let file = server.get(&format!("{path}/artifacts/site/index%20page.html")).await;
    assert_eq!(file.text(), "<script>");
    assert_eq!(file.header("content-length"), "8");
    assert_eq!(file.header("content-type"), "application/octet-stream");
    assert!(file.header("content-disposition").starts_with("attachment; "));
    assert_eq!(file.header("x-content-sha256"), digest.digits());
    let part = async |range: &str, etag: &str| {
        let address = format!("{path}/artifacts/site/index%20page.html");
        let request = request(&server.operator, Method::GET, &address).header("range", range);
        let request = if etag.is_empty() { request } else { request.header("if-range", etag) };
        server.call(request.body(Body::empty())).await
    };
    let etag = file.header("etag").to_owned();
    for (range, expected, of) in [
        ("bytes=1-3", "scr", "bytes 1-3/8"),
        ("bytes=6-", "t>", "bytes 6-7/8"),
        ("bytes=6-100", "t>", "bytes 6-7/8"),
        ("bytes=-3", "pt>", "bytes 5-7/8"),
        ("bytes=-100", "<script>", "bytes 0-7/8"),
    ] {
        for etag in ["", &etag] {
            let answer = part(range, etag).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (206, expected), "{range}");
            assert_eq!(answer.header("content-range"), of);
        }
        assert_eq!(part(range, "\"another\"").await.text(), "<script>", "it is another file now");
    }
    for ignored in ["bytes=3-1", "bytes=1-2,4-5", "lines=1-2", "bytes=+1-2"] {
        let answer = part(ignored, "").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "<script>"), "{ignored}");
    }
    let behind = part("bytes=8-", "").await.problem();
    assert_eq!(behind, (416, "range-not-satisfiable".to_owned()));
    let missing = server.get(&format!("{path}/artifacts/site/other.html")).await;
    assert_eq!(missing.problem(), (404, "not-found".to_owned()));
}
