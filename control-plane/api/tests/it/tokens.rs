use crate::harness::{Answer, TestApp};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

async fn is_good(server: &TestApp, token: &str) -> bool {
    server.send(token, Method::GET, "/api/v1/tenants", None).await.status == StatusCode::OK
}

async fn delete(server: &TestApp, token: &str, path: &str) -> Answer {
    server.send(token, Method::DELETE, path, None).await
}

async fn names(server: &TestApp, path: &str) -> Vec<Value> {
    let list = server.get(path).await.json();
    assert!(!list.to_string().contains("wrn_"), "no list shows a token");
    list["items"].as_array().expect("a list").iter().map(|token| token["name"].clone()).collect()
}

#[tokio::test]
async fn the_first_token_can_be_replaced_and_taken_back_but_not_without_another() {
    let server = TestApp::new().await;
    let tokens = "/api/v1/tokens";
    let first = server.get(tokens).await.json()["items"][0].clone();
    assert_eq!((&first["isBootstrap"], &first["role"]), (&json!(true), &json!("operator")));
    let path = format!("{tokens}/{}", first["id"].as_str().expect("an id"));
    let refused = delete(&server, &server.operator, &path).await;
    assert_eq!(refused.problem(), (409, "last-operator".to_owned()));

    let made = server.post(tokens, json!({ "name": "night shift" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let second = made.json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(names(&server, tokens).await, ["bootstrap", "night shift"]);
    let page = server.get(&format!("{tokens}?limit=1")).await;
    let cursor = page.json()["nextCursor"].as_str().expect("there is more").to_owned();
    assert_eq!(names(&server, &format!("{tokens}?cursor={cursor}")).await, ["night shift"]);

    assert_eq!(delete(&server, &second, &path).await.status, StatusCode::NO_CONTENT);
    assert!(!is_good(&server, &server.operator).await);
    assert!(is_good(&server, &second).await);
    assert_eq!(delete(&server, &second, &path).await.problem(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn a_tenants_token_is_taken_back_by_those_who_are_as_mighty() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let other = server.tenant("other").await;
    let tokens = format!("{}/tokens", tenant.path);
    let (admin, viewer) =
        (server.token(&tenant.path, "admin").await, server.token(&tenant.path, "viewer").await);
    let list = server.get(&tokens).await.json();
    let path =
        |index: usize| format!("{tokens}/{}", list["items"][index]["id"].as_str().expect("an id"));
    let roles: Vec<_> =
        list["items"].as_array().expect("a list").iter().map(|token| &token["role"]).collect();
    assert_eq!(roles, ["owner", "admin", "viewer"]);

    let denied = delete(&server, &viewer, &path(2)).await;
    assert_eq!(denied.problem(), (403, "forbidden".to_owned()));
    let denied = delete(&server, &admin, &path(0)).await;
    assert_eq!(denied.problem(), (403, "forbidden".to_owned()));
    let hidden = delete(&server, &other.owner, &path(2)).await;
    assert_eq!(hidden.problem(), (404, "not-found".to_owned()));
    let elsewhere = path(2).replace(&tenant.id.to_string(), &other.id.to_string());
    let hidden = server.send(&server.operator, Method::DELETE, &elsewhere, None).await;
    assert_eq!(hidden.problem(), (404, "not-found".to_owned()));
    assert!(is_good(&server, &viewer).await);

    assert_eq!(delete(&server, &admin, &path(2)).await.status, StatusCode::NO_CONTENT);
    assert!(!is_good(&server, &viewer).await);
    assert_eq!(delete(&server, &tenant.owner, &path(0)).await.status, StatusCode::NO_CONTENT);
    assert!(!is_good(&server, &tenant.owner).await, "also one's own");
}

#[tokio::test]
async fn an_operators_token_has_a_name_and_nobody_elses_role() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    for body in [json!({}), json!({ "name": "" }), json!({ "name": "a", "role": "viewer" })] {
        let refused = server.post("/api/v1/tokens", body).await;
        assert_eq!(refused.problem(), (422, "invalid-input".to_owned()));
    }
    let body = Some(json!({ "name": "mine" }));
    let hidden = server.send(&tenant.owner, Method::POST, "/api/v1/tokens", body).await;
    assert_eq!(hidden.problem(), (404, "not-found".to_owned()));
    assert_eq!(names(&server, "/api/v1/tokens").await, ["bootstrap"]);
}
