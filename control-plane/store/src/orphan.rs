use crate::{
    Change, Store, StoreError, column,
    entity::{nodes, orphans, swept_areas},
    error::write_error,
    txn::{Place, Txn, in_txn},
};
use domain::{
    Authorized, Bytes, Node, NodeId, Orphan, OrphanId, OrphanProof, OrphanState, RemoveOrphan,
    Sighting, SweepLook, SweptArea, VmNumber,
};
use jiff::SignedDuration;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};

mod note;

/// How long what is over stays in the list.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How many values a query names at once.
const CHUNK: usize = 500;

/// By what nodes of the record are found of which something may be left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeClues {
    /// Their identifiers.
    pub ids: Vec<NodeId>,
    /// Their names.
    pub names: Vec<String>,
    /// Their marks.
    pub marks: Vec<String>,
    /// The numbers of their machines, of those that had one after the other all.
    pub vms: Vec<VmNumber>,
}

/// Why something is not removed.
#[derive(Debug, thiserror::Error)]
pub enum OrphanRemoveError {
    /// It is not proven to be Warren's.
    #[error("it is not proven: {}", .0.seen.reason)]
    NotOurs(Box<Orphan>),
    /// It is not there any more.
    #[error("it is {}", .0.as_str())]
    Over(OrphanState),
    /// The record failed; `NotFound` if nothing like it was reported.
    #[error("write the wish")]
    Store(#[from] StoreError),
}

write_error!(OrphanRemoveError);

impl Store {
    /// Writes down what was seen. What is seen for the first time is only remembered: it is reported when a later look,
    /// some minutes after that, still sees it. What a look at all of an area did not see is gone. How many were reported
    /// now that were not before.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.orphan.note", skip_all)]
    pub async fn orphan_note(&self, looks: &[SweepLook]) -> Result<u64, StoreError> {
        in_txn!(self, |txn| note::note_in_txn(&mut txn, looks))
    }

    /// At most `limit` that were reported, by identifier, starting after `after`; what is over stays for a week.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.orphan.list", skip_all)]
    pub async fn orphan_list(
        &self,
        after: Option<OrphanId>,
        limit: u64,
    ) -> Result<Vec<Orphan>, StoreError> {
        let mut select = orphans::Entity::find().filter(orphans::Column::ReportedAt.is_not_null());
        if let Some(after) = after {
            select = select.filter(orphans::Column::Id.gt(after.uuid()));
        }
        let select = select.order_by_asc(orphans::Column::Id).limit(limit);
        select.all(&self.0.read).await?.into_iter().map(Orphan::try_from).collect()
    }

    /// One that was reported.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.orphan.get", skip_all)]
    pub async fn orphan_get(&self, id: OrphanId) -> Result<Option<Orphan>, StoreError> {
        let select = orphans::Entity::find_by_id(id.uuid())
            .filter(orphans::Column::ReportedAt.is_not_null());
        select.one(&self.0.read).await?.map(Orphan::try_from).transpose()
    }

    /// What was looked at last, and when.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.orphan.areas", skip_all)]
    pub async fn orphan_areas(&self) -> Result<Vec<SweptArea>, StoreError> {
        let select = swept_areas::Entity::find().order_by_asc(swept_areas::Column::Area);
        let rows = select.all(&self.0.read).await?.into_iter();
        rows.map(|row| {
            let at = column::to_time("swept_areas.at", row.at)?;
            Ok(SweptArea { area: row.area, at, obstacle: row.obstacle })
        })
        .collect()
    }

    /// Those that are to be removed, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.orphan.asked", skip_all)]
    pub async fn orphan_asked(&self) -> Result<Vec<Orphan>, StoreError> {
        let states = [OrphanState::Asked, OrphanState::Removing].map(OrphanState::as_str);
        let select = orphans::Entity::find()
            .filter(orphans::Column::State.is_in(states))
            .order_by_asc(orphans::Column::Id);
        select.all(&self.0.read).await?.into_iter().map(Orphan::try_from).collect()
    }

