use crate::{
    Change, Store, StoreError,
    account::within,
    column,
    entity::{accounts, invites, members},
    error::write_error,
    secret::sha256,
    token::random,
    txn::{By, Txn, in_txn},
};
use domain::{
    Account, AccountId, Authorized, Email, Invite, InviteId, ManageMembers, OrganisationId,
    ReadMembers, Role,
};
use jiff::SignedDuration;
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Set, sea_query::SimpleExpr,
};
use secrecy::{ExposeSecret as _, SecretString};

const PREFIX: &str = "wri_";

/// An invite at the only moment when its secret can be seen.
#[derive(Debug, Clone)]
pub struct NewInvite {
    /// What is known about it.
    pub invite: Invite,
    /// What opens it: `wri_…`. Only its SHA-256 is stored.
    pub secret: SecretString,
}

/// Who follows an invite.
#[derive(Debug)]
pub enum Joining {
    /// Somebody without an account.
    New {
        /// What they will sign in with.
        email: Email,
        /// What others will call them.
        name: String,
        /// What Argon2id made of their password.
        password: SecretString,
    },
    /// Somebody who is signed in.
    Known(AccountId),
}

/// Why an invite let nobody in.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// There is an account with this address.
    #[error("the address has an account")]
    EmailTaken,
    /// They are there already.
    #[error("they are in it already")]
    Already,
    /// The record failed; `NotFound` if the invite was used, taken back or is too old.
    #[error("follow the invite")]
    Store(#[from] StoreError),
}

write_error!(JoinError);

impl Store {
    /// Invites somebody to an organisation, or to run the platform. Without a proof, whoever started the server invites
    /// its first operator: earlier such invites open nothing any more.
    ///
    /// # Errors
    /// `Refused` if the role does not go with the place, or there is an operator; or if the database fails.
    #[tracing::instrument(name = "db.invite.create", skip_all)]
    pub async fn invite_create(
        &self,
        proof: Option<&Authorized<ManageMembers>>,
        role: Role,
        note: &str,
        valid: SignedDuration,
    ) -> Result<NewInvite, StoreError> {
        let organisation = proof.and_then(Authorized::organisation);
        if organisation.is_none() != (role == Role::Operator) {
            return Err(StoreError::Refused("operators have no organisation, and all others one"));
        }
        in_txn!(self, |txn| create_in_txn(&mut txn, proof, role, note, valid))
    }

    /// The invites to an organisation, or to the platform, that open something.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.invite.list", skip_all)]
    pub async fn invite_list(
        &self,
        proof: &Authorized<ReadMembers>,
    ) -> Result<Vec<Invite>, StoreError> {
        let select = invites::Entity::find()
            .filter(to(proof.organisation()))
            .filter(invites::Column::ExpiresAt.gt(column::time(self.0.now())));
        let rows = select.order_by_asc(invites::Column::Id).all(&self.0.read).await?;
        rows.into_iter().map(Invite::try_from).collect()
    }

    /// What a secret opens.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.invite.by_secret", skip_all)]
    pub async fn invite_by_secret(
        &self,
        secret: &SecretString,
    ) -> Result<Option<Invite>, StoreError> {
        let row = opened_by(secret, self.0.now()).one(&self.0.read).await?;
        row.map(Invite::try_from).transpose()
    }

    /// Lets somebody in, once.
    ///
    /// # Errors
    /// `NotFound` if the secret opens nothing, `EmailTaken`, or `Already`.
    #[tracing::instrument(name = "db.invite.accept", skip_all)]
    pub async fn invite_accept(
        &self,
        secret: &SecretString,
        joining: &Joining,
        request_id: &str,
    ) -> Result<Account, JoinError> {
        in_txn!(self, |txn| accept_in_txn(&mut txn, secret, joining, request_id))
    }

    /// Takes an invite back.
    ///
    /// # Errors
    /// `NotFound` if there is none where the proof is for; or if the database fails.
    #[tracing::instrument(name = "db.invite.revoke", skip_all)]
    pub async fn invite_revoke(
        &self,
        proof: &Authorized<ManageMembers>,
        id: InviteId,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| revoke_in_txn(&mut txn, proof, id))
    }

    /// Whether somebody runs the platform.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.member.is_any_operator", skip_all)]
    pub async fn member_is_any_operator(&self) -> Result<bool, StoreError> {
        let select = members::Entity::find().filter(within(None)).limit(1);
        Ok(select.one(&self.0.read).await?.is_some())
    }
}

