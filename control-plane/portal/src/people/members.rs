//! The people of an organisation, or those who run the platform: one page for both.

use crate::{
    extract::{Form, LastPath, OrganisationPath},
    faults::Faults,
    frame::{Frame, html},
    links::Url,
    part::Code,
    person::Person,
    refusal::Refusal,
    time::When,
    words,
};
use application::organisation::{self, InviteRequest, ManageError, MemberRequest, OrganisationRef};
use askama::Template;
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{AccountId, Invite, InviteId, Member, Role};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "people/members.html")]
struct MembersPage {
    frame: Frame,
    /// Nothing for the platform.
    max_tenants: Option<u32>,
    is_platform: bool,
    roles: Vec<(&'static str, &'static str)>,
    members: Vec<MemberRow>,
    invites: Vec<InviteRow>,
    /// Where invites are made.
    invite_url: String,
    /// Who did what here.
    audit_url: String,
    note: String,
    faults: Faults,
    /// The link of an invite that was just made: the only time that it is seen.
    link: Option<Code>,
}

struct MemberRow {
    name: String,
    email: String,
    role: &'static str,
    since: When,
    url: String,
    is_self: bool,
}

struct InviteRow {
    note: String,
    role: &'static str,
    made: When,
    expires: When,
    revoke: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct InviteForm {
    role: String,
    #[serde(default)]
    note: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChangeForm {
    /// Empty: they leave.
    role: String,
}

pub(super) async fn show(
    person: Person,
    OrganisationPath(place): OrganisationPath,
) -> Result<Response, Refusal> {
    Ok(html(&page(&person, place.as_ref()).await?))
}

pub(super) async fn invite(
    person: Person,
    OrganisationPath(place): OrganisationPath,
    headers: HeaderMap,
    Form(InviteForm { role, note }): Form<InviteForm>,
) -> Result<Response, Refusal> {
    let request = InviteRequest { role, note: note.clone() };
    let made =
        organisation::invite(&person.app, &person.actor, place.as_ref(), request.into()).await;
    let mut status = StatusCode::OK;
    let (faults, link) = match made {
        Ok(made) => (Faults::default(), Some(link(&headers, &made.secret))),
        Err(ManageError::Invalid(invalid)) => {
            status = StatusCode::UNPROCESSABLE_ENTITY;
            (Faults::from(invalid), None)
        }
        Err(error) => return Err(error.into()),
    };
    let page = MembersPage { note, faults, link, ..page(&person, place.as_ref()).await? };
    Ok((status, html(&page)).into_response())
}

pub(super) async fn revoke(
    person: Person,
    OrganisationPath(place): OrganisationPath,
    LastPath(id): LastPath<InviteId>,
) -> Result<Redirect, Refusal> {
    organisation::revoke_invite(&person.app, &person.actor, place.as_ref(), id).await?;
    Ok(Redirect::to(&address(place.as_ref())))
}

pub(super) async fn change(
    person: Person,
    OrganisationPath(place): OrganisationPath,
    LastPath(account): LastPath<AccountId>,
    Form(ChangeForm { role }): Form<ChangeForm>,
) -> Result<Redirect, Refusal> {
    let (app, actor, organisation) = (&person.app, &person.actor, place.as_ref());
    if role.is_empty() {
        organisation::remove_member(app, actor, organisation, account).await?;
    } else {
        let wanted = MemberRequest { role }.into();
        organisation::change_member(app, actor, organisation, account, wanted).await?;
    }
    Ok(Redirect::to(&address(place.as_ref())))
}

fn address(place: Option<&OrganisationRef>) -> String {
    place.map_or(Url::Operators, Url::Organisation).to_string()
}

/// What the invited open. The address is the one that the form was sent from, as the browser says it.
fn link(headers: &HeaderMap, secret: &SecretString) -> Code {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let own = text(header::ORIGIN).filter(|origin| origin.starts_with("http")).map(str::to_owned);
    let host = || format!("https://{}", text(header::HOST).unwrap_or_default());
    let base = own.unwrap_or_else(host);
    Code::new("The invite's link", format!("{base}/join?code={}", secret.expose_secret()))
}

async fn page(person: &Person, place: Option<&OrganisationRef>) -> Result<MembersPage, Refusal> {
    let (app, actor) = (&person.app, &person.actor);
    let (frame, max_tenants) = match place {
        Some(place) => {
            let found = organisation::get(app, actor, place).await?;
            let frame = Frame::platform(person, found.name.as_str());
            (frame.below("Organisations", &Url::Organisations), Some(found.max_tenants))
        }
        None => (Frame::platform(person, "Operators"), None),
    };
    let found = organisation::members(app, actor, place).await?;
    let base = address(place);
    let now = app.clock.now();
    let member = |it: Member| MemberRow {
        url: format!("{base}/members/{}", it.account.id),
        is_self: it.account.id == person.account.account.id,
        name: it.account.name,
        email: it.account.email.to_string(),
        role: it.role.as_str(),
        since: When::new(it.since, now),
    };
    let invite = |it: Invite| InviteRow {
        revoke: format!("{base}/invites/{}/revoke", it.id),
        note: it.note,
        role: it.role.as_str(),
        made: When::new(it.created_at, now),
        expires: When::new(it.expires_at, now),
    };
    let is_there = |role: &Role| place.is_none() == (*role == Role::Operator);
    let roles = Role::ALL.into_iter().filter(is_there);
    Ok(MembersPage {
        frame,
        max_tenants,
        is_platform: place.is_none(),
        roles: roles.map(|role| (role.as_str(), words::role(role))).collect(),
        members: found.members.into_iter().map(member).collect(),
        invites: found.invites.into_iter().map(invite).collect(),
        invite_url: format!("{base}/invites"),
        audit_url: place.map_or(Url::Audit, Url::OrganisationAudit).to_string(),
        note: String::new(),
        faults: Faults::default(),
        link: None,
    })
}
