//! The pages of the audit log.

use crate::harness::TestPortal;
use axum::http::StatusCode;

#[tokio::test]
async fn what_an_operator_did_to_a_tenant_is_shown_to_its_owner_and_to_nobody_else() {
    let portal = TestPortal::new().await;
    let tenant = portal.tenant("acme", "starter", None).await;
    let other = portal.tenant("other", "starter", None).await;
    portal.post("/tenants/acme/tokens", "name=ci&role=viewer").await;
    let owner = portal.member(&tenant, "owner").await;
    let page = portal.get_as(&owner, "/tenants/acme/audit").await;
    assert_eq!(page.status, StatusCode::OK);
    for told in ["tenant.create", "token.create", &tenant.id.to_string(), "operator", "req_test"] {
        page.shows(told);
    }
    page.shows("not sealed yet");
    page.hides(&other.id.to_string());
    // The operator is a link to what else they did there.
    let link = page.text.split("/tenants/acme/audit?subject=").nth(1).expect("a link");
    let subject = link.split('"').next().expect("its end");
    let theirs = format!("/tenants/acme/audit?subject={subject}");
    portal.get_as(&owner, &theirs).await.shows("tenant.create");

    for role in ["developer", "viewer", "billing"] {
        let member = portal.member(&tenant, role).await;
        let page = portal.get_as(&member, "/tenants/acme/audit").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{role}");
        portal.get_as(&member, "/tenants/acme").await.hides("/tenants/acme/audit");
    }
    assert_eq!(portal.get_as(&owner, "/audit").await.status, StatusCode::NOT_FOUND);
    assert_eq!(portal.get_as(&owner, "/audit/export").await.status, StatusCode::NOT_FOUND);
    portal.get_as(&owner, "/organisations/acme/audit").await.shows("organisation.create");
    portal.get("/audit").await.shows(&other.id.to_string());
}

#[tokio::test]
async fn entries_are_filtered_by_what_and_stay_so_from_page_to_page() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    for number in 0..101 {
        portal.post("/tenants/acme/tokens", &format!("name=t{number}&role=viewer")).await;
    }
    let page = portal.get("/tenants/acme/audit?action=token").await;
    page.hides("tenant.create");
    page.shows("value=\"token\"");
    assert_eq!(page.text.matches("token.create").count(), 100);
    let older = page.text.split("class=\"button plain\" href=\"").find(|it| it.contains("after="));
    let older = older.and_then(|it| it.split('"').next()).expect("a link");
    let older = older.replace("&#38;", "&").replace("&amp;", "&");
    let rest = portal.get(&older).await;
    assert_eq!(rest.text.matches("token.create").count(), 1);
    let none = portal.get("/tenants/acme/audit?action=session").await;
    none.shows("Nothing of this kind was done.");
}

#[tokio::test]
async fn an_export_has_each_entry_with_its_seal() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    while portal.app.store.audit_seal().await.expect("sealed") {}
    let file = portal.get("/tenants/acme/audit/export").await;
    assert_eq!(file.header("content-type"), "application/x-ndjson");
    assert!(file.header("content-disposition").contains("audit-acme.jsonl"));
    let line = file.text.lines().next().expect("a line");
    assert!(line.starts_with("{\"entry\":{\"sequence\":"), "{line}");
    assert!(
        line.contains("\"action\":\"tenant.create\"") && line.contains("\"seal\":\""),
        "{line}"
    );
    let all = portal.get("/audit/export").await.text;
    assert!(all.lines().last().is_some_and(|line| line.starts_with("{\"head\":")), "{all}");
    assert!(all.lines().count() > file.text.lines().count() + 1);
}