async fn create_in_txn(
    txn: &mut Txn,
    proof: Option<&Authorized<ManageMembers>>,
    role: Role,
    note: &str,
    valid: SignedDuration,
) -> Result<NewInvite, StoreError> {
    let organisation = proof.and_then(Authorized::organisation);
    if proof.is_none() {
        if members::Entity::find().filter(within(None)).count(&txn.db).await? > 0 {
            return Err(StoreError::Refused("there is an operator already"));
        }
        invites::Entity::delete_many().filter(to(None)).exec(&txn.db).await?;
    }
    let secret = SecretString::from(random(PREFIX, txn.store.ids.secret()));
    let row = invites::Model {
        id: txn.store.ids.uuid(),
        hash: sha256(secret.expose_secret().as_bytes()).to_vec(),
        organisation: organisation.map(OrganisationId::uuid),
        role: role.as_str().to_owned(),
        note: note.to_owned(),
        created_at: txn.at(),
        expires_at: txn.later(valid),
    };
    let invite = Invite::try_from(row.clone())?;
    invites::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    let actor = proof.map(Authorized::actor);
    txn.audit(actor, "invite.create", organisation, invite.id.to_string()).await?;
    Ok(NewInvite { invite, secret })
}

async fn accept_in_txn(
    txn: &mut Txn,
    secret: &SecretString,
    joining: &Joining,
    request_id: &str,
) -> Result<Account, JoinError> {
    let select = opened_by(secret, txn.now).lock_exclusive();
    let invite = select.one(&txn.db).await?.ok_or(StoreError::NotFound)?;
    let account = match joining {
        Joining::New { email, name, password } => {
            let taken = accounts::Column::Email.eq(email.as_str());
            if accounts::Entity::find().filter(taken).count(&txn.db).await? > 0 {
                return Err(JoinError::EmailTaken);
            }
            let row = accounts::Model {
                id: txn.store.ids.uuid(),
                email: email.as_str().to_owned(),
                name: name.clone(),
                password: password.expose_secret().to_owned(),
                created_at: txn.at(),
            };
            let new = row.clone().into_active_model();
            accounts::Entity::insert(new).exec_without_returning(&txn.db).await?;
            row
        }
        Joining::Known(id) => {
            let select = accounts::Entity::find_by_id(id.uuid());
            select.one(&txn.db).await?.ok_or(StoreError::NotFound)?
        }
    };
    let organisation = invite.organisation.map(OrganisationId::new);
    let already = members::Entity::find()
        .filter(within(organisation))
        .filter(members::Column::Account.eq(account.id));
    if already.count(&txn.db).await? > 0 {
        return Err(JoinError::Already);
    }
    let member = members::ActiveModel {
        id: Set(txn.store.ids.uuid()),
        account: Set(account.id),
        organisation: Set(invite.organisation),
        role: Set(invite.role.clone()),
        since: Set(txn.at()),
    };
    members::Entity::insert(member).exec_without_returning(&txn.db).await?;
    invites::Entity::delete_by_id(invite.id).exec(&txn.db).await?;
    let account = Account::try_from(account)?;
    txn.changed(Change::Account(account.id));
    let by = By::own(account.id, request_id.to_owned());
    let target = InviteId::new(invite.id).to_string();
    txn.audit_by(by, "invite.accept", organisation, target).await?;
    Ok(account)
}

async fn revoke_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ManageMembers>,
    id: InviteId,
) -> Result<(), StoreError> {
    let organisation = proof.organisation();
    let deleted = invites::Entity::delete_many()
        .filter(invites::Column::Id.eq(id.uuid()))
        .filter(to(organisation))
        .exec(&txn.db)
        .await?;
    if deleted.rows_affected != 1 {
        return Err(StoreError::NotFound);
    }
    txn.audit(Some(proof.actor()), "invite.revoke", organisation, id.to_string()).await
}

fn opened_by(secret: &SecretString, now: jiff::Timestamp) -> sea_orm::Select<invites::Entity> {
    let hash = sha256(secret.expose_secret().as_bytes()).to_vec();
    invites::Entity::find()
        .filter(invites::Column::Hash.eq(hash))
        .filter(invites::Column::ExpiresAt.gt(column::time(now)))
}

fn to(organisation: Option<OrganisationId>) -> SimpleExpr {
    match organisation {
        Some(id) => invites::Column::Organisation.eq(id.uuid()),
        None => invites::Column::Organisation.is_null(),
    }
}

impl TryFrom<invites::Model> for Invite {
    type Error = StoreError;

    fn try_from(row: invites::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: InviteId::new(row.id),
            organisation: row.organisation.map(OrganisationId::new),
            role: column::to_word("invites.role", &row.role)?,
            note: row.note,
            created_at: column::to_time("invites.created_at", row.created_at)?,
            expires_at: column::to_time("invites.expires_at", row.expires_at)?,
        })
    }
}
