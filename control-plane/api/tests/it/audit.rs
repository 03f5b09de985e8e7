//! Reading the audit log.

use crate::harness::TestApp;
use axum::http::{Method, StatusCode};
use domain::Seal;
use serde_json::{Value, json};

#[tokio::test]
async fn a_tenants_owner_sees_what_was_done_to_it_page_by_page() {
    let server = TestApp::new().await;
    let ours = server.tenant("ours").await;
    server.tenant("theirs").await;
    let viewer = server.token(&ours.path, "viewer").await;
    let path = format!("{}/audit", ours.path);
    let get = async |path: &str| server.send(&ours.owner, Method::GET, path, None).await;
    let all = get(&path).await.json();
    let items = all["items"].as_array().expect("a list");
    let actions: Vec<_> = items.iter().map(|item| item["action"].as_str()).collect();
    assert_eq!(actions.last(), Some(&Some("tenant.create")), "newest first: {all}");
    assert!(items.iter().all(|item| item["tenant"] == ours.id.to_string()), "{all}");
    let created = items.last().expect("the first deed");
    assert_eq!(created["target"], ours.id.to_string());
    assert_eq!(created["role"], "operator");
    assert!(created["subject"].as_str().is_some_and(|id| id.starts_with("tok_")), "{created}");
    assert!(created["who"].is_string() && created["sequence"].is_null(), "{created}");

    let first = get(&format!("{path}?limit=1&action=token")).await;
    assert_eq!(first.json()["items"][0]["action"], "token.create");
    let next = first.header("link").split(['<', '>']).nth(1).expect("a link").to_owned();
    assert!(next.contains("&action=token&"), "{next}");
    let second = get(&next).await.json();
    assert_eq!(second["items"][0]["action"], "token.create", "{second}");
    assert_ne!(second["items"][0]["id"], first.json()["items"][0]["id"]);

    assert_eq!(get(&format!("{path}?action=account.sign-in")).await.json()["items"], json!([]));
    for wrong in ["action=Token!", "subject=nobody", "who=me"] {
        let answer = get(&format!("{path}?{wrong}")).await;
        assert_eq!(answer.problem(), (400, "invalid-query".to_owned()), "{wrong}");
    }
    let refused = server.send(&viewer, Method::GET, &path, None).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn an_export_proves_itself() {
    let server = TestApp::new().await;
    let ours = server.tenant("ours").await;
    server.tenant("theirs").await;
    while server.app.store.audit_seal().await.expect("sealed") {}
    let answer = server.get("/api/v1/audit/export").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let (mut last, mut count) = (Seal::BEFORE_ALL, 0);
    let text = answer.text();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let value: Value = serde_json::from_str(line).expect("JSON");
        if lines.peek().is_none() {
            assert_eq!(value["head"]["seal"], last.to_string(), "{line}");
            assert_eq!(value["head"]["sequence"], count, "{line}");
            break;
        }
        // As anybody would who has nothing but the line.
        let entry =
            line.strip_prefix("{\"entry\":").and_then(|line| line.split_once(",\"previous\""));
        let entry = entry.expect("an entry").0;
        count += 1;
        assert_eq!(value["entry"]["sequence"], count, "{line}");
        assert_eq!(value["previous"], last.to_string(), "{line}");
        last = last.then(entry);
        assert_eq!(value["seal"], last.to_string(), "{line}");
    }
    assert!(count > 3, "{text}");
    let part = server.get(&format!("{}/audit/export", ours.path)).await;
    let part = part.text();
    assert!(part.lines().all(|line| line.contains(&ours.id.to_string())), "{part}");
    assert!(part.lines().count() > 1 && part.lines().all(|line| text.contains(line)), "{part}");
}
