//! Coming in, and who else is there.

use crate::harness::{Answer, TestPortal};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use domain::Clock as _;
use jiff::ToSpan as _;

const PASSWORD: &str = "correct+horse+battery+staple";

/// The value of a cookie that an answer sets.
fn cookie(answer: &Answer, name: &str) -> String {
    let mut set = answer.headers.get_all(header::SET_COOKIE).iter();
    let text = set.find_map(|set| set.to_str().ok()?.strip_prefix(&format!("{name}=")));
    let (value, attributes) = text.and_then(|text| text.split_once(';')).expect("it is set");
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(attributes.contains(attribute), "{attributes}");
    }
    value.to_owned()
}

/// A request of a browser that follows an invite.
async fn invited(portal: &TestPortal, code: &str, form: Option<&str>) -> Answer {
    let method = if form.is_some() { Method::POST } else { Method::GET };
    let request = Request::builder()
        .method(method)
        .uri("/join")
        .header(header::COOKIE, format!("__Host-warren-invite={code}"))
        .header("sec-fetch-site", "same-origin")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form.unwrap_or_default().to_owned()));
    portal.send(request.expect("a request")).await
}

/// Invites somebody to acme, and opens the link: its secret.
async fn invite(portal: &TestPortal, who: &str, role: &str) -> String {
    let made =
        portal.post_as(who, "/organisations/acme/invites", &format!("role={role}&note=Anna")).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    let link = made.text.split("/join?code=").nth(1).expect("the link is shown");
    let code = link.split('<').next().expect("its end");
    let opened = portal.get_as("", &format!("/join?code={code}")).await;
    assert_eq!(opened.header("location"), "/join", "the secret leaves the address at once");
    assert_eq!(cookie(&opened, "__Host-warren-invite"), code);
    code.to_owned()
}

async fn sign_in(portal: &TestPortal, email: &str, password: &str, next: &str) -> Answer {
    let form = format!("email={email}&password={password}&next={next}");
    portal.post_as("", "/sign-in", &form).await
}

#[tokio::test]
async fn an_invite_becomes_an_account_that_signs_in_and_out() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let code = invite(&portal, &portal.operator, "owner").await;
    let page = invited(&portal, &code, None).await;
    page.shows("Join acme");
    page.shows("<strong>owner</strong>");
    page.hides(&code);

    let short = invited(&portal, &code, Some("email=anna&name=Anna&password=short")).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    for told in ["an address of mail", "12 to 256 characters", "value=\"anna\"", "href=\"#email\""]
    {
        short.shows(told);
    }
    short.hides("\"short\"");
    let form = format!("email=Anna%40example.com&name=Anna&password={PASSWORD}");
    let joined = invited(&portal, &code, Some(&form)).await;
    assert_eq!(joined.header("location"), "/");
    let anna = cookie(&joined, "__Host-warren");
    portal.get_as(&anna, "/").await.shows("/tenants/acme");
    portal.get_as(&anna, "/account").await.shows("owner of acme");
    assert_eq!(invited(&portal, &code, None).await.status, StatusCode::GONE, "once");

    let out = portal.post_as(&anna, "/sign-out", "").await;
    assert_eq!(out.header("location"), "/sign-in?next=%2F");
    assert_eq!(portal.get_as(&anna, "/").await.status, StatusCode::SEE_OTHER, "not only here");
    let there = sign_in(&portal, "anna%40EXAMPLE.com", PASSWORD, "%2Fplans").await;
    assert_eq!(there.header("location"), "/plans");
    assert_ne!(cookie(&there, "__Host-warren"), anna, "each time another secret");
    let away = sign_in(&portal, "anna%40example.com", PASSWORD, "https%3A%2F%2Fevil.test").await;
    assert_eq!(away.header("location"), "/");
}

