//! Organisations: the people in them, what they may, and how somebody comes in.

use crate::{
    App, Draft, Page,
    draft::add,
    error::{FindError, Noun, permit},
    password::{self, HashError, Turn},
    token,
};
use domain::{
    Account, AccountId, Action, Actor, Authorized, Email, Invalid, Invite, InviteId, ManageMembers,
    ManageOrganisations, Member, Organisation, OrganisationId, OrganisationName, ReadMembers,
    ReadOrganisation, Role, Scope, Within, person_name,
};
use jiff::SignedDuration;
use secrecy::SecretString;
use std::{fmt, str::FromStr};
pub use store::NewInvite;
use store::{JoinError as Refused, Joining, MemberError, OrganisationCreateError, StoreError};

/// How long an invite opens something.
pub const INVITE_VALID: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How many tenants an organisation may have if nobody says more.
pub const TENANTS: u32 = 5;
/// The most that can be said.
const MOST_TENANTS: u32 = 1_000;

/// How people point at an organisation: by its identifier or its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrganisationRef {
    /// By what never changes.
    Id(OrganisationId),
    /// By what people call it.
    Name(OrganisationName),
}

/// What a caller sends to make an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrganisation {
    /// Its name.
    pub name: String,
    /// How many tenants it may have; [`TENANTS`] if absent.
    pub max_tenants: Option<u32>,
}

/// What a caller sends to invite somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRequest {
    /// What they will be.
    pub role: String,
    /// For whom, in the caller's words.
    pub note: String,
}

/// What a caller sends to make a member something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRequest {
    /// What they are to be.
    pub role: String,
}

/// What somebody without an account sends to follow an invite.
#[derive(Debug)]
pub struct NewPerson {
    /// What they will sign in with.
    pub email: String,
    /// What others will call them.
    pub name: String,
    /// Their password.
    pub password: SecretString,
}

/// Who is in an organisation, and who may come.
#[derive(Debug, Clone)]
pub struct Members {
    /// Everybody, the oldest first.
    pub members: Vec<Member>,
    /// The invites that nobody has followed.
    pub invites: Vec<Invite>,
}

/// Why an organisation was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Fields break rules.
    #[error("{0}")]
    Invalid(Invalid),
    /// There is one of that name.
    #[error("the name {0} is taken")]
    NameTaken(OrganisationName),
}

/// Why nothing was changed about people.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Fields break rules.
    #[error("{0}")]
    Invalid(Invalid),
    /// Nobody could do anything about it any more.
    #[error("it is the last one")]
    Last,
}

/// Why an invite let nobody in.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It was used, taken back, or is too old; or never was one.
    #[error("the invite opens nothing")]
    Gone,
    /// Fields break rules.
    #[error("{0}")]
    Invalid(Invalid),
    /// There is an account with this address: its owner signs in and follows the invite then.
    #[error("the address has an account")]
    EmailTaken,
    /// They are there already.
    #[error("they are in it already")]
    Already,
    /// The password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The record did not answer.
    #[error("read the record")]
    Store(#[source] StoreError),
}

impl FromStr for OrganisationRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        OrganisationName::parse("{organisation}", text).map(Self::Name).map_err(|_| {
            let rule = "an organisation's name, or its id: org_ and 32 hexadecimal digits";
            Invalid::field("{organisation}", text, rule)
        })
    }
}

impl fmt::Display for OrganisationRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Makes an organisation, without people.
///
/// # Errors
/// If the caller may not, a field breaks a rule, or the name is taken.
pub async fn create(
    app: &App,
    actor: &Actor,
    new: Draft<NewOrganisation>,
) -> Result<Organisation, CreateError> {
    let proof = permit::<ManageOrganisations>(actor, Scope::Platform, Noun::Page)?;
    let (name, most) = new.check(NewOrganisation::check).map_err(CreateError::Invalid)?;
    match app.store.organisation_create(&proof, &name, most).await {
        Ok(organisation) => Ok(organisation),
        Err(OrganisationCreateError::NameTaken) => Err(CreateError::NameTaken(name)),
        Err(OrganisationCreateError::Store(error)) => Err(FindError::from(error).into()),
    }
}

/// The organisations that the caller may see, by identifier.
///
/// # Errors
/// If the record does not answer.
pub async fn list(
    app: &App,
    actor: &Actor,
    after: Option<OrganisationId>,
    limit: u64,
) -> Result<Page<Organisation, OrganisationId>, FindError> {
    let own: Vec<_> = actor
        .grants
        .iter()
        .filter_map(|grant| match grant.within {
            Within::Organisation(id) => Some(id),
            Within::Platform | Within::Tenant(_) => None,
        })
        .collect();
    let among = (!actor.is_operator()).then_some(own.as_slice());
    let found = app.store.organisation_list(among, after, limit + 1).await?;
    Ok(Page::cut(found, limit, |organisation| organisation.id))
}

