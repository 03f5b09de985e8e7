//! What changes on a page while it is looked at.

use crate::harness::{TestPortal, request};
use axum::{body::Body, http::Method};
use domain::{Clock as _, Conditions, Step, StepState};
use http_body_util::BodyExt as _;
use std::time::Duration;
use tower::ServiceExt as _;

/// The next event of a stream, or nothing if it has ended.
async fn next(body: &mut Body) -> Option<String> {
    let frame = tokio::time::timeout(Duration::from_secs(10), body.frame());
    let frame = frame.await.expect("something is sent in time")?.expect("the stream is whole");
    Some(String::from_utf8_lossy(frame.data_ref().expect("data")).into_owned())
}

async fn events(portal: &TestPortal) -> Body {
    let request = request(&portal.operator, Method::GET, "/tenants/acme/events");
    let request = request.body(Body::empty()).expect("a request");
    let answer = portal.router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    answer.into_body()
}

#[tokio::test]
async fn a_page_follows_a_tenant_until_it_is_ready() {
    let portal = TestPortal::new().await;
    let tenant = portal.tenant("acme", "starter", None).await;
    portal.get("/tenants/acme").await.shows("hx-sse:connect=\"/tenants/acme/events\"");
    let mut body = events(&portal).await;
    let first = next(&mut body).await.expect("what is there now");
    assert!(first.contains("Pending"), "{first}");
    let mut step = Step::waiting("control-plane");
    step.advance(StepState::Running, "pod <b>w-0</b>\r starts", portal.clock.now());
    let operation = portal.operation(tenant.id).await.id;
    portal.report(tenant.id, Conditions::default(), Some((operation, vec![step]))).await;
    let change = next(&mut body).await.expect("a change");
    assert!(change.contains("Control plane") && change.contains("hx-target=\"#operations\""));
    assert!(change.contains("pod &#60;b&#62;w-0&#60;/b&#62;"), "{change}");
    portal.make_ready(tenant.id).await;
    let mut events = String::new();
    while let Some(event) = next(&mut body).await {
        events += &event;
    }
    assert!(events.contains("<title>Ready · acme · warren</title>"), "{events}");
    assert!(events.ends_with("event: end\ndata: over\n\n"), "{events}");
    portal.get("/tenants/acme").await.hides("hx-sse:connect");
}

#[tokio::test]
async fn a_stream_ends_when_the_server_does() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let mut body = events(&portal).await;
    assert!(next(&mut body).await.is_some());
    portal.stop.cancel();
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn a_stream_ends_when_who_follows_it_signs_out() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let mut body = events(&portal).await;
    assert!(next(&mut body).await.is_some());
    portal.post("/sign-out", "").await;
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn what_the_world_says_stays_text() {
    let portal = TestPortal::new().await;
    let tenant = portal.tenant("acme", "starter", None).await;
    let evil = "<script>alert(1)</script>\"'>";
    let mut step = Step::waiting(evil);
    step.advance(StepState::Running, evil, portal.clock.now());
    let operation = portal.operation(tenant.id).await.id;
    let mut conditions = Conditions::default();
    let kind = domain::ConditionKind::Ready;
    conditions.set(kind, domain::ConditionStatus::False, evil, evil, portal.clock.now());
    portal.report(tenant.id, conditions, Some((operation, vec![step]))).await;
    let operation = format!("/operations/{operation}");
    for path in ["/", "/tenants/acme", &operation, "/tenants/new?name=%3Cscript%3E&step=review"] {
        portal.get(path).await.hides("<script>");
    }
    portal.get("/tenants/acme").await.shows("&#60;script&#62;alert(1)");
    portal.get("/sign-in?next=%22%3E%3Cscript%3E").await.hides("<script>");
}
