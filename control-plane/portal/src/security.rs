//! What is done to every answer of the portal: what browsers may do with it, and the page of a refusal.

use crate::{
    frame::{Frame, Look, html},
    person,
    refusal::Refusal,
};
use askama::Template;
use axum::{
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};

/// Nothing from elsewhere, and nothing inside a page: scripts and styles are files of ours.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    frame: Frame,
    refusal: Refusal,
    request_id: String,
}

/// Writes the page of a refusal, which only knows here whose request it answers, and sets the headers of all answers.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let look = Look::of(request.headers(), request.uri());
    let request_id = person::request_id(request.headers());
    let mut response = next.run(request).await;
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let status = refusal.status;
        let frame = Frame::public(refusal.title, look);
        response = html(&RefusalPage { frame, refusal, request_id });
        *response.status_mut() = status;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
