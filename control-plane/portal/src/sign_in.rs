//! Signing in and out, and the choice between light and dark.

use crate::{
    Portal,
    extract::{Form, Parameters},
    frame::{Frame, Look, THEME_COOKIE, Theme, html},
    links::{Url, own},
    person::{self, COOKIE},
    refusal::Refusal,
};
use application::token;
use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    next: String,
    is_refused: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
struct NewTheme {
    theme: String,
    #[serde(default)]
    next: String,
}

pub(crate) fn routes() -> Router<Portal> {
    Router::new()
        .route("/sign-in", get(show).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/theme", post(theme))
}

// public: it is how one comes in.
async fn show(
    headers: HeaderMap,
    uri: Uri,
    Parameters(Next { next }): Parameters<Next>,
) -> Response {
    let frame = Frame::public("Sign in", Look::of(&headers, &uri));
    html(&SignInPage { frame, next, is_refused: false })
}

// public: it is how one comes in.
async fn sign_in(
    State(Portal { app, .. }): State<Portal>,
    headers: HeaderMap,
    uri: Uri,
    Form(SignIn { token, next }): Form<SignIn>,
) -> Result<Response, Refusal> {
    let secret = token.trim();
    let is_plain = secret.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    let actor = token::actor(&app, secret, person::request_id(&headers)).await?;
    if actor.is_none() || !is_plain {
        let frame = Frame::public("Sign in", Look::of(&headers, &uri));
        let page = html(&SignInPage { frame, next, is_refused: true });
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let cookie = format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Lax");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(own(&next))).into_response())
}

// public: whoever is not signed in stays so.
async fn sign_out() -> Response {
    let cookie = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    let home = Redirect::to(&Url::SignIn("/").to_string());
    ([(header::SET_COOKIE, cookie)], home).into_response()
}

// public: it changes only how this browser shows pages.
async fn theme(Form(NewTheme { theme, next }): Form<NewTheme>) -> Response {
    let theme = Theme::of(&theme).as_str();
    let cookie = format!("{THEME_COOKIE}={theme}; Path=/; SameSite=Lax; Max-Age=31536000");
    ([(header::SET_COOKIE, cookie)], Redirect::to(own(&next))).into_response()
}
