//! What the use cases need of the world: implemented by the binary with the provisioner's parts.

use async_trait::async_trait;
use domain::{
    Acting, Capacity, Exclusivity, LocalVolume, NodeName, PlanName, Subscription, Survey, TenantId,
};
use jiff::Timestamp;
use secrecy::SecretString;
use std::{error::Error, fmt};

/// The way to tenants' clusters and to the host cluster.
#[async_trait]
pub trait TenantAccess: Send + Sync + fmt::Debug {
    /// What a reconcile of the tenant would change now, without changing it.
    ///
    /// # Errors
    /// If the host cluster cannot be read.
    async fn explain(&self, tenant: TenantId) -> Result<Explanation, AccessError>;

    /// A kubeconfig with a short-lived credential of the actor for the tenant's API server.
    ///
    /// # Errors
    /// If the tenant has no keys yet.
    async fn kubeconfig(
        &self,
        tenant: TenantId,
        actor: &Acting,
    ) -> Result<SecretString, AccessError>;

    /// What the last look found about who runs on a tenant's own nodes; nothing if it has none, or was not looked at
    /// yet.
    ///
    /// # Errors
    /// If the host cluster has not answered yet.
    async fn exclusivity(&self, tenant: TenantId) -> Result<Option<Exclusivity>, AccessError>;

    /// What of a tenant would have to move if it paid for `to`.
    ///
    /// # Errors
    /// If the host cluster or the tenant's does not answer.
    async fn survey(&self, tenant: TenantId, to: Subscription) -> Result<Survey, AccessError>;

    /// The volumes of a tenant that lie on the disk of a node.
    ///
    /// # Errors
    /// If the host cluster does not answer.
    async fn volumes_on(
        &self,
        tenant: TenantId,
        node: &NodeName,
    ) -> Result<Vec<LocalVolume>, AccessError>;

    /// How much room there is for those who come to `plan`: for machines of its shape, or on the nodes that everybody
    /// uses.
    ///
    /// # Errors
    /// If Proxmox VE or the host cluster does not answer.
    async fn capacity(&self, plan: PlanName) -> Result<Capacity, AccessError>;

    /// Checks that the host cluster can do what Warren needs.
    async fn host_check(&self) -> Vec<Check>;

    /// Checks that the cluster of Proxmox VE can do what nodes of tenants need.
    async fn proxmox_check(&self) -> Vec<Check>;
}

/// What a reconcile would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// When the host was looked at.
    pub observed_at: Timestamp,
    /// The changes that it would make, in their order; nothing when all is as it should be.
    pub changes: Vec<PlannedChange>,
    /// What it waits for, in words.
    pub waiting_for: Vec<String>,
}

/// One object that a reconcile would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// What would be done to it.
    pub action: ChangeAction,
    /// Its kind, e.g. `StatefulSet`.
    pub kind: String,
    /// Its namespace; nothing for an object of the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Why: what is missing or differs.
    pub reason: String,
}

/// What can be done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeAction {
    /// Make it.
    Create,
    /// Bring it to its desired form.
    Update,
    /// Remove it.
    Delete,
    /// Nothing can be done without losing something; a person has to look.
    Damage,
}

/// One thing that was looked at by a doctor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Stable name in kebab-case.
    pub name: String,
    /// Whether it is as it should be.
    pub is_ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do; empty when all is well.
    pub way_out: String,
}

/// Why the world did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The tenant is not far enough.
    #[error("the tenant is not ready: {reason}")]
    NotReady {
        /// In words, for the caller.
        reason: String,
    },
    /// It cannot be reached now; worth another try.
    #[error("the cluster cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// Something that trying again does not repair.
    #[error("the cluster could not be used")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}
