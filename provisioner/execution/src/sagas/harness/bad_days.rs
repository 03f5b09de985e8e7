//! What is wrong before a machine is made: what that is told as, that nothing stays, and that it goes on when it is
//! mended.

use super::{
    history::operation,
    it::grants::{TOKEN, USER},
    node::begin_attach,
    site::Site,
    time::quickly,
    world::{Beginning, World},
};
use crate::{machines::ATTACH, sagas::executor};
use domain::{Node, Operation, OperationState, PlanName};
use proxmox_simulator::Act;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// One kind of bad day.
struct BadDay {
    name: &'static str,
    site: fn() -> Site,
    happens: fn() -> Vec<Act>,
    /// What puts it right; nothing where nobody can.
    mends: fn() -> Vec<Act>,
    ends: Ends,
}

/// What becomes of a machine that is asked for on that day.
enum Ends {
    /// A problem of this code, in which these words are.
    Refused(&'static str, &'static [&'static str]),
    /// It is made on this node of Proxmox VE.
    MadeOn(&'static str),
    /// It is made when that is mended; until then its operation says what it waits for, in these words.
    Waits(&'static [&'static str]),
}

use Ends::{MadeOn, Refused, Waits};

/// How long it may take until somebody is told what is waited for.
const PATIENCE: Duration = Duration::from_mins(3);

const DAYS: &[BadDay] = &[
    BadDay {
        name: "the templates may not be copied",
        site: Site::default,
        happens: || rights(&["/vms/9001", "/vms/9002"], "VM.Clone", true),
        mends: || rights(&["/vms/9001", "/vms/9002"], "VM.Clone", false),
        ends: Refused("proxmox-refused", &["VM.Clone", "/vms/9001"]),
    },
    BadDay {
        name: "nothing may be stored",
        site: Site::default,
        happens: || rights(&["/storage/local-lvm"], "Datastore.AllocateSpace", true),
        mends: || rights(&["/storage/local-lvm"], "Datastore.AllocateSpace", false),
        ends: Refused("proxmox-refused", &["Datastore.AllocateSpace", "/storage/local-lvm"]),
    },
    BadDay {
        name: "a template is missing on one node",
        site: Site::default,
        happens: || vec![Act::DestroyVm { vm: 9001 }],
        mends: Vec::new,
        ends: MadeOn("pve2"),
    },
    BadDay {
        name: "all templates are missing",
        site: Site::default,
        happens: || vec![Act::DestroyVm { vm: 9001 }, Act::DestroyVm { vm: 9002 }],
        mends: Vec::new,
        ends: Refused("proxmox-refused", &["9001"]),
    },
    BadDay {
        name: "all numbers are taken",
        site: || Site { numbers: 1, ..Site::default() },
        happens: Vec::new,
        mends: Vec::new,
        ends: Refused("exhausted", &["proxmox.vms"]),
    },
    BadDay {
        name: "all addresses are taken",
        site: || Site { addresses: 0, ..Site::default() },
        happens: Vec::new,
        mends: Vec::new,
        ends: Refused("exhausted", &["proxmox.addresses"]),
    },
    BadDay {
        name: "the storage of disks is away",
        site: Site::default,
        happens: || vec![Act::StorageOffline { storage: "local-lvm".to_owned() }],
        mends: || vec![Act::StorageOnline { storage: "local-lvm".to_owned() }],
        ends: Waits(&["'local-lvm' is not online"]),
    },
    BadDay {
        name: "the storage of images is away",
        site: Site::default,
        happens: || vec![Act::StorageOffline { storage: "local".to_owned() }],
        mends: || vec![Act::StorageOnline { storage: "local".to_owned() }],
        ends: Waits(&["'local' is not online"]),
    },
    BadDay {
        name: "all certificates have expired",
        site: Site::default,
        happens: || {
            let nodes = ["pve1", "pve2", "pve3"].map(str::to_owned);
            nodes.map(|node| Act::ExpireCertificate { node }).to_vec()
        },
        mends: || {
            let nodes = ["pve1", "pve2", "pve3"].map(str::to_owned);
            nodes.map(|node| Act::RenewCertificate { node }).to_vec()
        },
        ends: Refused("proxmox-refused", &["expired"]),
    },
];

/// Takes a right of Warren's token and its user away, or gives it back.
fn rights(paths: &[&str], privilege: &str, is_taken: bool) -> Vec<Act> {
    let each = paths.iter().flat_map(|path| [USER, TOKEN].map(|who| (*path, who)));
    each.map(|(path, who)| {
        let (path, who, privilege) = (path.to_owned(), who.to_owned(), privilege.to_owned());
        if is_taken {
            Act::TakePrivilege { path, who, privilege }
        } else {
            Act::GivePrivilegeBack { path, who, privilege }
        }
    })
    .collect()
}

async fn all(world: &World, acts: Vec<Act>) {
    for act in acts {
        world.simulator.act(act).await.expect("it is there");
    }
}

/// An attempt to make a machine, and its node.
async fn attempt(world: &World) -> (Operation, Node) {
    let (id, attach) = begin_attach(world, true).await;
    executor::drive(&world.process(), &ATTACH, attach).await;
    (operation(world, attach).await, world.node(id).await)
}

/// The same while somebody mends what is wrong as soon as its steps say these words. Whether they did.
async fn waited(world: &Arc<World>, words: &'static [&str], mends: Vec<Act>) -> (Operation, bool) {
    let (_, attach) = begin_attach(world, true).await;
    let mended = tokio::spawn({
        let world = Arc::clone(world);
        async move {
            let said = timeout(PATIENCE, async {
                loop {
                    sleep(Duration::from_millis(100)).await;
                    let steps = operation(&world, attach).await.steps;
                    if steps.iter().any(|step| words.iter().all(|word| step.message.contains(word)))
                    {
                        break;
                    }
                }
            });
            let is_said = said.await.is_ok();
            all(&world, mends).await;
            is_said
        }
    });
    executor::drive(&world.process(), &ATTACH, attach).await;
    let made = operation(world, attach).await;
    (made, mended.await.expect("it does not panic"))
}

#[test]
fn what_is_wrong_is_named_leaves_nothing_and_is_over_when_it_is_mended() {
    quickly(async {
        let beginning = Beginning::new().await;
        for day in DAYS {
            let world = World::at((day.site)(), &beginning, PlanName::DedicatedS, 1).await;
            all(&world, (day.happens)()).await;
            live(day, &Arc::new(world)).await;
        }
    });
}

async fn live(BadDay { name, mends, ends, .. }: &BadDay, world: &Arc<World>) {
    let is_made = |made: &Operation| {
        assert_eq!(made.state, OperationState::Succeeded, "{name}: {made:?}");
    };
    match ends {
        MadeOn(place) => {
            let (made, node) = attempt(world).await;
            is_made(&made);
            assert_eq!(node.place.as_deref(), Some(*place), "{name}");
        }
        Waits(words) => {
            let (made, is_said) = waited(world, words, mends()).await;
            assert!(is_said, "{name}: nobody was told of {words:?}");
            is_made(&made);
        }
        Refused(code, words) => {
            let (made, node) = attempt(world).await;
            let problem = made.problem.as_ref().expect(name);
            assert_eq!(problem.code, *code, "{name}: {problem:?}");
            assert!(words.iter().all(|word| problem.detail.contains(word)), "{name}: {problem:?}");
            assert!(!problem.hint.is_empty(), "{name}: {problem:?}");
            assert!(node.released_at.is_some(), "{name}: its number and address are free");
            world.simulator.settle().await;
            assert_eq!(world.others().compare(&world.simulator).0.vms.len(), 0, "{name}");
            let mends = mends();
            if !mends.is_empty() {
                all(world, mends).await;
                is_made(&attempt(world).await.0);
            }
        }
    }
}
