//! Who is turned away: every route has its line here.

use crate::harness::{Answer, TestApp, TestTenant, digest, request};
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use domain::{Permission, Role, allows};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What somebody gets who belongs to another tenant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stranger {
    /// The same as for what does not exist.
    Hidden,
    /// "Not allowed": that there is such a thing is no secret.
    Forbidden,
    /// Only the own things, or what is the same for everybody.
    OwnOrCommon,
    /// The route needs no token.
    Public,
}

/// Every route: method, path, what a stranger gets, and which row of the policy table decides for those who belong to
/// the tenant.
const ROUTES: [(&str, &str, Stranger, Option<Permission>); 70] = {
    use Permission as P;
    use Stranger::{Forbidden, Hidden, OwnOrCommon, Public};
    [
        ("POST", "/api/v1/tenants", Forbidden, None),
        ("GET", "/api/v1/tenants", OwnOrCommon, None),
        ("GET", "/api/v1/tenants/{tenant}", Hidden, Some(P::TenantRead)),
        ("DELETE", "/api/v1/tenants/{tenant}", Hidden, Some(P::TenantDelete)),
        ("GET", "/api/v1/tenants/{tenant}/kubeconfig", Hidden, Some(P::KubeconfigRead)),
        ("GET", "/api/v1/tenants/{tenant}/explanation", Hidden, Some(P::TenantExplain)),
        ("GET", "/api/v1/tenants/{tenant}/operations", Hidden, Some(P::OperationRead)),
        ("GET", "/api/v1/tenants/{tenant}/nodes", Hidden, Some(P::TenantRead)),
        ("GET", "/api/v1/tenants/{tenant}/exclusivity", Hidden, Some(P::TenantRead)),
        ("POST", "/api/v1/tenants/{tenant}/tokens", Hidden, Some(P::TokenCreate)),
        ("GET", "/api/v1/tenants/{tenant}/tokens", Hidden, Some(P::TokenRead)),
        ("DELETE", "/api/v1/tenants/{tenant}/tokens/{token}", Hidden, Some(P::TokenRevoke)),
        ("POST", "/api/v1/tokens", Hidden, None),
        ("GET", "/api/v1/tokens", Hidden, None),
        ("DELETE", "/api/v1/tokens/{token}", Hidden, None),
        ("PUT", "/api/v1/tenants/{tenant}/blobs/{digest}", Hidden, Some(P::BlobUpload)),
        ("HEAD", "/api/v1/tenants/{tenant}/blobs/{digest}", Hidden, Some(P::BlobUpload)),
        ("HEAD", "/api/v1/tenants/{tenant}/uploads/{digest}", Hidden, Some(P::BlobUpload)),
        ("PATCH", "/api/v1/tenants/{tenant}/uploads/{digest}", Hidden, Some(P::BlobUpload)),
        ("POST", "/api/v1/tenants/{tenant}/sessions", Hidden, Some(P::SessionCreate)),
        ("GET", "/api/v1/tenants/{tenant}/sessions", Hidden, Some(P::SessionRead)),
        ("GET", "/api/v1/tenants/{tenant}/sessions/{session}", Hidden, Some(P::SessionRead)),
        ("POST", "/api/v1/tenants/{tenant}/sessions/{session}/stop", Hidden, Some(P::SessionStop)),
        (
            "POST",
            "/api/v1/tenants/{tenant}/sessions/{session}/rerun",
            Hidden,
            Some(P::SessionCreate),
        ),
        ("GET", "/api/v1/tenants/{tenant}/sessions/{session}/logs", Hidden, Some(P::SessionRead)),
        ("GET", "/api/v1/tenants/{tenant}/sessions/{session}/result", Hidden, Some(P::SessionRead)),
        ("GET", "/api/v1/tenants/{tenant}/sessions/{session}/runs", Hidden, Some(P::SessionRead)),
        (
            "GET",
            "/api/v1/tenants/{tenant}/sessions/{session}/artifacts",
            Hidden,
            Some(P::SessionRead),
        ),
        (
            "GET",
            "/api/v1/tenants/{tenant}/sessions/{session}/artifacts/{path}",
            Hidden,
            Some(P::SessionRead),
        ),
        ("POST", "/api/v1/tenants/{tenant}/nodes/{node}/replace", Hidden, Some(P::NodeReplace)),
        ("GET", "/api/v1/orphans", Hidden, None),
        ("GET", "/api/v1/orphans/looks", Hidden, None),
        ("POST", "/api/v1/orphans/{orphan}/remove", Hidden, None),
        ("POST", "/api/v1/tenants/{tenant}/nodes/{node}/stop", Hidden, Some(P::NodePower)),
        ("POST", "/api/v1/tenants/{tenant}/nodes/{node}/start", Hidden, Some(P::NodePower)),
        ("POST", "/api/v1/tenants/{tenant}/nodes/{node}/reboot", Hidden, Some(P::NodePower)),
        ("POST", "/api/v1/tenants/{tenant}/plan-changes", Hidden, Some(P::PlanChange)),
        ("GET", "/api/v1/tenants/{tenant}/plan-changes", Hidden, Some(P::TenantRead)),
        ("GET", "/api/v1/tenants/{tenant}/plan-changes/{operation}", Hidden, Some(P::TenantRead)),
        (
            "POST",
            "/api/v1/tenants/{tenant}/plan-changes/{operation}/cancel",
            Hidden,
            Some(P::PlanChange),
        ),
        (
            "POST",
            "/api/v1/tenants/{tenant}/plan-changes/{operation}/pause",
            Hidden,
            Some(P::PlanChange),
        ),
        (
            "POST",
            "/api/v1/tenants/{tenant}/plan-changes/{operation}/resume",
            Hidden,
            Some(P::PlanChange),
        ),
        ("POST", "/api/v1/plan-change-batches", Hidden, None),
        ("GET", "/api/v1/plan-change-batches", Hidden, None),
        ("GET", "/api/v1/plan-change-batches/{batch}", Hidden, None),
        ("POST", "/api/v1/plan-change-batches/{batch}/pause", Hidden, None),
        ("POST", "/api/v1/plan-change-batches/{batch}/resume", Hidden, None),
        ("POST", "/api/v1/plan-change-batches/{batch}/cancel", Hidden, None),
        ("POST", "/api/v1/plan-change-batches/{batch}/retry", Hidden, None),
        ("GET", "/api/v1/operations/{operation}", Hidden, Some(P::OperationRead)),
        ("GET", "/api/v1/tenants/{tenant}/audit", Hidden, Some(P::AuditRead)),
        ("GET", "/api/v1/tenants/{tenant}/audit/export", Hidden, Some(P::AuditRead)),
        ("POST", "/api/v1/organisations", Hidden, None),
        ("GET", "/api/v1/organisations", OwnOrCommon, None),
        ("GET", "/api/v1/organisations/{organisation}", Hidden, None),
        ("GET", "/api/v1/organisations/{organisation}/audit", Hidden, None),
        ("GET", "/api/v1/organisations/{organisation}/members", Hidden, None),
        ("PATCH", "/api/v1/organisations/{organisation}/members/{account}", Hidden, None),
        ("DELETE", "/api/v1/organisations/{organisation}/members/{account}", Hidden, None),
        ("GET", "/api/v1/organisations/{organisation}/invites", Hidden, None),
        ("POST", "/api/v1/organisations/{organisation}/invites", Hidden, None),
        ("DELETE", "/api/v1/organisations/{organisation}/invites/{invite}", Hidden, None),
        ("GET", "/api/v1/audit", Hidden, None),
        ("GET", "/api/v1/audit/export", Hidden, None),
        ("GET", "/api/v1/plans", OwnOrCommon, None),
        ("GET", "/api/v1/doctor", Hidden, None),
        ("GET", "/api/v1/doctor/proxmox", Hidden, None),
        ("GET", "/livez", Public, None),
        ("GET", "/readyz", Public, None),
        ("GET", "/version", Public, None),
    ]
};