/// One organisation.
///
/// # Errors
/// If the caller may not see it.
pub async fn get(
    app: &App,
    actor: &Actor,
    organisation: &OrganisationRef,
) -> Result<Organisation, FindError> {
    Ok(find::<ReadOrganisation>(app, actor, organisation).await?.0)
}

/// Who is in an organisation; or, without one, who runs the platform.
///
/// # Errors
/// If the caller may not see it.
pub async fn members(
    app: &App,
    actor: &Actor,
    organisation: Option<&OrganisationRef>,
) -> Result<Members, FindError> {
    let proof = authorized::<ReadMembers>(app, actor, organisation).await?;
    let (members, invites) =
        (app.store.member_list(&proof).await?, app.store.invite_list(&proof).await?);
    Ok(Members { members, invites })
}

/// Invites somebody, to be at most what the caller is.
///
/// # Errors
/// If the caller may not, or a field breaks a rule.
pub async fn invite(
    app: &App,
    actor: &Actor,
    organisation: Option<&OrganisationRef>,
    request: Draft<InviteRequest>,
) -> Result<NewInvite, ManageError> {
    let proof = authorized::<ManageMembers>(app, actor, organisation).await?;
    let checked = request.check(|request| request.check(&proof));
    let (granted, note) = checked.map_err(ManageError::Invalid)?;
    let made = app.store.invite_create(Some(&proof), granted, &note, INVITE_VALID).await;
    Ok(made.map_err(FindError::from)?)
}

/// Takes an invite back.
///
/// # Errors
/// If the caller may not, or there is none.
pub async fn revoke_invite(
    app: &App,
    actor: &Actor,
    organisation: Option<&OrganisationRef>,
    id: InviteId,
) -> Result<(), FindError> {
    let proof = authorized::<ManageMembers>(app, actor, organisation).await?;
    let revoked = app.store.invite_revoke(&proof, id).await;
    revoked.map_err(|error| FindError::of_write(error, Noun::Invite))
}

/// Makes a member something else.
///
/// # Errors
/// If the caller may not, they are mightier than the caller, or nobody mighty would be left.
pub async fn change_member(
    app: &App,
    actor: &Actor,
    organisation: Option<&OrganisationRef>,
    account: AccountId,
    wanted: Draft<MemberRequest>,
) -> Result<(), ManageError> {
    let proof = authorized::<ManageMembers>(app, actor, organisation).await?;
    let wanted = wanted.check(|MemberRequest { role: wanted }| role(&wanted, &proof));
    set_member(app, &proof, account, Some(wanted.map_err(ManageError::Invalid)?)).await
}

/// Lets a member go.
///
/// # Errors
/// If the caller may not, they are mightier than the caller, or nobody mighty would be left.
pub async fn remove_member(
    app: &App,
    actor: &Actor,
    organisation: Option<&OrganisationRef>,
    account: AccountId,
) -> Result<(), ManageError> {
    let proof = authorized::<ManageMembers>(app, actor, organisation).await?;
    set_member(app, &proof, account, None).await
}

async fn set_member(
    app: &App,
    proof: &Authorized<ManageMembers>,
    account: AccountId,
    wanted: Option<Role>,
) -> Result<(), ManageError> {
    let changed = app.store.member_change(proof, account, wanted).await;
    changed.map_err(|error| match error {
        MemberError::Last => ManageError::Last,
        MemberError::Mightier(_) => {
            FindError::Forbidden { role: proof.actor().role.as_str() }.into()
        }
        MemberError::Store(error) => FindError::of_write(error, Noun::Member).into(),
    })
}

/// What a secret opens: whereto, and as what.
///
/// # Errors
/// If the record does not answer.
pub async fn invitation(
    app: &App,
    secret: &SecretString,
) -> Result<Option<(Invite, Option<Organisation>)>, FindError> {
    let Some(invite) = app.store.invite_by_secret(secret).await? else { return Ok(None) };
    let organisation = match invite.organisation {
        Some(id) => app.store.organisation_get(id).await?,
        None => None,
    };
    Ok(Some((invite, organisation)))
}

