//! What holds for every page.

use crate::harness::{Answer, TestPortal, request};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};

async fn all(portal: &TestPortal) -> Vec<(String, Answer)> {
    portal.tenant("acme", "pro", None).await;
    let node = portal.tenant("own-nodes", "dedicated-s", Some(2)).await;
    let ready = portal.tenant("ready", "starter", None).await;
    portal.make_ready(ready.id).await;
    let operation = portal.operation(node.id).await.id;
    let paths = [
        "/",
        "/plans",
        "/sign-in",
        "/nothing-here",
        "/tenants/nobody",
        "/tenants/Not%20a%20name",
        "/tenants/new",
        "/tenants/new?name=X&plan=none&nodes=some&step=review",
        "/tenants/new?name=more&plan=starter&step=review",
        "/tenants/new?name=more&plan=dedicated-m&nodes=3&step=review",
        "/tenants/acme",
        "/tenants/own-nodes",
        "/tenants/ready",
        &format!("/operations/{operation}"),
        "/operations/nothing",
        "/audit",
        "/audit?action=tenant&subject=%3Cscript%3E&after=x",
        "/tenants/acme/audit",
        "/organisations/acme/audit",
    ];
    let mut pages = Vec::new();
    for path in paths {
        pages.push((path.to_owned(), portal.get(path).await));
    }
    pages
}

#[tokio::test]
async fn every_page_has_one_heading_a_title_and_nothing_that_a_policy_forbids() {
    let portal = TestPortal::new().await;
    for (path, page) in all(&portal).await {
        assert!(!page.status.is_server_error(), "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("referrer-policy"), "same-origin", "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
        let html = &page.text;
        assert_eq!(html.matches("<h1").count(), 1, "{path}");
        assert_eq!(html.matches("</title>").count(), 1, "{path}");
        assert_eq!(html.matches("id=\"main\"").count(), 1, "{path}");
        assert!(!html.contains("<title> ·"), "{path}");
        for inline in [" style=", "<style", " onclick=", " onload=", "javascript:", "<script>"] {
            assert!(!html.contains(inline), "{path} has {inline}");
        }
        for script in html.split("<script").skip(1) {
            assert!(script.trim_start().starts_with("src=\"/assets/"), "{path}");
        }
        ids_are_unique(&path, html);
    }
}

fn ids_are_unique(path: &str, html: &str) {
    let mut ids: Vec<_> =
        html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "{path}: {ids:?}");
}

#[tokio::test]
async fn every_link_of_a_page_leads_to_a_page() {
    let portal = TestPortal::new().await;
    // The pages of sessions are tested where they are made.
    for (path, page) in all(&portal).await {
        for link in page.text.split(" href=\"").skip(1) {
            let link = link.split('"').next().expect("it ends").replace("&amp;", "&");
            if link.starts_with('#') || link.contains("/sessions") {
                continue;
            }
            let there = portal.get(&link).await;
            assert_eq!(there.status, StatusCode::OK, "{path} links to {link}");
        }
    }
}

#[tokio::test]
async fn the_first_page_is_small() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let page = portal.get("/tenants/acme").await;
    let mut bytes = page.text.len();
    let mut assets: Vec<_> =
        page.text.split("\"/assets/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assets.dedup();
    assert!(assets.len() >= 4, "{assets:?}");
    for asset in assets {
        let path = format!("/assets/{asset}");
        let small = Request::get(&path).header("accept-encoding", "br, gzip").body(Body::empty());
        let answer = portal.router.clone();
        let answer = tower::ServiceExt::oneshot(answer, small.expect("a request")).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.headers()["content-encoding"], "gzip", "{asset}");
        let kept = answer.headers()["cache-control"].to_str().expect("text");
        assert!(kept.contains("immutable"), "{asset}: {kept}");
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.expect("whole");
        bytes += body.to_bytes().len();
    }
    assert!(bytes < 60 << 10, "{bytes} bytes");
    let gone = portal.get("/assets/app.000000000000.css").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let forms = ["/tenants", "/tenants/acme/delete", "/tenants/acme/tokens", "/sign-in", "/theme"];
    for path in forms {
        let cross = request(&portal.operator, Method::POST, path)
            .header("sec-fetch-site", "cross-site")
            .header("origin", "https://evil.test")
            .header("host", "warren.test")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from("confirm=acme&name=evil&plan=starter&theme=dark&token=x"));
        let answer = portal.send(cross.expect("a request")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        answer.shows("The form was sent by another site. Nothing was changed.");
        assert!(answer.headers.get("set-cookie").is_none(), "{path}");
    }
    let tenants = portal.get("/").await;
    tenants.hides("evil");
    tenants.hides("Deleting");
}

#[tokio::test]
async fn the_choice_between_light_and_dark_is_in_the_page_from_its_first_byte() {
    let portal = TestPortal::new().await;
    portal.get("/").await.shows("<html lang=\"en\" data-theme=\"dark\">");
    let chosen = portal.post("/theme", "theme=light&next=%2Fplans").await;
    assert_eq!(chosen.header("location"), "/plans");
    assert!(chosen.header("set-cookie").starts_with("theme=light;"));
    let odd = portal.post("/theme", "theme=%22%3E%3Cb%3E&next=%2F%2Fevil.test").await;
    assert!(odd.header("set-cookie").starts_with("theme=system;"));
    assert_eq!(odd.header("location"), "/");
}
