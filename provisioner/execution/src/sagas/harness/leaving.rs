//! A tenant is deleted while something is done about its nodes or its plan: nothing of it is left anywhere.

use super::{
    accident::{Accident, Happens},
    check::{self, Violations, ensure},
    history::{Case, Outcome, Rehearsed},
    mishap::{Mishap, Way, What, When},
    node, plan_change, tenant,
    world::World,
};
use domain::Operation;
use futures::{FutureExt as _, future::BoxFuture};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longer than every part of a removal takes.
const PATIENCE: Duration = Duration::from_mins(30);

static DELETED: Accident =
    Accident { name: "the tenant is deleted", happens: &[Happens::Deleted], then: &[] };

/// A deletion before and after each step, and in the middle of the longer ones.
pub(super) fn cases() -> Vec<Case> {
    let [attach, ..] = &node::SAGAS;
    let mut cases = Vec::new();
    for saga in [attach].into_iter().chain(&plan_change::SAGAS) {
        let saga: &'static Rehearsed =
            Box::leak(Box::new(Rehearsed { done: gone, undone: gone, ..*saga }));
        for step in saga.steps {
            for when in [When::Before, When::Within(12), When::After] {
                let mishap = Mishap { way: Way::Forward, step, when, what: What::Accident };
                let mishaps = vec![mishap];
                if matches!(when, When::Within(_)) && !LONG.contains(step) {
                    continue;
                }
                let accident = Some(&DELETED);
                cases.push(Case { saga, mishaps, accident, outcome: Outcome::Either });
            }
        }
    }
    cases
}

/// Steps in the middle of which there is something to be found.
const LONG: [&str; 6] = ["clone", "start", "join", "nodes", "move", "drain"];

/// The tenant is gone, and with it its nodes, its machines, and all that the host cluster had of it.
fn gone(world: &World, _: Operation) -> BoxFuture<'_, Violations> {
    async move {
        let mut violations = Violations::new();
        let tenant = world.store.tenant_get(world.tenant.id).await.expect("readable");
        if tenant.is_some_and(|tenant| tenant.deletion_requested_at.is_none()) {
            // The step was done before it waited so often.
            tenant::delete(world, None).await;
        }
        let wait = async {
            while world.store.tenant_get(world.tenant.id).await.expect("readable").is_some() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            let open = world.store.operation_open(world.tenant.id).await.expect("readable");
            return vec![format!("it is not gone after {PATIENCE:?}: {open:?}")];
        }
        let open = world.store.operation_sagas().await.expect("readable");
        ensure(&mut violations, open.is_empty(), format!("not over: {open:?}"));
        let nodes = world.store.node_of_tenant(world.tenant.id).await.expect("readable");
        ensure(&mut violations, nodes.is_empty(), format!("its nodes are {nodes:?}"));
        world.simulator.settle().await;
        let (left, _) = world.others().compare(&world.simulator);
        let left: Vec<&String> = left.vms.keys().chain(left.volumes.keys()).collect();
        ensure(&mut violations, left.is_empty(), format!("on Proxmox VE there are {left:?}"));
        world.host.objects(|objects| {
            for plural in ["nodes", "secrets", "pods", "persistentvolumes"] {
                let left = check::listed(objects, plural);
                ensure(&mut violations, left.is_empty(), format!("of {plural} there are {left:?}"));
            }
            let left = objects.within(&world.tenant.cluster.host_namespace());
            ensure(
                &mut violations,
                left.is_empty(),
                format!("in its namespace there are {left:?}"),
            );
            let names = check::expected(objects);
            ensure(&mut violations, names.is_empty(), format!("the host expects {names:?}"));
        });
        violations
    }
    .boxed()
}
