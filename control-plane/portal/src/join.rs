//! `/join`: following an invite.
//!
//! The secret comes in the link once. It goes into a cookie at once and out of the address, so that neither the history
//! of the browser nor another site that is linked to gets to see it.

use crate::{
    Portal,
    extract::{Form, Parameters},
    faults::Faults,
    frame::{Frame, Look, cookie, html},
    links::Url,
    person,
    refusal::Refusal,
    sign_in::{device, enter},
    words,
};
use application::{
    account::{self, SignedIn},
    organisation::{self, JoinError, NewPerson},
};
use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use domain::{Invite, Organisation};
use secrecy::SecretString;
use serde::Deserialize;

/// Holds the secret of an invite for as long as the form is filled in.
const COOKIE: &str = "__Host-warren-invite";

#[derive(Template)]
#[template(path = "join.html")]
struct JoinPage {
    frame: Frame,
    /// Whereto, and as what.
    place: String,
    role: &'static str,
    sentence: &'static str,
    /// Who is signed in here.
    known: Option<(String, String)>,
    email: String,
    name: String,
    faults: Faults,
}

#[derive(Debug, Default, Deserialize)]
struct Code {
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
struct NewAccount {
    email: String,
    name: String,
    password: SecretString,
}

pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/join", get(show).post(join)).route("/join/as-known", post(join_as_known))
}

// public: who follows an invite has no account yet.
async fn show(
    State(Portal { app, .. }): State<Portal>,
    headers: HeaderMap,
    uri: Uri,
    Parameters(Code { code }): Parameters<Code>,
) -> Result<Response, Refusal> {
    let is_plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !code.is_empty() {
        let code = if is_plain(&code) { code.as_str() } else { "none" };
        let cookie =
            format!("{COOKIE}={code}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=3600");
        return Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/join")).into_response());
    }
    let request_id = person::request_id(&headers);
    let known = person::of(&app, &headers, request_id).await?;
    let invitation = organisation::invitation(&app, &secret(&headers)).await?;
    let (invite, organisation) = invitation.ok_or_else(gone)?;
    let look = Look::of(&headers, &uri);
    let empty = (String::new(), String::new(), Faults::default());
    Ok(html(&page(look, &invite, organisation, known, empty)))
}

// public: who follows an invite has no account yet.
async fn join(
    State(Portal { app, .. }): State<Portal>,
    headers: HeaderMap,
    uri: Uri,
    Form(NewAccount { email, name, password }): Form<NewAccount>,
) -> Result<Response, Refusal> {
    let (secret, request_id) = (secret(&headers), person::request_id(&headers));
    let invitation = organisation::invitation(&app, &secret).await?;
    let new = NewPerson { email: email.clone(), name: name.clone(), password: password.clone() };
    let faults = match organisation::join(&app, &secret, new, &request_id).await {
        Ok(account) => {
            let email = account.email.as_str();
            let new = account::sign_in(&app, email, &password, device(&headers), &request_id).await;
            return match new {
                Ok(new) => Ok(enter(&new, "/")),
                // There is an account, whatever keeps it out now.
                Err(_) => Ok(Redirect::to(&Url::SignIn("/").to_string()).into_response()),
            };
        }
        Err(JoinError::Invalid(invalid)) => Faults::from(invalid),
        Err(JoinError::EmailTaken) => Faults::whole(
            "This address has an account. Sign in with it first, then open the invite again.",
        ),
        Err(error) => return Err(error.into()),
    };
    let (invite, organisation) = invitation.ok_or_else(gone)?;
    let look = Look::of(&headers, &uri);
    let page = page(look, &invite, organisation, None, (email, name, faults));
    Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)).into_response())
}

async fn join_as_known(person: person::Person, headers: HeaderMap) -> Result<Redirect, Refusal> {
    let request_id = person::request_id(&headers);
    let account = person.account.account.id;
    organisation::join_as(&person.app, &secret(&headers), account, &request_id).await?;
    Ok(Redirect::to("/"))
}

fn page(
    look: Look,
    invite: &Invite,
    organisation: Option<Organisation>,
    known: Option<SignedIn>,
    (email, name, faults): (String, String, Faults),
) -> JoinPage {
    let place = organisation.map_or_else(|| "the platform".to_owned(), |it| it.name.to_string());
    JoinPage {
        frame: Frame::public("Join", look),
        place,
        role: invite.role.as_str(),
        sentence: words::role(invite.role),
        known: known.map(|known| (known.account.name, known.account.email.to_string())),
        email,
        name,
        faults,
    }
}

fn secret(headers: &HeaderMap) -> SecretString {
    SecretString::from(cookie(headers, COOKIE).unwrap_or_default())
}

/// The invite opens nothing.
pub(crate) fn gone() -> Refusal {
    let detail = "This invite opens nothing: it was followed, taken back, or is older than a week.";
    let hint = "Ask whoever invited you for another one. If you have an account, sign in.";
    Refusal::new(StatusCode::GONE, "invite-gone", "Invite not valid", detail, hint)
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Gone => gone(),
            JoinError::Invalid(invalid) => Self::invalid(&invalid),
            JoinError::EmailTaken | JoinError::Already => {
                let detail = "You are in it already. The invite is still good for somebody else.";
                Self::new(StatusCode::CONFLICT, "already-member", "Already a member", detail, "")
            }
            JoinError::Hash(error) => error.into(),
            error @ JoinError::Store(_) => Self::broken(&error),
        }
    }
}