/// What the parts of a path stand for.
struct Parts {
    tenant: String,
    session: String,
    operation: String,
    token: String,
}

impl Parts {
    async fn of(server: &TestApp, tenant: &TestTenant) -> Self {
        let session = server.session(tenant).await.to_string();
        let operation = server.get(&tenant.path).await.json()["operation"].clone();
        let operation = operation.as_str().expect("an operation").to_owned();
        let tokens = server.get(&format!("{}/tokens", tenant.path)).await.json();
        let token = tokens["items"][0]["id"].as_str().expect("the owner's").to_owned();
        Self { tenant: tenant.id.to_string(), session, operation, token }
    }

    /// Well-formed, and never given to anything.
    fn absent() -> Self {
        let digits = "0".repeat(32);
        Self {
            tenant: format!("tn_{digits}"),
            session: format!("ses_{digits}"),
            operation: format!("op_{digits}"),
            token: format!("tok_{digits}"),
        }
    }

    fn fill(&self, path: &str) -> String {
        path.replace("{tenant}", &self.tenant)
            .replace("{session}", &self.session)
            .replace("{node}", &format!("node_{}", "0".repeat(32)))
            .replace("{orphan}", &format!("orph_{}", "0".repeat(32)))
            .replace("{batch}", &format!("batch_{}", "0".repeat(32)))
            .replace("{organisation}", &format!("org_{}", "0".repeat(32)))
            .replace("{account}", &format!("acc_{}", "0".repeat(32)))
            .replace("{invite}", &format!("inv_{}", "0".repeat(32)))
            .replace("{operation}", &self.operation)
            .replace("{token}", &self.token)
            .replace("{digest}", &digest(b"").to_string())
            .replace("{path}", "a/b")
    }
}