#[tokio::test]
async fn who_guesses_is_told_nothing_and_slowed_down() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let code = invite(&portal, &portal.operator, "owner").await;
    let form = format!("email=anna%40example.com&name=Anna&password={PASSWORD}");
    invited(&portal, &code, Some(&form)).await;
    let mut told = Vec::new();
    for email in ["anna%40example.com", "nobody%40example.com"] {
        for _ in 0..5 {
            let wrong = sign_in(&portal, email, "wrong", "").await;
            assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(wrong.headers.get(header::SET_COOKIE).is_none());
        }
        let slowed = sign_in(&portal, email, PASSWORD, "").await;
        assert_eq!(slowed.status, StatusCode::TOO_MANY_REQUESTS, "even with the right one");
        told.push(slowed.text.replace(&email.replace("%40", "@"), "EMAIL"));
    }
    assert_eq!(told[0], told[1], "whether there is an account stays unknown");
    portal.clock.set(portal.clock.now().checked_add(2.seconds()).expect("later"));
    let right = sign_in(&portal, "anna%40example.com", PASSWORD, "").await;
    assert_eq!(right.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn members_are_seen_and_changed_by_whom_the_table_says() {
    let portal = TestPortal::new().await;
    let acme = portal.tenant("acme", "starter", None).await;
    let other = portal.tenant("other", "starter", None).await;
    let (owner, admin) = (portal.member(&acme, "owner").await, portal.member(&acme, "admin").await);
    let viewer = portal.member(&acme, "viewer").await;
    let stranger = portal.member(&other, "owner").await;
    for (who, status) in [
        (&owner, StatusCode::OK),
        (&admin, StatusCode::OK),
        (&viewer, StatusCode::FORBIDDEN),
        (&stranger, StatusCode::NOT_FOUND),
    ] {
        assert_eq!(portal.get_as(who, "/organisations/acme").await.status, status);
        let operators = portal.get_as(who, "/operators").await.status;
        assert_eq!(operators, StatusCode::NOT_FOUND);
        portal.get_as(who, "/organisations").await.hides("New organisation");
        let made = portal.post_as(who, "/organisations", "name=mine&max_tenants=5").await;
        assert_ne!(made.status, StatusCode::SEE_OTHER);
    }
    portal.get_as(&stranger, "/organisations").await.hides("acme");
    let mightier = portal.post_as(&admin, "/organisations/acme/invites", "role=owner").await;
    assert_eq!(mightier.status, StatusCode::UNPROCESSABLE_ENTITY);
    mightier.shows("at most your own role, admin");
    let foreign = portal.post_as(&stranger, "/organisations/acme/invites", "role=viewer").await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);

    let page = portal.get_as(&owner, "/organisations/acme").await;
    let own = page.text.split("(you)").nth(1).and_then(|rest| rest.split("action=\"").nth(1));
    let own = own.and_then(|rest| rest.split('"').next()).expect("the owner's form").to_owned();
    let last = portal.post_as(&owner, &own, "role=").await;
    assert_eq!(last.status, StatusCode::CONFLICT);
    last.shows("last-owner");
    let admins = portal.post_as(&admin, &own, "role=viewer").await;
    assert_eq!(admins.status, StatusCode::FORBIDDEN, "an owner is mightier");
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_the_old_one_and_ends_what_is_elsewhere() {
    let portal = TestPortal::new().await;
    portal.tenant("acme", "starter", None).await;
    let code = invite(&portal, &portal.operator, "owner").await;
    let form = format!("email=anna%40example.com&name=%3Cb%3EAnna&password={PASSWORD}");
    let here = cookie(&invited(&portal, &code, Some(&form)).await, "__Host-warren");
    let there = sign_in(&portal, "anna%40example.com", PASSWORD, "").await;
    let there = cookie(&there, "__Host-warren");
    portal.get_as(&here, "/account").await.shows("Sign out there");
    let wrong = portal.post_as(&here, "/account/password", "old=x&new=another+long+one").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let form = format!("old={PASSWORD}&new=another+long+one");
    portal.post_as(&here, "/account/password", &form).await.shows("It is changed.");
    assert_eq!(portal.get_as(&there, "/").await.status, StatusCode::SEE_OTHER);
    let page = portal.get_as(&here, "/account").await;
    page.hides("Sign out there");
    page.hides("<b>Anna");
}
