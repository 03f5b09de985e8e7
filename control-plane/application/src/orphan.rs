//! What is left over of nodes, on Proxmox VE and in the host cluster, and its removal. For operators.

use crate::{
    App, Page,
    error::{FindError, Noun, permit},
};
use domain::{
    Actor, Orphan, OrphanId, OrphanProof, OrphanState, ReadOrphans, RemoveOrphan, Scope, SweptArea,
};
use store::OrphanRemoveError;

/// Why something is not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It is not proven to be Warren's.
    #[error("it is {}: {reason}", proof.as_str())]
    NotOurs {
        /// What is known.
        proof: OrphanProof,
        /// Why not more is.
        reason: String,
    },
    /// It is not there any more.
    #[error("it is {}", .0.as_str())]
    Over(OrphanState),
}

/// What was reported, oldest first.
///
/// # Errors
/// If the caller may not.
pub async fn list(
    app: &App,
    actor: &Actor,
    after: Option<OrphanId>,
    limit: u64,
) -> Result<Page<Orphan, OrphanId>, FindError> {
    permit::<ReadOrphans>(actor, Scope::Platform, Noun::Page)?;
    let orphans = app.store.orphan_list(after, limit + 1).await?;
    Ok(Page::cut(orphans, limit, |orphan| orphan.id))
}

/// When each part of the world was looked at last, and what of it could not be seen.
///
/// # Errors
/// If the caller may not.
pub async fn looks(app: &App, actor: &Actor) -> Result<Vec<SweptArea>, FindError> {
    permit::<ReadOrphans>(actor, Scope::Platform, Noun::Page)?;
    Ok(app.store.orphan_areas().await?)
}

/// Asks for the removal of something that is proven to be Warren's; asking again changes nothing.
///
/// # Errors
/// If the caller may not, it is not proven, or it is not there any more.
pub async fn remove(app: &App, actor: &Actor, id: OrphanId) -> Result<Orphan, RemoveError> {
    let proof = permit::<RemoveOrphan>(actor, Scope::Platform, Noun::Orphan)?;
    app.store.orphan_remove(&proof, id).await.map_err(|error| match error {
        OrphanRemoveError::NotOurs(orphan) => {
            RemoveError::NotOurs { proof: orphan.seen.proof, reason: orphan.seen.reason }
        }
        OrphanRemoveError::Over(state) => RemoveError::Over(state),
        OrphanRemoveError::Store(error) => FindError::of_write(error, Noun::Orphan).into(),
    })
}
