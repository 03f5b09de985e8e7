//! Tenants' own nodes that are stopped, started, rebooted and replaced.

use crate::harness::{Mood, TestApp, TestTenant};
use axum::http::{Method, StatusCode};
use domain::{NodeId, NodeShape, Operation, StepState, Survey, TenantId};
use serde_json::json;
use store::NodeEnd;

/// A tenant with a node of its own that is ready: its path, its owner's token, and the node.
async fn with_node(server: &TestApp) -> (String, String, NodeId) {
    let body = json!({ "name": "acme", "plan": "dedicated-s", "nodes": 1 });
    let created = server.post("/api/v1/tenants", body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text());
    let id: TenantId = created.json()["id"].as_str().expect("an id").parse().expect("a tenant's");
    let path = format!("/api/v1/tenants/{id}");
    let owner = server.token(&path, "owner").await;
    let attached = server.app.store.node_attach(id, NodeShape::S).await.expect("writable");
    let (node, attach) = attached.expect("it pays for one");
    server.app.store.node_end(&attach, NodeEnd::Ready).await.expect("it is open");
    (path, owner, node.id)
}

async fn operation(server: &TestApp, node: NodeId) -> Operation {
    let open = server.app.store.node_operation(node).await.expect("readable");
    open.expect("something is being done about it")
}

async fn state(server: &TestApp, tenant: &str) -> String {
    let nodes = server.get(&format!("{tenant}/nodes")).await.json();
    nodes["items"][0]["state"].as_str().expect("a state").to_owned()
}

/// Ends what is being done about the tenant itself.
async fn make_ready(server: &TestApp, tenant: &str, owner: &str) -> TenantId {
    let id = tenant.rsplit('/').next().expect("an id").parse().expect("a tenant's");
    let known = TestTenant { id, path: tenant.to_owned(), owner: owner.to_owned() };
    server.make_ready(&known).await;
    id
}

#[tokio::test]
async fn a_node_is_stopped_and_started_and_says_so() {
    let server = TestApp::new().await;
    let (tenant, owner, node) = with_node(&server).await;
    let ask = async |verb: &str| {
        let path = format!("{tenant}/nodes/{node}/{verb}");
        server.send(&owner, Method::POST, &path, Some(json!({}))).await
    };
    let early = ask("stop").await;
    assert_eq!(early.problem(), (409, "tenant-busy".to_owned()));
    assert!(early.text().contains("tenant-create"), "it is named: {}", early.text());
    let tenant_id = make_ready(&server, &tenant, &owner).await;

    let stop = ask("stop").await;
    assert_eq!(stop.status, StatusCode::ACCEPTED, "{}", stop.text());
    assert_eq!(server.get(stop.header("location")).await.json(), stop.json());
    assert_eq!(stop.json()["kind"], "node-stop");
    assert_eq!(state(&server, &tenant).await, "stopping");
    for verb in ["stop", "start", "reboot"] {
        let second = ask(verb).await;
        assert_eq!(second.problem(), (409, "node-busy".to_owned()), "{verb}");
        let id = operation(&server, node).await.id.to_string();
        assert!(second.text().contains(&id), "the one that runs is named: {}", second.text());
    }
    server
        .app
        .store
        .node_end(&operation(&server, node).await, NodeEnd::Stopped)
        .await
        .expect("open");

    assert_eq!(state(&server, &tenant).await, "stopped");
    assert_eq!(ask("reboot").await.problem(), (409, "node-not-ready".to_owned()));
    let start = ask("start").await;
    assert_eq!(start.json()["kind"], "node-start", "{}", start.text());
    assert_eq!(state(&server, &tenant).await, "starting");
    server.app.store.node_end(&operation(&server, node).await, NodeEnd::Ready).await.expect("open");

    assert_eq!(state(&server, &tenant).await, "ready");
    assert_eq!(ask("start").await.problem(), (409, "node-not-stopped".to_owned()));
    let reboot = ask("reboot").await;
    assert_eq!(reboot.json()["kind"], "node-reboot", "{}", reboot.text());
    let audit = server.app.store.audit_list(Some(tenant_id), None, 1).await.expect("readable");
    assert_eq!((audit[0].action.as_str(), &audit[0].target), ("node.reboot", &node.to_string()));
}

#[tokio::test]
async fn who_may_only_look_stops_nothing_and_nothing_is_begun_on_the_way_out() {
    let server = TestApp::new().await;
    let (tenant, owner, node) = with_node(&server).await;
    let developer = server.token(&tenant, "developer").await;
    for verb in ["stop", "start", "reboot"] {
        let path = format!("{tenant}/nodes/{node}/{verb}");
        let answer = server.send(&developer, Method::POST, &path, Some(json!({}))).await;
        assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{verb}");
    }
    let deleted = server.send(&owner, Method::DELETE, &tenant, None).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED, "{}", deleted.text());
    let late = server.post(&format!("{tenant}/nodes/{node}/stop"), json!({})).await;
    assert_eq!(late.problem(), (409, "tenant-deleting".to_owned()));
}

