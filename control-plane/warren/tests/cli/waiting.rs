use crate::{
    server::{Server, json_answer, operation, problem, session, tenant},
    warren,
};
use axum::http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn waiting_says_every_change_once_and_ends_with_the_tenant() {
    let server = Server::start(|asked, number| match (asked.uri.path(), number) {
        ("/api/v1/tenants", _) => json_answer(201, &tenant("pending")),
        ("/api/v1/operations/op_1", 0..=4) => json_answer(200, &operation("running", "running")),
        ("/api/v1/operations/op_1", _) => json_answer(200, &operation("succeeded", "done")),
        (_, 0..=5) => json_answer(200, &tenant("provisioning")),
        _ => json_answer(200, &tenant("ready")),
    })
    .await;
    let create = ["tenant", "create", "acme", "--plan", "starter", "--wait", "-o", "name"];
    let ended = warren(&server.url, &create).await;
    assert_eq!((ended.code, &*ended.stdout), (0, "tenant/acme\n"), "{}", ended.stderr);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].contains("namespace") && lines[0].contains("running"), "{}", lines[0]);
    assert!(lines[1].contains("namespace") && lines[1].contains("done"), "{}", lines[1]);
    assert!(lines[2].starts_with("Tenant acme: ready after "), "{}", lines[2]);
}

#[tokio::test]
async fn a_failed_operation_and_one_that_takes_too_long_are_told_apart() {
    let failed = Server::start(|asked, _| match asked.uri.path() {
        "/api/v1/operations/op_1" => json_answer(200, &operation("failed", "blocked")),
        _ => json_answer(200, &tenant("provisioning")),
    })
    .await;
    let ended = warren(&failed.url, &["tenant", "wait", "acme"]).await;
    assert_eq!(ended.code, 8, "{}", ended.stderr);
    assert!(ended.stderr.contains("No node has room.") && ended.stderr.contains("Add a node."));

    let slow = Server::start(|_, _| json_answer(200, &operation("running", "running"))).await;
    let arguments = ["operation", "get", "op_1", "--wait", "--timeout", "300ms", "-o", "json"];
    let ended = warren(&slow.url, &arguments).await;
    assert_eq!(ended.code, 7, "{}", ended.stderr);
    let last: Value = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&last["operation"], &last["code"]), (&json!("op_1"), &json!("wait-timed-out")));
}

#[tokio::test]
async fn a_deletion_ends_when_the_tenant_is_gone() {
    let server = Server::start(|asked, number| match (&asked.method, asked.uri.path()) {
        (&Method::DELETE, _) => json_answer(202, &operation("running", "running")),
        (_, "/api/v1/operations/op_1") if number < 4 => {
            json_answer(200, &operation("running", "running"))
        }
        (_, "/api/v1/operations/op_1") => json_answer(200, &operation("succeeded", "done")),
        _ if number < 4 => json_answer(200, &tenant("deleting")),
        _ => problem(404, "not-found", &json!([])),
    })
    .await;
    let arguments = ["tenant", "delete", "acme", "--yes", "--force", "--wait", "-o", "name"];
    let ended = warren(&server.url, &arguments).await;
    assert_eq!((ended.code, &*ended.stdout), (0, "operation/op_1\n"), "{}", ended.stderr);
    assert_eq!(server.asked()[0].line(), "DELETE /api/v1/tenants/acme?force=true");
    assert!(ended.stderr.contains("Tenant acme: deleted after"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_session_that_failed_ends_the_wait_with_its_cause() {
    let server = Server::start(|_, _| json_answer(200, &session("failed", 3))).await;
    let ended = warren(&server.url, &["session", "wait", "ses_1", "-t", "acme"]).await;
    assert_eq!(ended.code, 8, "{}", ended.stderr);
    assert!(ended.stdout.contains("failed"), "{}", ended.stdout);
    for part in ["agent: The agent ended with code 3. (ExitCode)", "warren session logs ses_1"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}
