use crate::{
    Store, StoreError, column,
    entity::organisations,
    error::write_error,
    txn::{Txn, in_txn},
};
use domain::{Authorized, ManageOrganisations, Organisation, OrganisationId, OrganisationName};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};

/// Why an organisation was not made.
#[derive(Debug, thiserror::Error)]
pub enum OrganisationCreateError {
    /// Another one has the name.
    #[error("the name is taken")]
    NameTaken,
    /// The record failed.
    #[error("write the organisation")]
    Store(#[from] StoreError),
}

write_error!(OrganisationCreateError);

impl Store {
    /// Makes an organisation without people.
    ///
    /// # Errors
    /// If the name is taken, or the database fails.
    #[tracing::instrument(name = "db.organisation.create", skip_all)]
    pub async fn organisation_create(
        &self,
        proof: &Authorized<ManageOrganisations>,
        name: &OrganisationName,
        max_tenants: u32,
    ) -> Result<Organisation, OrganisationCreateError> {
        in_txn!(self, |txn| create_in_txn(&mut txn, proof, name, max_tenants))
    }

    /// One organisation.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.organisation.get", skip_all)]
    pub async fn organisation_get(
        &self,
        id: OrganisationId,
    ) -> Result<Option<Organisation>, StoreError> {
        let row = organisations::Entity::find_by_id(id.uuid()).one(&self.0.read).await?;
        row.map(Organisation::try_from).transpose()
    }

    /// The organisation that has a name.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.organisation.by_name", skip_all)]
    pub async fn organisation_by_name(
        &self,
        name: &OrganisationName,
    ) -> Result<Option<Organisation>, StoreError> {
        let row = named(name).one(&self.0.read).await?;
        row.map(Organisation::try_from).transpose()
    }

    /// At most `limit` organisations, by identifier, starting after `after`; all, or those of `among`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.organisation.list", skip_all)]
    pub async fn organisation_list(
        &self,
        among: Option<&[OrganisationId]>,
        after: Option<OrganisationId>,
        limit: u64,
    ) -> Result<Vec<Organisation>, StoreError> {
        let mut select = organisations::Entity::find();
        if let Some(among) = among {
            let ids = among.iter().map(|id| id.uuid());
            select = select.filter(organisations::Column::Id.is_in(ids));
        }
        if let Some(after) = after {
            select = select.filter(organisations::Column::Id.gt(after.uuid()));
        }
        let select = select.order_by_asc(organisations::Column::Id).limit(limit);
        select.all(&self.0.read).await?.into_iter().map(Organisation::try_from).collect()
    }
}

/// An organisation; nobody else changes how many tenants it has before the transaction ends.
pub(crate) async fn for_update(txn: &Txn, id: OrganisationId) -> Result<Organisation, StoreError> {
    let select = organisations::Entity::find_by_id(id.uuid()).lock_exclusive();
    select.one(&txn.db).await?.ok_or(StoreError::NotFound)?.try_into()
}

async fn create_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ManageOrganisations>,
    name: &OrganisationName,
    max_tenants: u32,
) -> Result<Organisation, OrganisationCreateError> {
    if named(name).one(&txn.db).await?.is_some() {
        return Err(OrganisationCreateError::NameTaken);
    }
    let row = organisations::Model {
        id: txn.store.ids.uuid(),
        name: name.as_str().to_owned(),
        max_tenants: i64::from(max_tenants),
        created_at: txn.at(),
    };
    let organisation = Organisation::try_from(row.clone())?;
    organisations::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    let (id, actor) = (organisation.id, Some(proof.actor()));
    txn.audit(actor, "organisation.create", Some(id), id.to_string()).await?;
    Ok(organisation)
}

fn named(name: &OrganisationName) -> sea_orm::Select<organisations::Entity> {
    organisations::Entity::find().filter(organisations::Column::Name.eq(name.as_str()))
}

impl TryFrom<organisations::Model> for Organisation {
    type Error = StoreError;

    fn try_from(row: organisations::Model) -> Result<Self, StoreError> {
        let name = OrganisationName::parse("/name", &row.name);
        let max_tenants = u32::try_from(row.max_tenants);
        Ok(Self {
            id: OrganisationId::new(row.id),
            name: name.map_err(|error| StoreError::corrupt("organisations.name", error))?,
            max_tenants: max_tenants
                .map_err(|error| StoreError::corrupt("organisations.max_tenants", error))?,
            created_at: column::to_time("organisations.created_at", row.created_at)?,
        })
    }
}
