//! The use cases: every front door calls these, and nothing else.
//!
//! One module per noun, one function per verb. A use case finds the thing, asks the policy table,
//! checks what the caller sent, and writes once.

pub mod access;
pub mod account;
pub mod attachment;
pub mod audit;
pub mod blob;
pub mod blobs;
mod choice;
pub mod doctor;
mod draft;
pub mod error;
pub mod housekeeping;
pub mod log;
pub mod node;
pub mod numbers;
pub mod operation;
pub mod organisation;
pub mod orphan;
pub mod password;
pub mod plan;
pub mod plan_batch;
pub mod plan_change;
mod result_schema;
pub mod run;
pub mod session;
pub mod tenant;
pub mod token;
mod trace;
mod wait;

pub use draft::Draft;
pub use store::{Artifact, Blob, Created, IdempotencyKey, StoreError, Token};

use crate::{access::TenantAccess, blobs::Blobs};
use domain::{Clock, IdGen};
use std::sync::Arc;
use store::Store;

/// Everything that use cases need. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The record.
    pub store: Store,
    /// The bytes of inputs, logs, results and artifacts.
    pub blobs: Blobs,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers, also those of requests that bring none.
    pub ids: Arc<dyn IdGen>,
    /// The way to tenants' clusters and to the host.
    pub access: Arc<dyn TenantAccess>,
    /// Whether nodes can be made for tenants.
    pub makes_nodes: bool,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// Its items, in the order of the list.
    pub items: Vec<T>,
    /// Where the next page starts; nothing after the last one.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Cuts a page of `limit` items from up to `limit + 1` that were read.
    fn cut(mut items: Vec<T>, limit: u64, cursor: impl Fn(&T) -> C) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| is_more).map(cursor);
        Self { items, next }
    }
}
