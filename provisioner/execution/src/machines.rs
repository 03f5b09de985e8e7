//! Tenants' own nodes: machines on Proxmox VE that join the host cluster, and leave it again.

mod build;
mod capacity;
mod care;
mod drain;
mod exclusive;
mod halt;
mod host;
mod image;
mod join;
mod owned;
mod power;
mod seed;
mod settings;
mod sweep;
mod templates;
mod turns;

pub(crate) use build::{first_disk, holds_volume};
pub(crate) use capacity::{LookError, for_machines};
#[cfg(test)]
pub(crate) use care::look as look_after;
pub(crate) use care::run as care;
pub(crate) use drain::evict;
pub(crate) use exclusive::{look_at, run as watch_exclusivity};
pub(crate) use host::cordon;
pub(crate) use seed::seed_slot;
pub use settings::{Addresses, MachineSettings};
#[cfg(test)]
pub(crate) use sweep::look as look_for_orphans;
pub(crate) use sweep::run as sweep;
pub use templates::Templates;

use crate::{
    Context,
    sagas::{Saga, Step as _, StepContext, Subject},
};
use async_trait::async_trait;
use domain::{Exclusivity, Node, Operation, OperationId, Problem, TenantId};
use exclusive::Statements;
use jiff::Timestamp;
use proxmox_client::Client;
use std::{fmt, sync::Arc};
use store::{NodeEnd, StoreError};
use tokio::sync::Mutex;
use turns::Turns;

/// Makes a machine and lets it join.
pub(crate) static ATTACH: Saga<OwnNode> = Saga {
    steps: &[
        &build::Reserve,
        &build::Clone,
        &build::Configure,
        &seed::Seed,
        &join::Admit,
        &build::Start,
        &join::Join,
        &join::Verify,
        &seed::Tidy,
    ],
    end: NodeEnd::Ready,
    commit: None,
};

/// Empties a node and destroys its machine. It only goes forward: whoever gives a node up has no use for it any more,
/// and a node of which nobody would say that it is there again must not be left half empty.
pub(crate) static RELEASE: Saga<OwnNode> = Saga {
    steps: &[
        &drain::Cordon,
        &drain::Drain,
        &drain::Stop,
        &drain::Remove,
        &drain::Destroy,
        &drain::Absence,
    ],
    end: NodeEnd::Released(None),
    commit: Some("cordon"),
};

/// Empties a node and switches its machine off, which stays as it is. Up to its switch everything can be taken back.
pub(crate) static STOP: Saga<OwnNode> = Saga {
    steps: &[&halt::Close, &halt::Empty, &halt::SwitchOff],
    end: NodeEnd::Stopped,
    commit: Some("stop"),
};

/// Switches the machine of a node on, proves it again and lets pods onto it. If it does not come back it is off again.
pub(crate) static START: Saga<OwnNode> = Saga {
    steps: &[&halt::SwitchOn, &halt::ProveAgain, &halt::Open],
    end: NodeEnd::Ready,
    commit: None,
};

/// Both, one after the other. Up to the switch everything can be taken back; a machine that does not come back after it
/// stays off.
pub(crate) static REBOOT: Saga<OwnNode> = Saga {
    steps: &[
        &halt::Close,
        &halt::Empty,
        &halt::SwitchOff,
        &halt::SwitchOn,
        &halt::ProveAgain,
        &halt::Open,
    ],
    end: NodeEnd::Ready,
    commit: None,
};

/// What the steps of those sagas are about.
#[derive(Debug)]
pub(crate) struct OwnNode {
    machines: Machines,
    /// The node as it was when the step began.
    node: Node,
    /// The operation that empties it, and when that began; nothing where none does.
    emptied: Option<(OperationId, Timestamp)>,
}

type NodeContext<'a> = StepContext<'a, OwnNode>;

#[async_trait]
impl Subject for OwnNode {
    type End = NodeEnd;

    async fn load(cx: &Context, operation: &Operation) -> Result<Self, StoreError> {
        let (Some(machines), Some(node)) = (&cx.machines, operation.node) else {
            return Err(StoreError::Refused("an operation about a node has machines and a node"));
        };
        let node = cx.store.node_get(node).await?.ok_or(StoreError::NotFound)?;
        let now = cx.clock.now();
        let drained = operation.steps.iter().find(|step| step.name == drain::Drain.name());
        Ok(Self {
            machines: machines.clone(),
            node,
            emptied: drained.map(|step| (operation.id, step.started_at.unwrap_or(now))),
        })
    }

    async fn end(cx: &Context, operation: &Operation, end: NodeEnd) -> Result<(), StoreError> {
        cx.store.node_end(operation, end).await
    }

    fn undone(problem: Option<Problem>) -> NodeEnd {
        NodeEnd::Undone(problem)
    }
}

/// Where machines are made, and how. Cheap to clone.
#[derive(Clone)]
pub struct Machines {
    pub(crate) client: Client,
    pub(crate) settings: Arc<MachineSettings>,
    /// Who may copy a template now.
    turns: Arc<Turns>,
    /// Held by whoever chooses where a machine is made, so that no two take the same for the emptiest.
    placing: Arc<Mutex<()>>,
    /// Held by whoever writes the list of expected nodes, so that no older list is written over a newer one.
    pub(crate) expected: Arc<Mutex<()>>,
    /// Who was last seen on tenants' nodes.
    statements: Statements,
}

impl fmt::Debug for Machines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machines").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Machines {
    /// Machines that are made by way of `client`.
    #[must_use]
    pub fn new(client: Client, settings: MachineSettings) -> Self {
        let turns = Arc::new(Turns::new(settings.clones_at_once));
        Self {
            client,
            settings: Arc::new(settings),
            turns,
            placing: Arc::default(),
            expected: Arc::default(),
            statements: Statements::default(),
        }
    }

    /// What the last look found about who runs on a tenant's own nodes; nothing before the first one.
    #[must_use]
    pub fn exclusivity(&self, tenant: TenantId) -> Option<Exclusivity> {
        self.statements.of(tenant)
    }
}