fn body(path: &str) -> Option<Value> {
    if path.ends_with("/tenants") {
        Some(json!({ "name": "mine", "plan": "starter" }))
    } else if path.ends_with("/tokens") {
        Some(json!({ "name": "mine", "role": "viewer" }))
    } else if path.ends_with("/plan-change-batches") {
        Some(json!({ "tenants": ["theirs"], "plan": "pro" }))
    } else if path.ends_with("/plan-changes") {
        Some(json!({ "plan": "pro" }))
    } else if path.ends_with("/organisations") {
        Some(json!({ "name": "mine" }))
    } else if path.ends_with("/invites") || path.contains("/members/") {
        Some(json!({ "role": "viewer" }))
    } else if path.ends_with("/sessions") {
        Some(json!({ "image": "agent:1", "command": ["/agent"] }))
    } else {
        None
    }
}

async fn call(server: &TestApp, token: &str, method: &str, path: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let body = body(path).filter(|_| [Method::POST, Method::PATCH].contains(&method));
    server.send(token, method, path, body).await
}

#[tokio::test]
async fn a_route_without_a_line_here_fails() {
    let server = TestApp::new().await;
    let document = server.get("/openapi.json").await.json();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "head", "post", "put", "patch", "delete"] {
            if item.get(method).is_some() {
                documented.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let mut listed: BTreeSet<_> =
        ROUTES.iter().map(|(method, path, ..)| format!("{method} {path}")).collect();
    listed.insert("GET /openapi.json".to_owned());
    assert_eq!(documented, listed);
}

#[tokio::test]
async fn whoever_shows_no_valid_token_is_told_so_and_nothing_else() {
    let server = TestApp::new().await;
    let tenant = server.tenant("theirs").await;
    let parts = Parts::of(&server, &tenant).await;
    for (method, template, stranger, _) in ROUTES {
        let path = parts.fill(template);
        let verb = Method::from_bytes(method.as_bytes()).expect("a method");
        let bare = axum::http::Request::builder().method(verb.clone()).uri(&path);
        let bare = server.call(bare.body(Body::empty())).await;
        if stranger == Stranger::Public {
            assert_eq!(bare.status, StatusCode::OK, "{method} {template}");
            continue;
        }
        assert_eq!(bare.status, StatusCode::UNAUTHORIZED, "{method} {template}");
        assert_eq!(bare.header("www-authenticate"), "Bearer realm=\"warren\"");
        let wrong = call(&server, "wrn_wrong", method, &path).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{method} {template}");
        let basic = request("", verb, &path).header("authorization", "Basic b3BlcmF0b3I6");
        let basic = server.call(basic.body(Body::empty())).await;
        assert_eq!(basic.status, StatusCode::UNAUTHORIZED, "{method} {template}");
    }
}

#[tokio::test]
async fn another_tenants_things_are_as_if_they_did_not_exist() {
    let server = TestApp::new().await;
    let ours = server.tenant("ours").await;
    let theirs = server.tenant("theirs").await;
    let parts = Parts::of(&server, &theirs).await;
    for (method, template, stranger, _) in ROUTES {
        let answer = call(&server, &ours.owner, method, &parts.fill(template)).await;
        match stranger {
            Stranger::Hidden => {
                let absent = Parts::absent().fill(template);
                let absent = call(&server, &ours.owner, method, &absent).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {template}");
                assert_eq!(answer.text(), absent.text(), "{method} {template}");
                assert_eq!(answer.headers, absent.headers, "{method} {template}");
            }
            Stranger::Forbidden => {
                assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{method} {template}");
            }
            Stranger::OwnOrCommon => {
                assert_eq!(answer.status, StatusCode::OK, "{method} {template}");
                assert!(!answer.text().contains("theirs"), "{method} {template}");
            }
            Stranger::Public => {}
        }
    }
}

#[tokio::test]
async fn another_tenants_name_and_session_are_as_if_they_did_not_exist_too() {
    let server = TestApp::new().await;
    let ours = server.tenant("ours").await;
    let theirs = server.tenant("theirs").await;
    let session = server.session(&theirs).await;
    let get = async |path: &str| call(&server, &ours.owner, "GET", path).await;
    let named = get("/api/v1/tenants/theirs").await;
    assert_eq!(named.problem(), (404, "not-found".to_owned()));
    assert_eq!(named.text(), get("/api/v1/tenants/nobodys").await.text());
    let borrowed = get(&format!("{}/sessions/{session}", ours.path)).await;
    assert_eq!(borrowed.problem(), (404, "not-found".to_owned()));
    let absent = Parts::absent().session;
    assert_eq!(borrowed.text(), get(&format!("{}/sessions/{absent}", ours.path)).await.text());
}

#[tokio::test]
async fn a_right_that_is_missing_in_the_own_tenant_is_named_before_the_body_is_judged() {
    let server = TestApp::new().await;
    let ours = server.tenant("ours").await;
    let viewer = server.token(&ours.path, "viewer").await;
    let path = format!("{}/sessions", ours.path);
    let answer = server.send(&viewer, Method::POST, &path, Some(json!({ "nonsense": 1 }))).await;
    assert_eq!(answer.problem(), (403, "forbidden".to_owned()));
    let list = server.send(&viewer, Method::GET, &path, None).await;
    assert_eq!(list.status, StatusCode::OK);
}

#[tokio::test]
async fn in_the_own_tenant_each_role_gets_what_the_policy_table_says() {
    let server = TestApp::new().await;
    let ours = server.tenant("ours").await;
    let session = server.session(&ours).await.to_string();
    let operation = server.get(&ours.path).await.json()["operation"].clone();
    let operation = operation.as_str().expect("an operation").to_owned();
    // The mightiest last: an owner deletes the tenant.
    for role in Role::ALL.into_iter().rev().filter(|role| *role != Role::Operator) {
        let token = server.token(&ours.path, role.as_str()).await;
        let parts = Parts {
            tenant: ours.id.to_string(),
            session: session.clone(),
            operation: operation.clone(),
            ..Parts::absent()
        };
        let (end, rest): (Vec<_>, Vec<_>) = ROUTES
            .into_iter()
            .partition(|(method, path, ..)| *method == "DELETE" && path.ends_with("{tenant}"));
        for (method, template, stranger, permission) in rest.into_iter().chain(end) {
            let status = call(&server, &token, method, &parts.fill(template)).await.status;
            let cell = format!("{role:?} {method} {template}: {status}");
            match (permission, stranger) {
                (Some(permission), _) if allows(role, permission) => {
                    assert_ne!(status, StatusCode::FORBIDDEN, "{cell}");
                    assert_ne!(status, StatusCode::UNAUTHORIZED, "{cell}");
                }
                (Some(_), _) | (None, Stranger::Forbidden) => {
                    assert_eq!(status, StatusCode::FORBIDDEN, "{cell}");
                }
                (None, Stranger::Hidden) => assert_eq!(status, StatusCode::NOT_FOUND, "{cell}"),
                (None, Stranger::OwnOrCommon | Stranger::Public) => {
                    assert_eq!(status, StatusCode::OK, "{cell}");
                }
            }
        }
    }
}