    /// Nodes of the record, released or not, that any of the clues is about.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.orphan.nodes", skip_all)]
    pub async fn orphan_nodes(&self, clues: &NodeClues) -> Result<Vec<Node>, StoreError> {
        use nodes::Column as C;
        let ids = clues.ids.chunks(CHUNK).map(|ids| C::Id.is_in(ids.iter().map(|id| id.uuid())));
        let names = clues.names.chunks(CHUNK).map(|names| C::Name.is_in(names));
        let marks = clues.marks.chunks(CHUNK).map(|marks| C::Mark.is_in(marks));
        let vms = clues.vms.chunks(CHUNK).map(|vms| C::Vm.is_in(vms.iter().map(|vm| vm.0)));
        let mut found: Vec<Node> = Vec::new();
        for clue in ids.chain(names).chain(marks).chain(vms) {
            let rows = nodes::Entity::find().filter(clue).order_by_asc(C::Id).all(&self.0.read);
            for row in rows.await? {
                let node = Node::try_from(row)?;
                if found.iter().all(|known| known.id != node.id) {
                    found.push(node);
                }
            }
        }
        Ok(found)
    }

    /// Asks for the removal of something that is proven to be Warren's. Repeating it changes nothing.
    ///
    /// # Errors
    /// `NotOurs` if that is not proven, `Over` if it is not there any more.
    #[tracing::instrument(name = "db.orphan.remove", skip_all)]
    pub async fn orphan_remove(
        &self,
        proof: &Authorized<RemoveOrphan>,
        id: OrphanId,
    ) -> Result<Orphan, OrphanRemoveError> {
        in_txn!(self, |txn| remove_in_txn(&mut txn, proof, id))
    }

    /// Says that it is being removed, and what is in the way of that. Writes nothing if that was said before.
    ///
    /// # Errors
    /// `Stale` if nobody wants it to be removed.
    #[tracing::instrument(name = "db.orphan.removing", skip_all)]
    pub async fn orphan_removing(
        &self,
        id: OrphanId,
        cause: Option<&str>,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| removing_in_txn(&mut txn, id, cause))
    }

    /// Ends a removal: it is proven to be gone, or it failed for this cause.
    ///
    /// # Errors
    /// `Stale` if nobody wants it to be removed.
    #[tracing::instrument(name = "db.orphan.end", skip_all)]
    pub async fn orphan_end(
        &self,
        id: OrphanId,
        outcome: Result<(), String>,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| end_in_txn(&mut txn, id, outcome.clone()))
    }
}

async fn for_update(txn: &Txn, id: OrphanId) -> Result<orphans::Model, StoreError> {
    let select = orphans::Entity::find_by_id(id.uuid())
        .filter(orphans::Column::ReportedAt.is_not_null())
        .lock_exclusive();
    select.one(&txn.db).await?.ok_or(StoreError::NotFound)
}

async fn remove_in_txn(
    txn: &mut Txn,
    proof: &Authorized<RemoveOrphan>,
    id: OrphanId,
) -> Result<Orphan, OrphanRemoveError> {
    let row = for_update(txn, id).await?;
    let orphan = Orphan::try_from(row.clone())?;
    match orphan.state {
        state @ (OrphanState::Removed | OrphanState::Gone) => {
            return Err(OrphanRemoveError::Over(state));
        }
        OrphanState::Asked | OrphanState::Removing => return Ok(orphan),
        OrphanState::Found | OrphanState::Failed => {}
    }
    if orphan.seen.proof != OrphanProof::Ours {
        return Err(OrphanRemoveError::NotOurs(Box::new(orphan)));
    }
    let asked = orphans::Model {
        state: OrphanState::Asked.as_str().to_owned(),
        cause: None,
        asked_at: Some(txn.at()),
        ..row.clone()
    };
    put_in_txn(txn, &row, asked.clone()).await?;
    txn.audit(Some(proof.actor()), "orphan.remove", Place::NOWHERE, id.to_string()).await?;
    Ok(Orphan::try_from(asked)?)
}

