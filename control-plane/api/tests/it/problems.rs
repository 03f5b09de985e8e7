use crate::harness::{Answer, Mood, TestApp, request};
use api::Code;
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use serde_json::json;
use std::{collections::BTreeSet, fmt::Write as _};

type Call = axum::http::Result<Request<Body>>;

fn post(server: &TestApp, path: &str, body: impl Into<Body>) -> Call {
    let request = request(&server.operator, Method::POST, path);
    request.header("content-type", "application/json").body(body.into())
}

fn get(server: &TestApp, path: &str) -> Call {
    request(&server.operator, Method::GET, path).body(Body::empty())
}

fn with(server: &TestApp, path: &str, name: &str, value: &str) -> Call {
    request(&server.operator, Method::GET, path).header(name, value).body(Body::empty())
}

fn describe(name: &str, answer: &Answer) -> String {
    answer.problem();
    assert_eq!(answer.header("x-request-id"), "test", "{name}");
    let body = serde_json::to_string_pretty(&answer.json()).expect("JSON");
    format!("## {name}\n{body}\n\n")
}

/// Requests with a header that is wrong.
fn wrong_headers(server: &TestApp, acme: &str) -> [(&'static str, Call); 3] {
    let tenants = "/api/v1/tenants";
    let no_json = request(&server.operator, Method::POST, tenants)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("name=acme"));
    let retried_token = request(&server.operator, Method::POST, &format!("{acme}/tokens"))
        .header("content-type", "application/json")
        .header("idempotency-key", "a")
        .body(Body::from(r#"{"name":"a","role":"viewer"}"#));
    let bad_key = request(&server.operator, Method::POST, tenants)
        .header("content-type", "application/json")
        .header("idempotency-key", "a b")
        .body(Body::from("{}"));
    [
        ("wrong content type", no_json),
        ("idempotency key with a space", bad_key),
        ("idempotency key for a token", retried_token),
    ]
}

#[tokio::test]
async fn every_wrong_request_gets_this_problem_and_changes_nothing() {
    let server = TestApp::new().await;
    let tenants = "/api/v1/tenants";
    let acme = server.tenant("acme").await;
    let sessions = format!("{}/sessions", acme.path);
    let session = format!("{sessions}/{}", server.session(&acme).await);
    let before = server.get(&sessions).await.json();

    let bad_session = json!({
        "image": "", "args": ["a", 1], "env": { "WARREN_RUN_ID": "x", "B": null },
        "inputs": [{ "name": "a" }, { "name": "../b", "content": "" }, "c",
            { "name": "d", "digest": "sha256:00" }],
        "resources": { "cpu": "much", "memory": "900Gi", "gpu": 1 },
        "runAsUser": 65535, "timeoutSeconds": -1, "gracePeriodSeconds": 301, "labels": { "a b": "c" },
        "retry": { "agent": { "attempts": 11, "memoryPercent": 200 }, "bad-luck": { "attempts": 2 }, "resource": {} },
    });
    let bad_digest = format!("{}/blobs/sha256:00", acme.path);
    let bad_digest = request(&server.operator, Method::PUT, &bad_digest).body(Body::from("a"));
    let big = format!("{{\"name\":\"{}\"}}", "a".repeat(1 << 20));
    let calls = [
        (
            "bad name and unknown plan",
            post(&server, tenants, r#"{"name":"Acme_Inc","plan":"gold"}"#),
        ),
        (
            "unknown field beside a bad one",
            post(&server, tenants, r#"{"name":"a","plan":"pro","nodes":3}"#),
        ),
        ("nothing that is needed", post(&server, tenants, "{}")),
        ("wrong types", post(&server, tenants, r#"{"name":["acme"],"plan":null}"#)),
        ("not an object", post(&server, tenants, "[]")),
        ("malformed JSON", post(&server, tenants, "{\n  \"name\": acme\n}")),
        ("JSON that ends too early", post(&server, tenants, "{\"name\": \"ac")),
        ("no body", post(&server, tenants, "")),
        ("oversized body", post(&server, tenants, big)),
        ("a session with many faults", post(&server, &sessions, bad_session.to_string())),
        ("a session without a command", post(&server, &sessions, r#"{"image":"a","command":[]}"#)),
        ("bad tenant", get(&server, "/api/v1/tenants/Acme_Inc")),
        ("bad session", get(&server, &format!("{sessions}/ses_1"))),
        ("bad operation", get(&server, "/api/v1/operations/tn_1")),
        ("bad digest", bad_digest),
        ("a path that is not UTF-8", get(&server, "/api/v1/tenants/%ff")),
        ("bad cursor", get(&server, "/api/v1/tenants?cursor=abc")),
        ("bad query", get(&server, "/api/v1/tenants?limit=0&limit=1&page=2")),
        ("bad limit", get(&server, "/api/v1/tenants?limit=201")),
        ("bad state", get(&server, &format!("{sessions}?state=done"))),
        (
            "bad log query",
            get(&server, &format!("{session}/logs?from=0&tail=x&stream=all&follow=1")),
        ),
        ("from and tail", get(&server, &format!("{session}/logs?from=1&tail=1"))),
        ("bad form", with(&server, &format!("{session}/logs"), "accept", "image/png")),
        ("bad preference", with(&server, &session, "prefer", "wait=soon")),
        ("no such route", get(&server, "/api/v2/tenants")),
        ("no such tenant", get(&server, "/api/v1/tenants/nobody")),
        ("no result", get(&server, &format!("{session}/result"))),
    ];
    let mut golden = String::new();
    for (name, call) in calls.into_iter().chain(wrong_headers(&server, &acme.path)) {
        golden += &describe(name, &server.call(call).await);
    }
    insta::assert_snapshot!("problems", golden);
    assert_eq!(server.get(&sessions).await.json(), before);
    assert_eq!(server.get(tenants).await.json()["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_bad_last_event_id_is_refused_where_it_counts() {
    let server = TestApp::new().await;
    let acme = server.tenant("acme").await;
    let path = format!("{}/sessions/{}/logs", acme.path, server.session(&acme).await);
    let request = request(&server.operator, Method::GET, &path)
        .header("accept", "text/event-stream")
        .header("last-event-id", "-1");
    let answer = server.call(request.body(Body::empty())).await;
    assert_eq!(answer.problem(), (400, "invalid-header".to_owned()));
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_a_problem_that_names_those_it_takes() {
    let server = TestApp::new().await;
    let answer = server.send(&server.operator, Method::PATCH, "/api/v1/tenants", None).await;
    assert_eq!(answer.problem(), (405, "method-not-allowed".to_owned()));
    let allowed: BTreeSet<_> = answer.header("allow").split(',').map(str::trim).collect();
    assert_eq!(allowed, BTreeSet::from(["GET", "HEAD", "POST"]));
}

#[tokio::test]
async fn what_breaks_inside_is_told_to_nobody() {
    let server = TestApp::new().await;
    let acme = server.tenant("acme").await;
    let path = format!("{}/explanation", acme.path);
    for (mood, status, code) in [
        (Mood::Panicking, StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        (Mood::NotReady, StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        (Mood::Away, StatusCode::SERVICE_UNAVAILABLE, "cluster-unreachable"),
    ] {
        server.world.set(mood);
        let answer = server.get(&path).await;
        assert_eq!(answer.problem(), (status.as_u16(), code.to_owned()));
        assert_eq!(answer.json()["requestId"], "test");
        for inside in ["secret", "10.0.0.1", "table"] {
            assert!(!answer.text().contains(inside), "{}", answer.text());
        }
    }
    server.world.set(Mood::Well);
    assert_eq!(server.get(&path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_gets_a_name_if_it_brings_none_that_is_fit_for_a_log() {
    let server = TestApp::new().await;
    for brought in [None, Some(""), Some("a b"), Some("{\"forged\":1}")] {
        let mut request = Request::get("/livez");
        if let Some(brought) = brought {
            request = request.header("x-request-id", brought);
        }
        let answer = server.call(request.body(Body::empty())).await;
        assert!(answer.header("x-request-id").starts_with("req_"), "{brought:?}");
    }
    let first = server.call(Request::get("/livez").body(Body::empty())).await;
    let second = server.call(Request::get("/livez").body(Body::empty())).await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
}

#[tokio::test]
async fn probes_say_what_works() {
    let server = TestApp::new().await;
    assert_eq!(server.get("/livez").await.text(), "ok\n");
    assert_eq!(server.get("/readyz").await.text(), "ok\n");
    let verbose = server.get("/readyz?verbose").await;
    assert_eq!(verbose.text(), "[+]record answers\n[+]objects answers\nok\n");
    assert_eq!(
        server.get("/version").await.json(),
        json!({ "version": "0.0.0-test", "commit": "" })
    );
    let diagnosis = server.get("/api/v1/doctor").await.json();
    assert_eq!(diagnosis["isOk"], true);
    assert_eq!(diagnosis["checks"].as_array().map(Vec::len), Some(3));
    let diagnosis = server.get("/api/v1/doctor/proxmox").await.json();
    assert_eq!(diagnosis["isOk"], true);
    assert_eq!(diagnosis["checks"][0]["name"], "privileges");
    server.world.set(Mood::Away);
    assert_eq!(server.get("/api/v1/doctor").await.json()["isOk"], false);
    assert_eq!(server.get("/api/v1/doctor/proxmox").await.json()["isOk"], false);
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
}

#[test]
fn the_codes_are_these_and_every_one_has_an_address() {
    let mut table = String::new();
    for code in Code::ALL {
        let (status, url, title) = (code.status().as_u16(), code.url(), code.title());
        writeln!(table, "{status} {:24} {title}", code.as_str()).expect("a text can grow");
        assert_eq!(url, format!("https://warren.dev/problems/{}", code.as_str()));
    }
    let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), Code::ALL.len());
    insta::assert_snapshot!("codes", table);
}

#[tokio::test]
async fn what_is_not_built_says_so_for_every_method() {
    let server = TestApp::new().await;
    for path in ["/api/v1/tenants/acme/schedules", "/api/v1/tenants/acme/workflows"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{path}");
        assert_eq!(answer.json()["code"], "not-implemented", "{path}");
        let answer = server.call(post(&server, path, "{}")).await;
        assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{path}");
    }
}
