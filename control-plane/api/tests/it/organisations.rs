//! Organisations and their people over REST.

use crate::harness::TestApp;
use axum::http::{Method, StatusCode};
use domain::Email;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use store::Joining;

const ORGANISATIONS: &str = "/api/v1/organisations";

async fn delete(server: &TestApp, path: &str) -> (u16, Value) {
    let answer = server.send(&server.operator, Method::DELETE, path, None).await;
    let body = if answer.text().is_empty() { Value::Null } else { answer.json() };
    (answer.status.as_u16(), body)
}

#[tokio::test]
async fn an_organisation_gets_people_who_change_and_go_but_for_the_last_owner() {
    let server = TestApp::new().await;
    let made = server.post(ORGANISATIONS, json!({ "name": "acme", "maxTenants": 2 })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let body = made.json();
    assert_eq!((&body["name"], &body["maxTenants"]), (&json!("acme"), &json!(2)));
    assert_eq!(server.get(made.header("location")).await.json(), body);
    assert_eq!(server.get("/api/v1/organisations/acme").await.json(), body, "by its name");
    let again = server.post(ORGANISATIONS, json!({ "name": "acme" })).await;
    assert_eq!(again.problem(), (409, "name-taken".to_owned()));
    assert_eq!(server.get(ORGANISATIONS).await.json()["items"], json!([body]));

    // Two are invited and come; a third does not.
    let invites = "/api/v1/organisations/acme/invites";
    for (role, email) in [("owner", "anna@example.com"), ("viewer", "vera@example.com")] {
        let invite = server.post(invites, json!({ "role": role, "note": email })).await;
        assert_eq!(invite.status, StatusCode::CREATED, "{}", invite.text());
        let code = SecretString::from(invite.json()["code"].as_str().expect("a code"));
        let email = Email::parse("/email", email).expect("an address");
        let password = SecretString::from("$argon2id$of a password");
        let person = Joining::New { email, name: role.to_owned(), password };
        server.app.store.invite_accept(&code, &person, "test").await.expect("it opens");
    }
    let third = server.post(invites, json!({ "role": "admin" })).await.json();
    let open = server.get(invites).await;
    assert_eq!(open.json()["items"][0]["id"], third["id"], "{}", open.text());
    let code = SecretString::from(third["code"].as_str().expect("a code"));
    assert!(!open.text().contains(code.expose_secret()), "it is shown once");
    let third = format!("{invites}/{}", third["id"].as_str().expect("an id"));
    assert_eq!(delete(&server, &third).await.0, 204);
    assert_eq!(delete(&server, &third).await.0, 404);

    let members = server.get("/api/v1/organisations/acme/members").await.json();
    let roles: Vec<_> = members["items"].as_array().expect("a list").iter().collect();
    assert_eq!((&roles[0]["role"], &roles[1]["role"]), (&json!("owner"), &json!("viewer")));
    assert_eq!(roles[0]["email"], "anna@example.com");
    let path = |index: usize| {
        let id = roles[index]["id"].as_str().expect("an id");
        format!("/api/v1/organisations/acme/members/{id}")
    };
    let set = async |index: usize, role: &str| {
        let body = Some(json!({ "role": role }));
        server.send(&server.operator, Method::PATCH, &path(index), body).await
    };
    assert_eq!(set(0, "viewer").await.problem(), (409, "last-owner".to_owned()));
    assert_eq!(delete(&server, &path(0)).await.1["code"], "last-owner");
    let wrong = set(1, "king").await;
    assert_eq!(wrong.problem(), (422, "invalid-input".to_owned()));
    assert_eq!(wrong.json()["errors"][0]["field"], "/role");
    assert_eq!(set(1, "owner").await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete(&server, &path(0)).await.0, 204, "there is another owner");
    let left = server.get("/api/v1/organisations/acme/members").await.json();
    assert_eq!(left["items"][0]["role"], "owner");
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
    let deeds = server.get("/api/v1/organisations/acme/audit?action=organisation").await;
    assert_eq!(deeds.json()["items"][0]["action"], "organisation.create", "{}", deeds.text());
}

#[tokio::test]
async fn every_fault_of_an_invite_is_told_at_once() {
    let server = TestApp::new().await;
    server.post(ORGANISATIONS, json!({ "name": "acme" })).await;
    let wrong = json!({ "role": "operator", "note": "x".repeat(81), "mail": "a@b" });
    let answer = server.post("/api/v1/organisations/acme/invites", wrong).await;
    assert_eq!(answer.problem(), (422, "invalid-input".to_owned()));
    let mut fields: Vec<_> = answer.json()["errors"]
        .as_array()
        .expect("fields")
        .iter()
        .filter_map(|error| error["field"].as_str().map(str::to_owned))
        .collect();
    fields.sort();
    assert_eq!(fields, ["/mail", "/note", "/role"]);
}
