use crate::harness::{Answer, TestApp, TestTenant, digest, request};
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use domain::Digest;
use futures::{StreamExt as _, stream};
use serde_json::json;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

async fn put(server: &TestApp, tenant: &TestTenant, digest: &Digest, body: Body) -> Answer {
    let path = format!("{}/blobs/{digest}", tenant.path);
    server.call(request(&tenant.owner, Method::PUT, &path).body(body)).await
}

async fn head(server: &TestApp, tenant: &TestTenant, digest: &Digest) -> StatusCode {
    let path = format!("{}/blobs/{digest}", tenant.path);
    server.send(&tenant.owner, Method::HEAD, &path, None).await.status
}

#[tokio::test]
async fn an_upload_is_kept_once_and_a_session_can_name_it() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let digest = digest(b"hello");
    assert_eq!(head(&server, &tenant, &digest).await, StatusCode::NOT_FOUND);
    let first = put(&server, &tenant, &digest, Body::from("hello")).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.json(), json!({ "digest": digest.to_string(), "size": 5 }));
    assert_eq!(put(&server, &tenant, &digest, Body::from("hello")).await.status, StatusCode::OK);
    assert_eq!(head(&server, &tenant, &digest).await, StatusCode::OK);
    assert_eq!(server.files().len(), 1);

    let inputs = json!([{ "name": "prompt", "digest": digest.to_string() }]);
    let body = json!({ "image": "agent:1", "command": ["/agent"], "inputs": inputs });
    let session = server.post(&format!("{}/sessions", tenant.path), body).await;
    assert_eq!(session.json()["spec"]["inputs"], inputs);
}

#[tokio::test]
async fn nothing_is_kept_of_bytes_that_are_not_the_promised_ones_or_break_off() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let digest = self::digest(b"hello");
    let wrong = put(&server, &tenant, &digest, Body::from("hullo")).await;
    assert_eq!(wrong.problem(), (422, "digest-mismatch".to_owned()));
    let rule = format!("the SHA-256 of the bytes that were sent, {}", self::digest(b"hullo"));
    let field = json!([{ "field": "{digest}", "value": digest.to_string(), "rule": rule }]);
    assert_eq!(wrong.json()["errors"], field);
    let broken = stream::iter([Ok("he"), Err(io::Error::other("gone"))]);
    let broken = put(&server, &tenant, &digest, Body::from_stream(broken)).await;
    assert_eq!(broken.problem(), (400, "body-interrupted".to_owned()));
    let path = format!("{}/blobs/{digest}", tenant.path);
    let huge = request(&tenant.owner, Method::PUT, &path).header("content-length", 101 << 20);
    let huge = server.call(huge.body(Body::empty())).await;
    assert_eq!(huge.problem(), (413, "body-too-large".to_owned()));
    let rule = "at most 104857600 bytes";
    let field = json!([{ "field": "Content-Length", "value": "105906176", "rule": rule }]);
    assert_eq!(huge.json()["errors"], field);
    assert_eq!(head(&server, &tenant, &digest).await, StatusCode::NOT_FOUND);
    assert_eq!(server.files(), Vec::<String>::new());
}

#[tokio::test]
async fn whoever_still_sends_when_an_upload_is_refused_is_heard_out() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let path = format!("{}/blobs/{}", tenant.path, digest(b"hello"));
    for expects in [false, true] {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        let chunks = stream::iter(0..10).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, io::Error>("chunk")
        });
        let mut huge =
            request(&tenant.owner, Method::PUT, &path).header("content-length", 101 << 20);
        if expects {
            huge = huge.header("expect", "100-continue");
        }
        let huge = server.call(huge.body(Body::from_stream(chunks))).await;
        assert_eq!(huge.problem(), (413, "body-too-large".to_owned()));
        let expected = if expects { 0 } else { 10 };
        assert_eq!(read.load(Ordering::Relaxed), expected, "asked to go on: {expects}");
    }
}

#[tokio::test]
async fn another_tenants_upload_is_no_input_of_ours() {
    let server = TestApp::new().await;
    let ours = server.tenant("ours").await;
    let theirs = server.tenant("theirs").await;
    let digest = digest(b"secret");
    put(&server, &theirs, &digest, Body::from("secret")).await;
    assert_eq!(head(&server, &ours, &digest).await, StatusCode::NOT_FOUND);
    let inputs = json!([{ "name": "prompt", "digest": digest.to_string() }]);
    let body = json!({ "image": "agent:1", "command": ["/agent"], "inputs": inputs });
    let refused = server.post(&format!("{}/sessions", ours.path), body).await;
    assert_eq!(refused.problem(), (422, "invalid-input".to_owned()));
    assert_eq!(refused.json()["errors"][0]["field"], "/inputs/0/digest");
}

#[tokio::test]
async fn a_compressed_body_is_refused_and_not_unpacked() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let blob = format!("{}/blobs/{}", tenant.path, digest(b"x"));
    let sessions = format!("{}/sessions", tenant.path);
    for (method, path) in [(Method::PUT, blob), (Method::POST, sessions)] {
        let request = request(&tenant.owner, method, &path)
            .header("content-encoding", "gzip")
            .header("content-type", "application/json");
        let refused = server.call(request.body(Body::from("x"))).await;
        assert_eq!(refused.problem(), (415, "unsupported-media-type".to_owned()), "{path}");
    }
}
