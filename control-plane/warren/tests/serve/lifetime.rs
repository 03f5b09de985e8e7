use crate::server::Home;
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn the_first_start_shows_one_token_and_no_later_one_shows_any() {
    let home = Home::new();
    let server = home.start().await;
    let shown = |said: &[String]| said.iter().filter(|line| line.contains("wrn_")).count();
    let token = server.token();
    let (status, _) = server.get(&token, "/api/v1/tenants").await;
    assert_eq!(status, 200);
    let ended = server.terminate().await;
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(shown(&ended.said), 1, "{ended:?}");

    let server = home.start().await;
    let made = json!({"name": "acme", "plan": "starter"});
    assert_eq!(server.post(&token, "/api/v1/tenants", &made).await.0, 201);
    server.kill().await;
    let server = home.start().await;
    assert_eq!(server.get(&token, "/api/v1/tenants/acme").await.0, 200, "what was accepted stays");
    let ended = server.terminate().await;
    assert_eq!(shown(&ended.said), 0, "{ended:?}");
}

#[tokio::test]
async fn a_signal_to_stop_ends_what_waits_and_follows_with_an_answer() {
    let home = Home::new();
    let server = home.start().await;
    let token = server.token();
    let (_, tenant) =
        server.post(&token, "/api/v1/tenants", &json!({"name": "acme", "plan": "pro"})).await;
    let sessions = "/api/v1/tenants/acme/sessions";
    let body = json!({"image": "agent:1", "command": ["/agent"]});
    let (_, session) = server.post(&token, sessions, &body).await;
    let session = format!("{sessions}/{}", session["id"].as_str().unwrap());
    let operation = format!("/api/v1/operations/{}", tenant["operation"].as_str().unwrap());

    let follow = server.request(&token, Method::GET, &format!("{session}/logs?follow=true"));
    let follow = follow.header("accept", "text/event-stream").send().await.unwrap();
    let mut follow = follow.bytes_stream();
    let mut waits = Vec::new();
    for path in [&session, &operation] {
        let request = server.request(&token, Method::GET, path).header("prefer", "wait=60");
        waits.push(tokio::spawn(async move { request.send().await?.json::<Value>().await }));
    }
    server.until_in_flight(waits.len()).await;

    let ended = server.terminate().await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.after < Duration::from_secs(5), "{ended:?}");
    for wait in waits {
        let answer = wait.await.unwrap().expect("a whole answer");
        assert!(answer["state"].is_string(), "{answer}");
    }
    while let Some(part) = follow.next().await {
        part.expect("the stream is ended, not cut off");
    }
}

#[tokio::test]
async fn metrics_have_a_port_of_their_own() {
    let home = Home::new();
    let server = home.start().await;
    let token = server.token();
    assert_ne!(server.api, server.metrics);
    assert_eq!(server.get(&token, "/metrics").await.0, 404);
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{}{path}", server.metrics)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, text) = get("/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("warren_tenants{phase=\"ready\"} 0\n"), "{text}");
    assert_eq!(get("/api/v1/tenants").await.0, 404);
}

#[tokio::test]
async fn probes_answer_everybody_while_the_host_cluster_is_away() {
    let home = Home::new();
    let server = home.start().await;
    for (path, expected) in [
        ("/livez", "ok\n"),
        ("/readyz", "ok\n"),
        ("/readyz?verbose", "[+]record answers\n[+]objects answers\nok\n"),
    ] {
        assert_eq!(server.get("nobody", path).await, (200, expected.to_owned()));
    }
    let (_, version) = server.get("nobody", "/version").await;
    let version: Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn a_second_server_on_the_same_record_is_refused_and_told_who_has_it() {
    let home = Home::new();
    let server = home.start().await;
    let Err(refused) = home.try_start("info").await else { panic!("there are two") };
    assert!(!refused.status.success());
    let last = refused.said.last().unwrap();
    let holder = format!("pid {} on ", server.pid());
    assert!(last.contains("the database is held by") && last.contains(&holder), "{last}");
    assert_eq!(server.get("nobody", "/livez").await.0, 200, "the first one goes on");
}

#[tokio::test]
async fn a_host_that_is_away_from_the_start_is_named_in_the_conditions_and_in_a_removal() {
    let home = Home::new();
    let server = home.start().await;
    let token = server.token();
    let until = async |path: &str, is_so: &dyn Fn(&Value) -> bool| {
        let wait = async {
            loop {
                let (_, text) = server.get(&token, path).await;
                if is_so(&serde_json::from_str(&text).unwrap()) {
                    return;
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        assert!(waited.is_ok(), "{}", server.get(&token, path).await.1);
    };
    server.post(&token, "/api/v1/tenants", &json!({"name": "acme", "plan": "starter"})).await;
    let is_told = |tenant: &Value| {
        tenant["conditions"].as_array().unwrap().iter().any(|condition| {
            let message = condition["message"].as_str().unwrap();
            condition["type"] == "NamespaceReady"
                && condition["status"] == "Unknown"
                && message
                    .starts_with("list EndpointSlice default/* on the host cluster: no answer")
        })
    };
    until("/api/v1/tenants/acme", &is_told).await;

    let delete = server.request(&token, Method::DELETE, "/api/v1/tenants/acme").send().await;
    let deletion: Value = delete.unwrap().json().await.unwrap();
    let operation = deletion["operation"].as_str().or(deletion["id"].as_str()).unwrap();
    let is_told = |operation: &Value| operation.to_string().contains("on the host cluster: no ");
    until(&format!("/api/v1/operations/{operation}"), &is_told).await;
    assert!(server.terminate().await.status.success());
}