#[tokio::test]
async fn a_node_with_volumes_on_its_disk_is_replaced_only_by_whoever_gives_them_up() {
    let server = TestApp::new().await;
    let (tenant, owner, node) = with_node(&server).await;
    let path = format!("{tenant}/nodes/{node}/replace");
    let ask = async |body| server.send(&owner, Method::POST, &path, body).await;
    let data = Survey { volumes: vec!["default/data".to_owned()], ..Survey::default() };
    *server.world.survey.lock().expect("no test panics with it") = data;
    for body in [None, Some(json!({})), Some(json!({ "volumes": "stop" }))] {
        let refused = ask(body).await;
        assert_eq!(refused.problem(), (409, "node-has-volumes".to_owned()));
        assert!(refused.text().contains("default/data"), "{}", refused.text());
    }
    let wrong = ask(Some(json!({ "volumes": "keep" }))).await;
    assert_eq!(wrong.problem(), (422, "invalid-input".to_owned()));
    assert_eq!(wrong.json()["errors"][0]["field"], "/volumes");
    server.world.set(Mood::Away);
    assert_eq!(ask(None).await.problem(), (503, "cluster-unreachable".to_owned()));
    assert_eq!(state(&server, &tenant).await, "ready", "nothing was begun");
    let given_up = ask(Some(json!({ "volumes": "lose" }))).await;
    assert_eq!(given_up.status, StatusCode::ACCEPTED, "{}", given_up.text());
    assert_eq!(given_up.json()["kind"], "node-release");
    assert_eq!(ask(None).await.problem(), (409, "node-not-ready".to_owned()), "it goes already");
}

#[tokio::test]
async fn volumes_on_a_nodes_disk_are_copied_if_they_can_be_and_given_up_as_long_as_they_are_not() {
    let server = TestApp::new().await;
    let (tenant, owner, node) = with_node(&server).await;
    let path = format!("{tenant}/nodes/{node}");
    let ask = async |verb: &str, body| {
        server.send(&owner, Method::POST, &format!("{path}/{verb}"), Some(body)).await
    };
    let end = async |end| {
        let open = operation(&server, node).await;
        server.app.store.node_end(&open, end).await.expect("it is open");
    };
    make_ready(&server, &tenant, &owner).await;
    let (copy, lose) = (json!({ "volumes": "copy" }), json!({ "volumes": "lose" }));
    let claims = vec!["default/data".to_owned(), "default/raw".to_owned()];
    let raw = ("default/raw".to_owned(), "it is a block device".to_owned());
    let set = |uncopied| {
        let found = Survey { volumes: claims.clone(), uncopied, ..Survey::default() };
        *server.world.survey.lock().expect("no test panics with it") = found;
    };
    set([raw].into());
    let refused = ask("replace", copy.clone()).await;
    assert_eq!(refused.problem(), (409, "node-has-volumes".to_owned()));
    let detail = refused.json()["detail"].to_string();
    assert!(detail.contains("default/raw, for it is a block device"), "{detail}");
    assert!(!detail.contains("default/data"), "that one can be copied: {detail}");
    set([].into());
    ask("stop", json!({})).await;
    end(NodeEnd::Stopped).await;
    let unread = ask("replace", copy.clone()).await;
    assert_eq!(unread.problem(), (409, "node-has-volumes".to_owned()));
    assert!(unread.text().contains("Start the node first"), "{}", unread.text());
    ask("start", json!({})).await;
    end(NodeEnd::Ready).await;

    let begun = ask("replace", copy.clone()).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text());
    let again = ask("replace", copy).await;
    assert_eq!(again.problem(), (409, "node-not-ready".to_owned()));
    let given_up = ask("replace", lose.clone()).await;
    assert_eq!(given_up.status, StatusCode::ACCEPTED, "{}", given_up.text());
    assert_eq!(given_up.json()["id"], begun.json()["id"], "it goes on without them");
    let over = ask("replace", lose).await;
    assert_eq!(over.problem(), (409, "node-not-ready".to_owned()), "there is nothing to give up");
}

#[tokio::test]
async fn an_operation_says_how_long_those_before_it_took() {
    let server = TestApp::new().await;
    let store = &server.app.store;
    let body = json!({ "name": "acme", "plan": "dedicated-s", "nodes": 2 });
    let created = server.post("/api/v1/tenants", body).await.json();
    let id: TenantId = created["id"].as_str().expect("an id").parse().expect("a tenant's");
    let attach = async || {
        let attached = store.node_attach(id, NodeShape::S).await.expect("writable");
        attached.expect("it pays for two").1
    };
    let operation = async |id| server.get(&format!("/api/v1/operations/{id}")).await.json();
    let mut first = attach().await;
    let never = operation(first.id).await;
    assert_eq!((&never["typical"], &never["steps"][0]["typical"]), (&json!(null), &json!(null)));

    first.steps[0].advance(StepState::Running, "", server.app.clock.now());
    server.clock.forward(2);
    first.steps[0].advance(StepState::Done, "", server.app.clock.now());
    server.clock.forward(3);
    store.node_end(&first, NodeEnd::Ready).await.expect("it is open");

    let second = operation(attach().await.id).await;
    let took = |minutes: u32| {
        let ms = minutes * 60_000;
        json!({ "medianMs": ms, "longestMs": ms, "count": 1 })
    };
    assert_eq!(second["typical"], took(5));
    assert_eq!(second["steps"][0]["typical"], took(2));
    assert_eq!(second["steps"][1]["typical"], json!(null), "that one was skipped");
    let list = server.get("/api/v1/tenants/acme/operations").await.json();
    let list = list["items"].as_array().expect("a page");
    assert!(list.contains(&second), "the list says it, too: {list:?}");
}
