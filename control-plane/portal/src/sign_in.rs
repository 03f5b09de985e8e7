//! Signing in and out, and the choice between light and dark.

use crate::{
    Portal,
    extract::{Form, Parameters},
    faults::Faults,
    frame::{Frame, Look, THEME_COOKIE, Theme, html},
    links::{Url, own},
    person::{self, COOKIE},
    refusal::Refusal,
};
use application::account::{self, NewSignIn, SignInError};
use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    next: String,
    email: String,
    faults: Faults,
}

#[derive(Debug, Default, Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct SignIn {
    email: String,
    password: SecretString,
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
    html(&SignInPage { frame, next, email: String::new(), faults: Faults::default() })
}

// public: it is how one comes in.
async fn sign_in(
    State(Portal { app, .. }): State<Portal>,
    headers: HeaderMap,
    uri: Uri,
    Form(SignIn { email, password, next }): Form<SignIn>,
) -> Result<Response, Refusal> {
    let request_id = person::request_id(&headers);
    let signed_in = account::sign_in(&app, &email, &password, device(&headers), &request_id).await;
    let (status, rule) = match signed_in {
        Ok(new) => return Ok(enter(&new, own(&next))),
        Err(SignInError::Wrong) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "The address or the password is wrong. Capitals count in the password.".to_owned(),
        ),
        Err(SignInError::TooOften { wait }) => {
            let seconds = wait.as_secs() + 1;
            (StatusCode::TOO_MANY_REQUESTS, format!("Too many attempts: again in {seconds} s."))
        }
        Err(SignInError::Hash(error)) => return Err(error.into()),
        Err(error @ SignInError::Store(_)) => return Err(Refusal::broken(&error)),
    };
    let frame = Frame::public("Sign in", Look::of(&headers, &uri));
    let page = html(&SignInPage { frame, next, email, faults: Faults::whole(rule) });
    Ok((status, page).into_response())
}

// public: whoever is not signed in stays so.
async fn sign_out(
    State(Portal { app, .. }): State<Portal>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if let Some(person) = person::of(&app, &headers, person::request_id(&headers)).await? {
        account::sign_out(&app, &person, person.sign_in).await?;
    }
    let cookie = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    let home = Redirect::to(&Url::SignIn("/").to_string());
    Ok(([(header::SET_COOKIE, cookie)], home).into_response())
}

// public: it changes only how this browser shows pages.
async fn theme(Form(NewTheme { theme, next }): Form<NewTheme>) -> Response {
    let theme = Theme::of(&theme).as_str();
    let cookie = format!("{THEME_COOKIE}={theme}; Path=/; SameSite=Lax; Max-Age=31536000");
    ([(header::SET_COOKIE, cookie)], Redirect::to(own(&next))).into_response()
}

/// What a browser calls itself.
pub(crate) fn device(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Goes on as somebody who has just signed in. The secret is always a new one: nobody can have put it there before.
pub(crate) fn enter(new: &NewSignIn, next: &str) -> Response {
    let secret = new.secret.expose_secret();
    let age = new.sign_in.expires_at.duration_since(new.sign_in.created_at).as_secs();
    let cookie =
        format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}");
    ([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response()
}