async fn removing_in_txn(
    txn: &mut Txn,
    id: OrphanId,
    cause: Option<&str>,
) -> Result<(), StoreError> {
    let row = asked_for_update(txn, id).await?;
    let state = OrphanState::Removing.as_str();
    let cause = cause.map(str::to_owned);
    if row.state == state && row.cause == cause {
        return Ok(());
    }
    put_in_txn(txn, &row, orphans::Model { state: state.to_owned(), cause, ..row.clone() }).await
}

async fn end_in_txn(
    txn: &mut Txn,
    id: OrphanId,
    outcome: Result<(), String>,
) -> Result<(), StoreError> {
    let row = asked_for_update(txn, id).await?;
    let (state, cause, ended_at) = match outcome {
        Ok(()) => (OrphanState::Removed, None, Some(txn.at())),
        Err(cause) => (OrphanState::Failed, Some(cause), None),
    };
    let ended = orphans::Model { state: state.as_str().to_owned(), cause, ended_at, ..row.clone() };
    put_in_txn(txn, &row, ended).await?;
    txn.audit(None, &format!("orphan.{}", state.as_str()), Place::NOWHERE, id.to_string()).await
}

/// One that is to be removed; nobody else changes it before the transaction ends.
async fn asked_for_update(txn: &Txn, id: OrphanId) -> Result<orphans::Model, StoreError> {
    let row = for_update(txn, id).await?;
    match column::to_word("orphans.state", &row.state)? {
        OrphanState::Asked | OrphanState::Removing => Ok(row),
        OrphanState::Found | OrphanState::Failed | OrphanState::Removed | OrphanState::Gone => {
            Err(StoreError::Stale)
        }
    }
}

/// Writes a row anew that was read as `before`, and tells of it if it is reported.
async fn put_in_txn(
    txn: &mut Txn,
    before: &orphans::Model,
    now: orphans::Model,
) -> Result<(), StoreError> {
    let (id, is_reported) = (OrphanId::new(before.id), now.reported_at.is_some());
    let updated = orphans::Entity::update_many()
        .set(now.into_active_model().reset_all())
        .filter(orphans::Column::Id.eq(before.id))
        .filter(orphans::Column::State.eq(before.state.as_str()))
        .exec(&txn.db)
        .await?;
    if updated.rows_affected != 1 {
        return Err(StoreError::Stale);
    }
    if is_reported {
        txn.changed(Change::Orphan(id));
    }
    Ok(())
}

impl TryFrom<orphans::Model> for Orphan {
    type Error = StoreError;

    fn try_from(row: orphans::Model) -> Result<Self, StoreError> {
        let vm = row.vm.map(u32::try_from).transpose();
        let size = row.size.map(|size| column::to_count("orphans.size", size)).transpose()?;
        Ok(Self {
            id: OrphanId::new(row.id),
            seen: Sighting {
                kind: column::to_word("orphans.kind", &row.kind)?,
                name: row.name,
                vm: vm.map_err(|error| StoreError::corrupt("orphans.vm", error))?.map(VmNumber),
                place: row.place,
                storage: row.storage,
                namespace: row.namespace,
                uid: row.uid,
                size: size.map(Bytes),
                proof: column::to_word("orphans.proof", &row.proof)?,
                reason: row.reason,
                node: row.node.map(NodeId::new),
            },
            state: column::to_word("orphans.state", &row.state)?,
            cause: row.cause,
            first_seen_at: column::to_time("orphans.first_seen_at", row.first_seen_at)?,
            last_seen_at: column::to_time("orphans.last_seen_at", row.last_seen_at)?,
            asked_at: column::to_optional_time("orphans.asked_at", row.asked_at)?,
            ended_at: column::to_optional_time("orphans.ended_at", row.ended_at)?,
        })
    }
}