/// Makes an account for somebody who follows an invite.
///
/// # Errors
/// If the invite opens nothing, a field breaks a rule, or the address has an account.
pub async fn join(
    app: &App,
    secret: &SecretString,
    person: NewPerson,
    request_id: &str,
) -> Result<Account, JoinError> {
    let (email, name) = person.check().map_err(JoinError::Invalid)?;
    // A hash costs something; it is made for those only who bring an invite.
    let invite = app.store.invite_by_secret(secret).await.map_err(JoinError::Store)?;
    invite.ok_or(JoinError::Gone)?;
    let turn = Turn::take().await?;
    let password = turn.hash(&person.password, app.ids.secret()).await?;
    accept(app, secret, &Joining::New { email, name, password }, request_id).await
}

/// Lets somebody who has an account follow an invite.
///
/// # Errors
/// If the invite opens nothing, or they are there already.
pub async fn join_as(
    app: &App,
    secret: &SecretString,
    account: AccountId,
    request_id: &str,
) -> Result<Account, JoinError> {
    accept(app, secret, &Joining::Known(account), request_id).await
}

async fn accept(
    app: &App,
    secret: &SecretString,
    joining: &Joining,
    request_id: &str,
) -> Result<Account, JoinError> {
    let accepted = app.store.invite_accept(secret, joining, request_id).await;
    accepted.map_err(|error| match error {
        Refused::EmailTaken => JoinError::EmailTaken,
        Refused::Already => JoinError::Already,
        Refused::Store(StoreError::NotFound) => JoinError::Gone,
        Refused::Store(error) => JoinError::Store(error),
    })
}

/// Finds an organisation and asks the policy table.
pub(crate) async fn find<A: Action>(
    app: &App,
    actor: &Actor,
    organisation: &OrganisationRef,
) -> Result<(Organisation, Authorized<A>), FindError> {
    let found = match organisation {
        OrganisationRef::Id(id) => app.store.organisation_get(*id).await?,
        OrganisationRef::Name(name) => app.store.organisation_by_name(name).await?,
    };
    let found = found.ok_or(FindError::Missing(Noun::Organisation))?;
    let proof = permit(actor, Scope::Organisation(found.id), Noun::Organisation)?;
    Ok((found, proof))
}

async fn authorized<A: Action>(
    app: &App,
    actor: &Actor,
    organisation: Option<&OrganisationRef>,
) -> Result<Authorized<A>, FindError> {
    match organisation {
        Some(organisation) => find(app, actor, organisation).await.map(|(_, proof)| proof),
        None => permit(actor, Scope::Platform, Noun::Page),
    }
}

/// A role that the caller may give away where the proof is for.
fn role(text: &str, proof: &Authorized<ManageMembers>) -> Result<Role, Invalid> {
    let is_platform = proof.organisation().is_none();
    let found = Role::parse(text).filter(|role| is_platform == (*role == Role::Operator));
    let own = proof.actor().role;
    match found {
        Some(found) if found >= own => Ok(found),
        Some(_) => {
            Err(Invalid::field("/role", text, format!("at most your own role, {}", own.as_str())))
        }
        None if is_platform => Err(Invalid::field("/role", text, "operator")),
        None => Err(Invalid::field("/role", text, token::GRANTABLE)),
    }
}

impl InviteRequest {
    fn check(self, proof: &Authorized<ManageMembers>) -> Result<(Role, String), Invalid> {
        let note = self.note.trim();
        let mut invalid = Invalid::default();
        if note.chars().count() > 80 || note.chars().any(char::is_control) {
            invalid.add("/note", note, "at most 80 characters without control characters");
        }
        match role(&self.role, proof) {
            Ok(granted) => invalid.into_result().map(|()| (granted, note.to_owned())),
            Err(found) => {
                add(&mut invalid, found);
                Err(invalid)
            }
        }
    }
}

impl NewOrganisation {
    fn check(self) -> Result<(OrganisationName, u32), Invalid> {
        let name = OrganisationName::parse("/name", &self.name);
        let most = self.max_tenants.unwrap_or(TENANTS);
        let mut invalid = Invalid::default();
        if !(1..=MOST_TENANTS).contains(&most) {
            invalid.add("/maxTenants", most, format!("from 1 to {MOST_TENANTS}"));
        }
        match name {
            Ok(name) => invalid.into_result().map(|()| (name, most)),
            Err(found) => {
                add(&mut invalid, found);
                Err(invalid)
            }
        }
    }
}

impl NewPerson {
    fn check(&self) -> Result<(Email, String), Invalid> {
        let email = Email::parse("/email", &self.email);
        let name = person_name("/name", &self.name);
        let password = password::check("/password", &self.password);
        match (email, name, password) {
            (Ok(email), Ok(name), Ok(())) => Ok((email, name)),
            (email, name, password) => {
                let found = [email.err(), name.err(), password.err()].into_iter().flatten();
                Err(Invalid { fields: found.flat_map(|invalid| invalid.fields).collect() })
            }
        }
    }
}
