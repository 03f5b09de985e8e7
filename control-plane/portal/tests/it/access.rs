//! Who sees what.

use crate::harness::TestPortal;
use axum::http::StatusCode;

/// Every page that needs somebody, for a tenant that is called `acme`.
const PAGES: [&str; 10] = [
    "/",
    "/plans",
    "/tenants/new",
    "/tenants/new?name=more&plan=starter&step=review",
    "/tenants/acme",
    "/tenants/acme/events",
    "/tenants/acme/kubeconfig",
    "/tenants/acme/audit",
    "/tenants/acme/audit/export",
    "/audit",
];

const FORMS: [(&str, &str); 4] = [
    ("/tenants", "name=more&plan=starter"),
    ("/tenants/acme/tokens", "name=x&role=viewer"),
    ("/tenants/acme/tokens/tok_00000000000000000000000000000001/revoke", ""),
    ("/tenants/acme/delete", "confirm=acme"),
];

#[tokio::test]
async fn whoever_is_not_signed_in_is_asked_who_they_are_and_comes_back() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    for page in PAGES {
        let answer = portal.get_as("wrs_nobody", page).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{page}");
        assert!(answer.header("location").starts_with("/sign-in?next=%2F"), "{page}");
    }
    for (form, fields) in FORMS {
        let answer = portal.post_as("wrs_nobody", form, fields).await;
        assert_eq!(answer.header("location"), "/sign-in?next=%2F", "{form}");
    }
}

#[tokio::test]
async fn a_tenant_is_not_there_for_those_of_another() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let other = portal.tenant("other", "starter", None).await;
    let owner = portal.member(&other, "owner").await;
    for page in PAGES.iter().filter(|page| page.contains("acme")) {
        let answer = portal.get_as(&owner, page).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{page}");
        answer.shows("There is no such tenant, or you may not see it.");
        answer.shows("req_test");
    }
    for (form, fields) in FORMS.iter().filter(|(form, _)| form.contains("acme")) {
        let answer = portal.post_as(&owner, form, fields).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{form}");
    }
    let acme = portal.get("/tenants/acme").await;
    let operation = acme.text.split("/operations/").nth(1).expect("it is being made");
    let operation = operation.split('"').next().expect("an id");
    let answer = portal.get_as(&owner, &format!("/operations/{operation}")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    portal.get_as(&owner, "/").await.hides("acme");
    portal.get_as(&owner, "/").await.shows("/tenants/other");
}

#[tokio::test]
async fn what_a_role_may_not_do_is_not_offered() {
    let portal = TestPortal::new().await;
    let tenant = portal.tenant("acme", "starter", None).await;
    let offers = ["/tenants/acme/delete", "/tenants/acme/tokens", "/tenants/acme/kubeconfig"];
    for (role, offered) in
        [("owner", 3), ("admin", 2), ("developer", 1), ("viewer", 0), ("billing", 0)]
    {
        let token = portal.member(&tenant, role).await;
        let page = portal.get_as(&token, "/tenants/acme").await;
        assert_eq!(page.status, StatusCode::OK, "{role}");
        let shown = offers.iter().filter(|offer| page.text.contains(&format!("\"{offer}\"")));
        assert_eq!(shown.count(), offered, "{role}");
        let is_maker = ["owner", "admin"].contains(&role);
        let home = portal.get_as(&token, "/").await;
        assert_eq!(home.text.contains("/tenants/new"), is_maker, "{role}");
        let new = portal.get_as(&token, "/tenants/new").await;
        assert_eq!(new.status == StatusCode::OK, is_maker, "{role}");
        let delete = portal.post_as(&token, "/tenants/acme/delete", "confirm=typo").await;
        let is_owner = role == "owner";
        assert_eq!(delete.status == StatusCode::UNPROCESSABLE_ENTITY, is_owner, "{role}");
    }
}
