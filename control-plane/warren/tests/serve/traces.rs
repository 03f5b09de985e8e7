use crate::server::Home;
use reqwest::Method;
use serde_json::{Value, json};

/// The value of a field in the innermost span that has it.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    let spans = line["spans"].as_array().map_or(&[][..], Vec::as_slice);
    spans.iter().rev().find_map(|span| span.get(name))
}

#[tokio::test]
async fn lines_of_the_log_carry_request_tenant_session_and_operation() {
    let home = Home::new();
    let mut server = home.try_start("info,warren=debug,api=debug").await.ok().unwrap();
    let token = server.token();
    let send = |method, path: &str, body: &Value| {
        server.request(&token, method, path).header("x-request-id", "my-request").json(body)
    };
    let tenants = "/api/v1/tenants";
    let body = json!({"name": "acme", "plan": "starter"});
    let made = send(Method::POST, tenants, &body).send().await.unwrap();
    let tenant: Value = made.json().await.unwrap();
    let (id, operation) = (&tenant["id"], tenant["operation"].as_str().unwrap().to_owned());
    let sessions = "/api/v1/tenants/acme/sessions";
    let body = json!({"image": "agent:1", "command": ["/agent"], "env": {"KEY": "hunter2"}});
    let made = send(Method::POST, sessions, &body).send().await.unwrap();
    let session: Value = made.json().await.unwrap();
    let stop = format!("{sessions}/{}/stop", session["id"].as_str().unwrap());
    send(Method::POST, &stop, &json!({})).send().await.unwrap();
    let get = format!("/api/v1/operations/{operation}");
    send(Method::GET, &get, &json!({})).send().await.unwrap();

    let did = async |server: &mut crate::server::Server, operation: &str| {
        // The provisioner works on the record too, for no request.
        let of_request = |line: &Value| {
            line["operation"] == operation
                && field(line, "request.id") == Some(&json!("my-request"))
        };
        let line = server.hear_of(of_request).await;
        assert!(line["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0), "{line}");
        line
    };
    did(&mut server, "db.tenant.create").await;
    let line = did(&mut server, "db.session.create").await;
    assert_eq!(field(&line, "tenant.id"), Some(id), "{line}");
    let line = did(&mut server, "db.session.stop").await;
    assert_eq!(field(&line, "tenant.id"), Some(id), "{line}");
    assert_eq!(field(&line, "session.id"), Some(&session["id"]), "{line}");
    did(&mut server, "db.operation.get").await;
    let is_answered = |line: &Value| line["message"] == "answered" && line["status"] == 200;
    server.hear_of(is_answered).await;

    let ended = server.terminate().await;
    let all = ended.said.join("\n");
    // Shown once, and not by the log.
    assert_eq!(all.matches(&token).count(), 1, "{all}");
    assert!(!all.contains("hunter2") && !all.contains("SELECT"), "{all}");
}
