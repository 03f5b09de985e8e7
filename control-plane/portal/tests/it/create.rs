//! The way to a new tenant.

use crate::harness::TestPortal;
use axum::http::StatusCode;

#[tokio::test]
async fn what_is_wrong_is_said_beside_its_field_and_what_was_typed_is_kept() {
    let portal = TestPortal::new().await;
    let path = "/tenants/new?name=Not+A+Name&plan=starter&nodes=many&step=review";
    let page = portal.get(path).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.shows("2 fields need other values.");
    page.shows("href=\"#name\"");
    page.shows("value=\"Not A Name\"");
    page.shows("value=\"many\"");
    page.shows("value=\"starter\" checked");
    page.shows("Error: New tenant");
    portal.tenant("acme", "starter", None).await;
    let taken = portal.get("/tenants/new?name=acme&plan=starter&step=review").await;
    taken.shows("a tenant has that name");
}

#[tokio::test]
async fn the_review_says_what_there_is_room_for_and_the_same_as_a_command() {
    let portal = TestPortal::new().await;
    let page = portal.get("/tenants/new?name=acme&plan=dedicated-m&nodes=3&step=review").await;
    assert_eq!(page.status, StatusCode::OK);
    page.shows("warren tenant create acme --plan dedicated-m --nodes 3 --wait");
    page.shows("Room for 3 machines");
    page.shows("room for 3 machines: 48 GiB of 128 GiB memory free on pve1 and pve2; 3 to be made");
    page.shows("Too little");
    page.shows("/tenants/new?name=acme&#38;plan=dedicated%2Dm&#38;nodes=3");
    let shared = portal.get("/tenants/new?name=acme&plan=starter&step=review").await;
    shared.hides("Room for");
}

#[tokio::test]
async fn a_double_click_makes_one_tenant() {
    let portal = TestPortal::new().await;
    let form = "name=acme&plan=starter&nodes=&key=0123456789abcdef0123456789abcdef";
    for _ in 0..2 {
        let made = portal.post("/tenants", form).await;
        assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
        assert_eq!(made.header("location"), "/tenants/acme");
    }
    let other = portal.post("/tenants", &form.replace("acme", "other")).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    other.shows("idempotency-mismatch");
    let taken = portal.post("/tenants", "name=acme&plan=starter").await;
    taken.shows("a tenant has that name");
    portal.get("/").await.hides("other");
}
