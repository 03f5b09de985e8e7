//! What goes wrong in the world itself: in Proxmox VE, by people, in the host cluster.

use super::{
    accidents::Goes,
    it::fake,
    tenant,
    world::{NUMBER, World},
};
use domain::OperationId;
use http::Method;
use proxmox_simulator::Act;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::sleep;

/// How long it lasts what somebody puts right again.
const LASTS: Duration = Duration::from_secs(30);

/// How long a machine that starts up is left in peace: its kubelet has registered by then.
const BOOTS: Duration = Duration::from_secs(8);

/// One thing that happens in the world.
pub(super) struct Accident {
    pub(super) name: &'static str,
    pub(super) happens: &'static [Happens],
    /// What happens after a while.
    pub(super) then: &'static [Happens],
}

/// How it happens.
pub(super) enum Happens {
    /// Something goes wrong with the next call of Proxmox VE that has this method and path.
    Call(Goes, &'static str, &'static str),
    /// Somebody does something to the machine, or to the node of Proxmox VE that it is on.
    Act(fn(&Place) -> Act),
    /// The same, and from then on the machine is theirs.
    Taken(fn(&Place) -> Act),
    /// The same, and from then on there is no machine.
    Robbed(fn(&Place) -> Act),
    /// The node of Proxmox VE starts the machine, if that starts with it.
    StartsUp,
    /// Somebody makes a machine with the number that is the node's and has no machine.
    MovesIn,
    /// Requests to the host cluster whose path contains this fail.
    Host(Method, &'static str, fake::Fault, usize),
    /// Somebody asks for the node to be given up.
    Cancel,
    /// Somebody deletes the tenant.
    Deleted,
}

/// Where the machine is, or is going to be.
pub(super) struct Place {
    pub(super) vm: u32,
    pub(super) node: String,
}

impl Accident {
    pub(super) async fn happen(&'static self, world: &Arc<World>, id: OperationId) {
        for happens in self.happens {
            happens.happen(world, id).await;
        }
        if !self.then.is_empty() {
            let world = Arc::clone(world);
            tokio::spawn(async move {
                sleep(LASTS).await;
                for happens in self.then {
                    happens.happen(&world, id).await;
                }
            });
        }
    }
}

impl Happens {
    async fn happen(&self, world: &World, id: OperationId) {
        if matches!(self, Self::Deleted) {
            return tenant::delete(world, Some(id)).await;
        }
        let operation = super::history::operation(world, id).await;
        let node = world.node(operation.node.expect("it is about a node")).await;
        let place = Place {
            vm: node.vm.map_or(NUMBER, |vm| vm.0),
            node: node.place.unwrap_or_else(|| "pve1".to_owned()),
        };
        match self {
            Self::Call(goes, method, path) => {
                world.simulator.inject(goes.fault(method, path));
            }
            Self::Act(act) => world.simulator.act(act(&place)).await.expect("it is there"),
            Self::Robbed(act) => {
                world.is_robbed.store(true, Ordering::Relaxed);
                world.simulator.act(act(&place)).await.expect("it is there");
            }
            Self::Taken(act) => {
                world.is_robbed.store(true, Ordering::Relaxed);
                world.simulator.act(act(&place)).await.expect("it is there");
                world.others().adopt(&world.simulator, place.vm);
            }
            Self::StartsUp => {
                world.start_up(place.vm).await;
                sleep(BOOTS).await;
            }
            Self::MovesIn => {
                world.move_in(place.vm).await;
                world.others().adopt(&world.simulator, place.vm);
            }
            Self::Host(method, part, fault, times) => {
                world.host.fail(method.clone(), part, *fault, *times);
            }
            Self::Cancel => {
                world.store.node_release(node.id).await.expect("it is not over");
            }
            Self::Deleted => unreachable!("that is about no node"),
        }
    }
}
