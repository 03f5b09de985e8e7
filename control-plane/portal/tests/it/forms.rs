//! What is done with a tenant.

use crate::harness::{TestPortal, request};
use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use futures::{StreamExt as _, stream};

#[tokio::test]
async fn a_tenant_goes_only_when_its_name_is_typed() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let typo = portal.post("/tenants/acme/delete", "confirm=amce").await;
    assert_eq!(typo.status, StatusCode::UNPROCESSABLE_ENTITY);
    typo.shows("That is not its name. Nothing was deleted.");
    typo.shows("value=\"amce\"");
    portal.get("/").await.hides("Deleting");
    let deleted = portal.post("/tenants/acme/delete", "confirm=acme").await;
    assert_eq!(deleted.header("location"), "/tenants/acme");
    let page = portal.get("/tenants/acme").await;
    page.shows("Deleting");
    page.shows("Delete tenant");
    page.hides("id=\"danger\"");
    page.hides("id=\"kubeconfig\"");
    let late = portal.get("/tenants/acme/kubeconfig").await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    late.shows("tenant-deleting");
}

#[tokio::test]
async fn a_token_is_shown_once_and_can_be_taken_back() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let made = portal.post("/tenants/acme/tokens", "name=ci&role=developer").await;
    assert_eq!(made.status, StatusCode::OK);
    let secret = made.text.split("wrn_").nth(1).and_then(|rest| rest.split('<').next());
    let secret = format!("wrn_{}", secret.expect("its text"));
    let page = portal.get("/tenants/acme").await;
    page.hides(&secret);
    assert!(portal.is_token(&secret).await);
    let revoke = page.text.split("action=\"").find(|rest| rest.contains("/revoke\""));
    let revoke = revoke.and_then(|rest| rest.split('"').next()).expect("a form");
    let revoked = portal.post(revoke, "").await;
    assert_eq!(revoked.header("location"), "/tenants/acme#tokens");
    assert!(!portal.is_token(&secret).await);
    let odd = portal.post("/tenants/acme/tokens", "name=ci&role=operator").await;
    assert_eq!(odd.status, StatusCode::UNPROCESSABLE_ENTITY);
    odd.shows("invalid-input");
}

#[tokio::test]
async fn a_form_that_stops_coming_is_not_waited_for() {
    let portal = TestPortal::new().await;
    // This form needs no record, whose answers would come late by this clock.
    tokio::time::pause();
    let begun = stream::iter([Ok::<_, std::io::Error>("theme=da")]).chain(stream::pending());
    let request = request("", Method::POST, "/theme")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
        .body(Body::from_stream(begun));
    let answer = portal.send(request.expect("a request")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    answer.shows("Nothing was changed.");
}

#[tokio::test]
async fn a_kubeconfig_is_a_file_that_nobody_keeps() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let file = portal.get("/tenants/acme/kubeconfig").await;
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"acme.kubeconfig\"");
    assert_eq!(file.header("cache-control"), "no-store");
    assert_eq!(file.text, "kind: Config\n");
}
