//! A server that answers as it is told and remembers what it was asked.

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::{net::TcpListener, task::JoinHandle};

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Ends with the test.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// `answer` sees the request and its number, which starts at 0.
    pub(crate) async fn start(
        answer: impl Fn(&Asked, usize) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        let handler = async move |request: Request| {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, 200 << 20).await.unwrap();
            let one = Asked { method: head.method, uri: head.uri, headers: head.headers, body };
            let number = {
                let mut record = record.lock().unwrap();
                record.push(one.clone());
                record.len() - 1
            };
            answer(&one, number)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handler);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, task }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.uri)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) fn json_answer(status: u16, value: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

pub(crate) fn problem(status: u16, code: &str, errors: &Value) -> Response {
    let body = json!({
        "type": format!("https://warren.dev/problems/{code}"), "title": "Refused",
        "status": status, "detail": "It is not possible.", "code": code, "requestId": "req-7",
        "errors": errors, "hint": "Try something else.",
    });
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

pub(crate) fn ndjson(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// A tenant as the API shows it.
pub(crate) fn tenant(phase: &str) -> Value {
    let status = if phase == "ready" { "True" } else { "False" };
    json!({
        "id": "tn_0198c0ffee0070008000000000000001", "name": "acme", "plan": "starter",
        "phase": phase, "cluster": "wabcdefghijkm", "generation": 1, "observedGeneration": 1,
        "conditions": [{
            "type": "Ready", "status": status, "reason": "AllGood", "message": "All is well.",
            "since": "2026-11-21T09:00:00Z",
        }],
        "usage": {
            "cpu": {"yours": "500m", "overhead": "300m", "limit": "2"},
            "memory": {"yours": "1Gi", "overhead": "600Mi", "limit": "4Gi"},
            "storage": {"yours": "0", "overhead": "5Gi", "limit": "20Gi"},
            "pods": {"yours": 3, "overhead": 2, "limit": 20},
        },
        "createdAt": "2026-11-21T09:00:00Z", "deletionRequestedAt": null,
        "operation": if phase == "ready" { Value::Null } else { json!("op_1") },
        "somethingNew": {"that": "this program does not know"},
    })
}

/// An operation as the API shows it.
pub(crate) fn operation(state: &str, step: &str) -> Value {
    let problem = (state == "failed")
        .then(|| json!({"code": "no-room", "detail": "No node has room.", "hint": "Add a node."}));
    json!({
        "id": "op_1", "kind": "tenant-create", "tenant": "tn_0198c0ffee0070008000000000000001",
        "state": state, "steps": [{
            "name": "namespace", "state": step, "message": "14 objects",
            "startedAt": "2026-11-21T09:00:00Z", "finishedAt": null, "durationMs": 1234,
            "typical": {"medianMs": 2100, "longestMs": 9000, "count": 4},
        }],
        "problem": problem, "createdAt": "2026-11-21T09:00:00Z",
        "deadline": "2026-11-21T09:05:00Z", "isLate": false, "finishedAt": null,
    })
}

/// A session as the API shows it.
pub(crate) fn session(state: &str, lines: u64) -> Value {
    let is_over = ["succeeded", "failed"].contains(&state);
    let cause = (state == "failed").then(
        || json!({"class": "agent", "reason": "ExitCode", "message": "The agent ended with code 3."}),
    );
    json!({
        "id": "ses_1", "tenant": "tn_0198c0ffee0070008000000000000001", "project": "agents",
        "state": state, "cause": cause,
        "spec": {
            "image": "agent:1", "command": ["/agent"], "args": [], "env": {}, "secrets": {}, "inputs": [],
            "resources": {"cpu": "250m", "memory": "256Mi"}, "runAsUser": 65532, "timeoutSeconds": 3600,
            "gracePeriodSeconds": 30, "labels": {}, "onDrain": "wait",
        },
        "run": {
            "id": "run_1", "attempt": 1, "exit": null, "usage": null, "startedAt": null,
            "exitedAt": null, "heartbeatAt": null, "logLines": lines,
        },
        "logLines": lines,
        "createdAt": "2026-11-21T09:00:00Z", "startingAt": "2026-11-21T09:00:00Z",
        "runningAt": "2026-11-21T09:00:01Z",
        "finishedAt": is_over.then_some("2026-11-21T09:00:09Z"), "stopRequestedAt": null,
    })
}
