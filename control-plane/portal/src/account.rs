//! `/account`: what is somebody's own.

use crate::{
    Portal,
    extract::{Form, LastPath},
    faults::Faults,
    frame::{Frame, html},
    links::Url,
    person::Person,
    refusal::Refusal,
    time::When,
};
use application::{
    account::{self, PasswordError, SignInError},
    organisation,
};
use askama::Template;
use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use domain::{SignIn, SignInId, Within};
use secrecy::SecretString;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    name: String,
    email: String,
    /// Where they have a role, and which.
    roles: Vec<(String, String)>,
    browsers: Vec<Browser>,
    faults: Faults,
    is_changed: bool,
}

struct Browser {
    device: String,
    since: When,
    used: When,
    ends: When,
    is_this: bool,
    end: String,
}

#[derive(Deserialize)]
struct NewPassword {
    old: SecretString,
    new: SecretString,
}

pub(crate) fn routes() -> Router<Portal> {
    Router::new()
        .route("/account", get(show))
        .route("/account/password", post(password))
        .route("/account/sign-ins/{sign_in}/end", post(end))
}

async fn show(person: Person) -> Result<Response, Refusal> {
    Ok(html(&page(&person, Faults::default(), false).await?))
}

async fn password(
    person: Person,
    Form(NewPassword { old, new }): Form<NewPassword>,
) -> Result<Response, Refusal> {
    let faults = match account::change_password(&person.app, &person.account, &old, &new).await {
        Ok(()) => return Ok(html(&page(&person, Faults::default(), true).await?)),
        Err(PasswordError::Invalid(invalid)) => Faults::from(invalid),
        Err(PasswordError::SignIn(SignInError::Wrong)) => {
            Faults::whole("The old password is not right.")
        }
        Err(PasswordError::SignIn(SignInError::TooOften { wait })) => {
            Faults::whole(format!("Too many attempts: again in {} s.", wait.as_secs() + 1))
        }
        Err(PasswordError::SignIn(SignInError::Hash(error))) => return Err(error.into()),
        Err(PasswordError::SignIn(error @ SignInError::Store(_))) => {
            return Err(Refusal::broken(&error));
        }
    };
    let page = html(&page(&person, faults, false).await?);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn end(person: Person, LastPath(id): LastPath<SignInId>) -> Result<Redirect, Refusal> {
    account::sign_out(&person.app, &person.account, id).await?;
    Ok(Redirect::to(&Url::Account.to_string()))
}

async fn page(person: &Person, faults: Faults, is_changed: bool) -> Result<AccountPage, Refusal> {
    let known = &person.account;
    let now = person.app.clock.now();
    let browser = |it: SignIn| Browser {
        since: When::new(it.created_at, now),
        used: When::new(it.last_used_at, now),
        ends: When::new(it.expires_at, now),
        is_this: it.id == known.sign_in,
        end: Url::EndSignIn(it.id).to_string(),
        device: if it.device.is_empty() { "An unnamed browser".to_owned() } else { it.device },
    };
    let browsers = account::sign_ins(&person.app, known).await?;
    let places = organisation::list(&person.app, &person.actor, None, 200).await?.items;
    let role = |grant: &domain::Grant| {
        let place = match grant.within {
            Within::Platform => "the platform".to_owned(),
            Within::Organisation(id) => {
                places.iter().find(|it| it.id == id).map(|it| it.name.to_string())?
            }
            Within::Tenant(id) => id.to_string(),
        };
        Some((place, grant.role.as_str().to_owned()))
    };
    Ok(AccountPage {
        frame: Frame::platform(person, "Your account"),
        name: known.account.name.clone(),
        email: known.account.email.to_string(),
        roles: person.actor.grants.iter().filter_map(role).collect(),
        browsers: browsers.into_iter().map(browser).collect(),
        faults,
        is_changed,
    })
}
