use crate::{
    Change, Store, StoreError, column,
    entity::{accounts, members, sign_ins},
    error::write_error,
    txn::{By, Place, Txn, in_txn},
};
use domain::{
    Account, AccountId, Actor, Authorized, Email, Grant, ManageMembers, Member, OrganisationId,
    ReadMembers, Role, SignInId, Subject, Within,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::SimpleExpr,
};
use secrecy::{ExposeSecret as _, SecretString};

/// Why nothing was changed about a member.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// Nobody could do anything about the organisation, or the platform, any more.
    #[error("it is the last owner")]
    Last,
    /// They are mightier than whoever asked.
    #[error("they are a mightier {}", .0.as_str())]
    Mightier(Role),
    /// The record failed; `NotFound` if they are not in it.
    #[error("write the member")]
    Store(#[from] StoreError),
}

write_error!(MemberError);

impl Store {
    /// The account of an address, with what Argon2id made of its password.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.account.by_email", skip_all)]
    pub async fn account_by_email(
        &self,
        email: &Email,
    ) -> Result<Option<(Account, SecretString)>, StoreError> {
        let select = accounts::Entity::find().filter(accounts::Column::Email.eq(email.as_str()));
        let Some(row) = select.one(&self.0.read).await? else { return Ok(None) };
        let password = SecretString::from(row.password.clone());
        Ok(Some((row.try_into()?, password)))
    }

    /// Gives an account another password; whoever is signed in elsewhere than in `here` is not any more.
    ///
    /// # Errors
    /// `NotFound` if there is no such account; or if the database fails.
    #[tracing::instrument(name = "db.account.password", skip_all)]
    pub async fn account_password(
        &self,
        actor: &Actor,
        id: AccountId,
        here: SignInId,
        password: &SecretString,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| password_in_txn(&mut txn, actor, id, here, password))
    }

    /// Everybody in an organisation; or, without one, who runs the platform.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.member.list", skip_all)]
    pub async fn member_list(
        &self,
        proof: &Authorized<ReadMembers>,
    ) -> Result<Vec<Member>, StoreError> {
        let select = members::Entity::find().filter(within(proof.organisation()));
        let rows = select.order_by_asc(members::Column::Id).all(&self.0.read).await?;
        let ids = rows.iter().map(|row| row.account);
        let select = accounts::Entity::find().filter(accounts::Column::Id.is_in(ids));
        let accounts = select.all(&self.0.read).await?;
        let member = |row: members::Model| {
            let account = accounts.iter().find(|account| account.id == row.account);
            Ok(Member {
                account: account.ok_or(StoreError::NotFound)?.clone().try_into()?,
                role: column::to_word("members.role", &row.role)?,
                since: column::to_time("members.since", row.since)?,
            })
        };
        rows.into_iter().map(member).collect()
    }

    /// Makes a member something else, or with no role lets them go.
    ///
    /// # Errors
    /// `NotFound` if they are not there, `Last` if nobody mighty would be left, `Mightier` if they are more than
    /// whoever asks.
    #[tracing::instrument(name = "db.member.change", skip_all)]
    pub async fn member_change(
        &self,
        proof: &Authorized<ManageMembers>,
        account: AccountId,
        role: Option<Role>,
    ) -> Result<(), MemberError> {
        in_txn!(self, |txn| change_in_txn(&mut txn, proof, account, role))
    }
}

/// What somebody may: every role that they have now.
pub(crate) async fn actor(
    db: &impl ConnectionTrait,
    id: AccountId,
    request_id: String,
) -> Result<Actor, StoreError> {
    let rows =
        members::Entity::find().filter(members::Column::Account.eq(id.uuid())).all(db).await?;
    let grant = |row: members::Model| {
        let role = column::to_word("members.role", &row.role)?;
        let organisation = row.organisation.map(OrganisationId::new);
        let within = organisation.map_or(Within::Platform, Within::Organisation);
        Ok(Grant { role, within })
    };
    let grants = rows.into_iter().map(grant).collect::<Result<_, StoreError>>()?;
    Ok(Actor { subject: Subject::Account(id), grants, request_id })
}

/// Who is in an organisation, or runs the platform.
pub(crate) fn within(organisation: Option<OrganisationId>) -> SimpleExpr {
    match organisation {
        Some(id) => members::Column::Organisation.eq(id.uuid()),
        None => members::Column::Organisation.is_null(),
    }
}

async fn password_in_txn(
    txn: &mut Txn,
    actor: &Actor,
    id: AccountId,
    here: SignInId,
    password: &SecretString,
) -> Result<(), StoreError> {
    let updated = accounts::Entity::update_many()
        .set(accounts::ActiveModel {
            password: Set(password.expose_secret().to_owned()),
            ..Default::default()
        })
        .filter(accounts::Column::Id.eq(id.uuid()))
        .exec(&txn.db)
        .await?;
    if updated.rows_affected != 1 {
        return Err(StoreError::NotFound);
    }
    sign_ins::Entity::delete_many()
        .filter(sign_ins::Column::Account.eq(id.uuid()))
        .filter(sign_ins::Column::Id.ne(here.uuid()))
        .exec(&txn.db)
        .await?;
    txn.changed(Change::Account(id));
    let by = By::own(id, actor.request_id.clone());
    txn.audit_by(by, "account.password", Place::NOWHERE, id.to_string()).await
}

async fn change_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ManageMembers>,
    account: AccountId,
    role: Option<Role>,
) -> Result<(), MemberError> {
    let organisation = proof.organisation();
    // All of them, so that two owners cannot let each other go at the same time.
    let select = members::Entity::find().filter(within(organisation)).lock_exclusive();
    let all = select.all(&txn.db).await?;
    let row = all.iter().find(|row| row.account == account.uuid());
    let row = row.ok_or(StoreError::NotFound)?;
    let before: Role = column::to_word("members.role", &row.role)?;
    if before < proof.actor().role {
        return Err(MemberError::Mightier(before));
    }
    if role.is_some_and(|role| organisation.is_none() != (role == Role::Operator)) {
        return Err(StoreError::Refused("only the platform has operators, and only those").into());
    }
    let mightiest = if organisation.is_some() { Role::Owner } else { Role::Operator };
    let others = all.iter().filter(|other| other.id != row.id && other.role == mightiest.as_str());
    if before == mightiest && role != Some(mightiest) && others.count() == 0 {
        return Err(MemberError::Last);
    }
    let action = if let Some(role) = role {
        members::Entity::update_many()
            .set(members::ActiveModel { role: Set(role.as_str().to_owned()), ..Default::default() })
            .filter(members::Column::Id.eq(row.id))
            .exec(&txn.db)
            .await?;
        format!("member.role.{}", role.as_str())
    } else {
        members::Entity::delete_by_id(row.id).exec(&txn.db).await?;
        "member.remove".to_owned()
    };
    txn.changed(Change::Account(account));
    txn.audit(Some(proof.actor()), &action, organisation, account.to_string()).await?;
    Ok(())
}

impl TryFrom<accounts::Model> for Account {
    type Error = StoreError;

    fn try_from(row: accounts::Model) -> Result<Self, StoreError> {
        let email = Email::parse("/email", &row.email);
        Ok(Self {
            id: AccountId::new(row.id),
            email: email.map_err(|error| StoreError::corrupt("accounts.email", error))?,
            name: row.name,
            created_at: column::to_time("accounts.created_at", row.created_at)?,
        })
    }
}
