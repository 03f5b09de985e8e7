//! What a look saw is held against what earlier ones saw.

use super::{KEPT, put_in_txn};
use crate::{
    StoreError, column,
    entity::{orphans, swept_areas},
    txn::Txn,
};
use domain::{OrphanState, Sighting, SweepLook};
use jiff::SignedDuration;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    sea_query::OnConflict,
};

/// How long after the first look another one has to see it: what is on its way is somewhere else by then.
const PROVEN_AFTER: SignedDuration = SignedDuration::from_mins(4);

pub(super) async fn note_in_txn(txn: &mut Txn, looks: &[SweepLook]) -> Result<u64, StoreError> {
    let mut reported = 0;
    for look in looks {
        reported += area_in_txn(txn, look).await?;
        let swept = swept_areas::Model {
            area: look.area.clone(),
            at: txn.at(),
            obstacle: look.obstacle.clone(),
        };
        // Nobody waits for looks: only what they find is told.
        let latest = OnConflict::column(swept_areas::Column::Area)
            .update_columns([swept_areas::Column::At, swept_areas::Column::Obstacle])
            .to_owned();
        let insert = swept_areas::Entity::insert(swept.into_active_model()).on_conflict(latest);
        insert.exec_without_returning(&txn.db).await?;
    }
    forget_in_txn(txn, looks).await?;
    Ok(reported)
}

async fn area_in_txn(txn: &mut Txn, look: &SweepLook) -> Result<u64, StoreError> {
    let select = orphans::Entity::find()
        .filter(orphans::Column::Area.eq(look.area.as_str()))
        .filter(orphans::Column::EndedAt.is_null())
        .lock_exclusive();
    let mut known = select.all(&txn.db).await?;
    let mut reported = 0;
    for seen in &look.sightings {
        let key = seen.key();
        let Some(index) = known.iter().position(|row| row.key == key) else {
            insert_in_txn(txn, &look.area, seen).await?;
            continue;
        };
        let before = known.swap_remove(index);
        let first = column::to_time("orphans.first_seen_at", before.first_seen_at)?;
        let is_old = txn.now.duration_since(first) >= PROVEN_AFTER;
        let reported_at = before.reported_at.or_else(|| is_old.then(|| txn.at()));
        reported += u64::from(before.reported_at.is_none() && reported_at.is_some());
        let now = orphans::Model {
            last_seen_at: txn.at(),
            reported_at,
            place: seen.place.clone(),
            size: seen.size.map(|size| column::count(size.0)),
            proof: column::word(&seen.proof),
            reason: seen.reason.clone(),
            node: seen.node.map(domain::NodeId::uuid),
            ..before.clone()
        };
        put_in_txn(txn, &before, now).await?;
    }
    if look.obstacle.is_none() {
        for row in known {
            miss_in_txn(txn, row).await?;
        }
    }
    Ok(reported)
}

async fn insert_in_txn(txn: &mut Txn, area: &str, seen: &Sighting) -> Result<(), StoreError> {
    let row = orphans::Model {
        id: txn.store.ids.uuid(),
        key: seen.key(),
        area: area.to_owned(),
        kind: column::word(&seen.kind),
        name: seen.name.clone(),
        vm: seen.vm.map(|vm| vm.0.into()),
        place: seen.place.clone(),
        storage: seen.storage.clone(),
        namespace: seen.namespace.clone(),
        uid: seen.uid.clone(),
        size: seen.size.map(|size| column::count(size.0)),
        proof: column::word(&seen.proof),
        reason: seen.reason.clone(),
        node: seen.node.map(domain::NodeId::uuid),
        state: OrphanState::Found.as_str().to_owned(),
        cause: None,
        first_seen_at: txn.at(),
        last_seen_at: txn.at(),
        reported_at: None,
        asked_at: None,
        ended_at: None,
    };
    // An earlier one may have been found in an area that is called otherwise by now.
    orphans::Entity::delete_many()
        .filter(orphans::Column::Key.eq(row.key.as_str()))
        .filter(orphans::Column::EndedAt.is_null())
        .exec(&txn.db)
        .await?;
    orphans::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    Ok(())
}

/// It is not there any more. What is being removed is for whoever removes it to end.
async fn miss_in_txn(txn: &mut Txn, row: orphans::Model) -> Result<(), StoreError> {
    if row.reported_at.is_none() {
        orphans::Entity::delete_by_id(row.id).exec(&txn.db).await?;
        return Ok(());
    }
    match column::to_word("orphans.state", &row.state)? {
        OrphanState::Found | OrphanState::Failed => {
            let state = OrphanState::Gone.as_str().to_owned();
            let ended_at = Some(txn.at());
            put_in_txn(txn, &row, orphans::Model { state, ended_at, ..row.clone() }).await
        }
        OrphanState::Asked | OrphanState::Removing | OrphanState::Removed | OrphanState::Gone => {
            Ok(())
        }
    }
}

/// Forgets what is long over, what was seen once and never again, and areas that are none any more.
async fn forget_in_txn(txn: &mut Txn, looks: &[SweepLook]) -> Result<(), StoreError> {
    let long_ago = txn.later(-KEPT);
    let is_unseen = Condition::all()
        .add(orphans::Column::ReportedAt.is_null())
        .add(orphans::Column::LastSeenAt.lt(long_ago));
    orphans::Entity::delete_many()
        .filter(Condition::any().add(orphans::Column::EndedAt.lt(long_ago)).add(is_unseen))
        .exec(&txn.db)
        .await?;
    swept_areas::Entity::delete_many()
        .filter(swept_areas::Column::Area.is_not_in(looks.iter().map(|look| look.area.as_str())))
        .exec(&txn.db)
        .await?;
    Ok(())
}
