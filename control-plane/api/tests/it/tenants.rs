use crate::harness::{Mood, TestApp, request};
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};

fn acme() -> Value {
    json!({ "name": "acme", "plan": "starter" })
}

#[tokio::test]
async fn a_tenant_is_accepted_at_once_with_its_address_and_its_operation() {
    let server = TestApp::new().await;
    let created = server.post("/api/v1/tenants", acme()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let tenant = created.json();
    assert_eq!(tenant["phase"], "pending");
    assert_eq!(tenant["name"], "acme");
    assert!(tenant["cluster"].as_str().is_some_and(|name| name.starts_with('w')));

    let found = server.get(created.header("location")).await;
    assert_eq!(found.json(), tenant);
    assert_eq!(server.get("/api/v1/tenants/acme").await.json(), tenant);

    let id = tenant["operation"].as_str().expect("an operation");
    let operation = server.get(&format!("/api/v1/operations/{id}")).await.json();
    assert_eq!(operation["kind"], "tenant-create");
    assert_eq!(operation["tenant"], tenant["id"]);
    assert_eq!(operation["isLate"], false);
    let list = server.get("/api/v1/tenants/acme/operations").await.json();
    assert_eq!(list["items"], json!([operation]));
}

#[tokio::test]
async fn an_operation_past_its_deadline_says_that_it_is_late() {
    let server = TestApp::new().await;
    let id = server.post("/api/v1/tenants", acme()).await.json()["operation"].clone();
    server.clock.forward(24 * 60);
    let path = format!("/api/v1/operations/{}", id.as_str().expect("an operation"));
    assert_eq!(server.get(&path).await.json()["isLate"], true);
}

#[tokio::test]
async fn a_repetition_with_the_same_key_is_the_same_tenant_and_another_body_is_refused() {
    let server = TestApp::new().await;
    let post = async |key: &str, body: &str| {
        let request = request(&server.operator, Method::POST, "/api/v1/tenants")
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_owned()));
        server.call(request).await
    };
    let first = post("a", r#"{"name":"acme","plan":"starter"}"#).await;
    let again = post("\"a\"", r#"{ "plan": "starter", "name": "acme" }"#).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert_eq!(again.json(), first.json());
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert!(!first.headers.contains_key("idempotent-replayed"));

    let other = post("a", r#"{"name":"other","plan":"starter"}"#).await;
    assert_eq!(other.problem(), (422, "idempotency-mismatch".to_owned()));
    let taken = post("b", r#"{"name":"acme","plan":"pro"}"#).await;
    assert_eq!(taken.problem(), (409, "name-taken".to_owned()));
    assert_eq!(
        server.get("/api/v1/tenants").await.json()["items"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_list_in_pages_has_every_tenant_once_and_ends() {
    let server = TestApp::new().await;
    for name in ["one", "two", "three", "four", "five"] {
        server.tenant(name).await;
    }
    let (mut names, mut sizes) = (Vec::new(), Vec::new());
    let mut next = Some("/api/v1/tenants?limit=2".to_owned());
    while let Some(path) = next {
        let page = server.get(&path).await;
        let body = page.json();
        let items = body["items"].as_array().expect("items");
        sizes.push(items.len());
        names.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        next = body["nextCursor"].as_str().map(|cursor| {
            let link = page.header("link");
            assert!(link.ends_with("rel=\"next\"") && link.contains(cursor), "{link}");
            link[1..link.find('>').expect("an address")].to_owned()
        });
    }
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(names, ["one", "two", "three", "four", "five"]);
}

#[tokio::test]
async fn whoever_belongs_to_a_tenant_sees_only_that_one_and_not_its_name_on_the_host() {
    let server = TestApp::new().await;
    let ours = server.tenant("ours").await;
    server.tenant("theirs").await;
    let list = server.send(&ours.owner, Method::GET, "/api/v1/tenants", None).await.json();
    let items = list["items"].as_array().expect("items");
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["name"], "ours");
    assert_eq!(items[0].get("cluster"), None);
}

#[tokio::test]
async fn a_deletion_is_one_operation_however_often_it_is_asked_for() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let delete = async |path: &str| server.send(&tenant.owner, Method::DELETE, path, None).await;
    let first = delete(&tenant.path).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!(first.json()["kind"], "tenant-delete");
    let again = delete(&format!("{}?force=true", tenant.path)).await;
    assert_eq!(again.json()["id"], first.json()["id"]);
    assert_eq!(server.get(first.header("location")).await.json()["id"], first.json()["id"]);

    assert_eq!(server.get(&tenant.path).await.json()["phase"], "deleting");
    let kubeconfig = server.get(&format!("{}/kubeconfig", tenant.path)).await;
    assert_eq!(kubeconfig.problem(), (409, "tenant-deleting".to_owned()));
    let body = json!({ "image": "agent:1", "command": ["/agent"] });
    let session = server.post(&format!("{}/sessions", tenant.path), body).await;
    assert_eq!(session.problem(), (409, "tenant-deleting".to_owned()));
}

#[tokio::test]
async fn whoever_prefers_to_wait_hears_of_the_end_of_an_operation_as_it_comes() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let operation = server.get(&tenant.path).await.json()["operation"].clone();
    let path = format!("/api/v1/operations/{}", operation.as_str().expect("an operation"));
    let waiting = request(&server.operator, Method::GET, &path).header("prefer", "wait=60");
    let (answer, ()) = tokio::join!(server.call(waiting.body(Body::empty())), async {
        tokio::task::yield_now().await;
        server.make_ready(&tenant).await;
    });
    assert_eq!(answer.json()["state"], "succeeded");
    assert_eq!(answer.header("preference-applied"), "wait=60");
    assert_eq!(server.get(&tenant.path).await.json()["phase"], "ready");

    let hasty = request(&server.operator, Method::POST, "/api/v1/tenants")
        .header("content-type", "application/json")
        .header("prefer", "respond-async, wait=0")
        .body(Body::from(r#"{"name":"other","plan":"pro"}"#));
    let answer = server.call(hasty).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.header("preference-applied"), "wait=0");
}

#[tokio::test]
async fn a_kubeconfig_is_the_callers_own_and_kept_nowhere_on_the_way() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let path = format!("{}/kubeconfig", tenant.path);
    let answer = server.send(&tenant.owner, Method::GET, &path, None).await;
    assert_eq!(answer.text(), "user: owner\n");
    assert_eq!(answer.header("content-type"), "text/yaml; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    server.world.set(Mood::NotReady);
    let early = server.get(&path).await;
    assert_eq!(early.problem(), (409, "tenant-not-ready".to_owned()));
    assert_eq!(early.json()["detail"], "It has no keys yet.");
}

#[tokio::test]
async fn an_explanation_lists_what_would_change() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let answer = server.get(&format!("{}/explanation", tenant.path)).await.json();
    assert_eq!(answer["changes"][0]["action"], "create");
    assert_eq!(answer["waitingFor"], json!(["the namespace"]));
}

#[tokio::test]
async fn nobody_makes_a_token_that_is_mightier_than_the_own() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let admin = server.token(&tenant.path, "admin").await;
    let path = format!("{}/tokens", tenant.path);
    let make = async |role: &str| {
        let body = json!({ "name": "ci", "role": role });
        server.send(&admin, Method::POST, &path, Some(body)).await
    };
    for role in ["owner", "operator", "king"] {
        let refused = make(role).await;
        assert_eq!(refused.problem(), (422, "invalid-input".to_owned()), "{role}");
        assert_eq!(refused.json()["errors"][0]["field"], "/role");
    }
    let token = make("viewer").await;
    assert_eq!(token.status, StatusCode::CREATED);
    let token = token.json()["token"].as_str().expect("a token").to_owned();
    let seen = server.send(&token, Method::GET, &tenant.path, None).await;
    assert_eq!(seen.status, StatusCode::OK);
    let denied = server.send(&token, Method::DELETE, &tenant.path, None).await;
    assert_eq!(denied.problem(), (403, "forbidden".to_owned()));
}
