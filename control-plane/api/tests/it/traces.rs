//! What a request leaves in the traces.

use crate::harness::TestApp;
use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::{Value, json};
use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
};
use tracing::{
    Id, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::{LookupSpan, Scope},
};

/// The line of ancestors of every span that has ended, oldest first, each with its fields.
#[derive(Debug, Clone, Default)]
struct Ended(Arc<Mutex<Vec<String>>>);

#[derive(Debug, Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").expect("a text can grow");
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Ended {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        cx.span(id).expect("it is new").extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        let span = cx.span(id).expect("it is there");
        values.record(span.extensions_mut().get_mut::<Fields>().expect("put there at the start"));
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        let line = cx.span_scope(&id).into_iter().flat_map(Scope::from_root);
        let line = line.map(|span| {
            let extensions = span.extensions();
            let fields = extensions.get::<Fields>().map_or("", |fields| fields.0.trim());
            format!("{}{{{fields}}}", span.name())
        });
        let line = line.collect::<Vec<_>>().join(" > ");
        self.0.lock().expect("no test panics with it").push(line);
    }
}

impl Ended {
    /// For the whole process: with a subscriber of one thread, others would decide whether there are
    /// spans at all.
    fn watch() -> Self {
        let ended = Self::default();
        let subscriber = tracing_subscriber::registry().with(ended.clone());
        tracing::subscriber::set_global_default(subscriber).expect("nobody else sets one");
        ended
    }

    /// The lines of the requests of this test.
    fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().expect("no test panics with it");
        lines.iter().filter(|line| line.contains("request.id=\"traced\"")).cloned().collect()
    }

    /// The only line that ends with a span of this name.
    fn line(&self, name: &str) -> String {
        let end = format!(" > {name}{{}}");
        let mut lines = self.lines();
        lines.retain(|line| line.ends_with(&end));
        assert_eq!(lines.len(), 1, "{name} in {:#?}", self.lines());
        lines.remove(0)
    }
}

async fn send(server: &TestApp, method: Method, path: &str, body: Value) -> Value {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", server.operator))
        .header("content-type", "application/json")
        .header("x-request-id", "traced");
    server.call(request.body(Body::from(body.to_string()))).await.json()
}

#[tokio::test]
async fn what_the_record_does_for_a_request_carries_the_requests_ids() {
    let ended = Ended::watch();
    let server = TestApp::new().await;
    let body = json!({ "name": "acme", "plan": "starter" });
    let tenant = send(&server, Method::POST, "/api/v1/tenants", body).await;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let (id, operation) = (text(&tenant["id"]), text(&tenant["operation"]));
    let request = "http{request.id=\"traced\" http.route=\"/api/v1/tenants\" method=POST}";
    assert_eq!(
        ended.line("db.tenant.create"),
        format!("{request} > http.tenant.create{{}} > db.tenant.create{{}}")
    );

    let path = format!("/api/v1/operations/{operation}");
    send(&server, Method::GET, &path, Value::Null).await;
    let path = format!("/api/v1/tenants/{id}/sessions");
    let body = json!({ "image": "agent:1", "command": ["/a"], "env": { "KEY": "hunter2" } });
    let session = text(&send(&server, Method::POST, &path, body).await["id"]);
    send(&server, Method::POST, &format!("{path}/{session}/stop"), Value::Null).await;
    let stopped = ended.line("db.session.stop");
    let ids = format!("http.session.stop{{tenant.id={id} session.id={session}}}");
    assert!(stopped.contains(&ids), "{ids}: {stopped}");

    let all = ended.lines().join("\n");
    let ids = format!("http.operation.get{{tenant.id={id} operation.id={operation}}}");
    assert!(all.contains(&ids), "{ids}: {all}");
    for secret in ["hunter2", &server.operator, "SELECT", "INSERT"] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}
