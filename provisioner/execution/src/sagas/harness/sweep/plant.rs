//! Things that are left over, made as they come to be.

use super::super::{
    history::{operation, run},
    mishap::Trouble,
    node::begin_attach,
    world::World,
};
use crate::machines::ATTACH;
use domain::{Node, OperationState};
use futures::FutureExt as _;
use jiff::SignedDuration;
use planning::machine::render_token;
use proxmox_client::{
    CloneOptions, ConfigChange, Destroy, FileName, NodeName, Slot, Vm, VmId, VmName,
};
use serde_json::json;
use std::time::Duration;
use store::NodeEnd;

const PATIENCE: Duration = Duration::from_mins(1);

/// Attaches a node, and lets the record say that it is released although nobody released it: what a record knows that
/// was restored, or what a bug leaves. Machine, node and password are there.
pub(super) async fn leave(world: &World) -> Node {
    let (id, attach) = begin_attach(world, true).await;
    let trouble = Trouble::new(Vec::new(), Box::new(|| async {}.boxed()));
    run(world, &ATTACH, attach, &trouble).await;
    assert_eq!(operation(world, attach).await.state, OperationState::Succeeded);
    let release = world.store.node_release(id).await.expect("writable");
    world.store.node_end(&release, NodeEnd::Released(None)).await.expect("it is open");
    world.node(id).await
}

fn place(node: &Node) -> NodeName {
    node.place.as_deref().expect("it is somewhere").parse().expect("a name")
}

fn vm_of(world: &World, node: &Node) -> Vm {
    let number = VmId::new(node.vm.expect("it has one").0).expect("a number");
    world.root().node(&place(node)).vm(number)
}

/// Destroys the machine as somebody does who detached its disk first.
pub(super) async fn disk(world: &World, node: &Node) {
    let vm = vm_of(world, node);
    vm.stop().await.expect("it may").finish(PATIENCE).await.expect("nothing keeps it");
    let slot = Slot::scsi(0).expect("a slot");
    let change = ConfigChange::new().remove(&slot.to_string()).expect("an option");
    vm.change(&change).await.expect("it is off");
    let act = proxmox_simulator::Act::SetOption {
        vm: node.vm.expect("it has one").0,
        key: "unused0".to_owned(),
        value: None,
    };
    world.simulator.act(act).await.expect("anything may happen");
    let task = vm.destroy(Destroy::default()).await.expect("it may");
    task.finish(PATIENCE).await.expect("it is off");
}

/// Uploads an image with the name of a node's.
pub(super) async fn image(world: &World, node: &str) {
    let storage = "local".parse().expect("a name");
    let storage = world.root().node(&"pve1".parse().expect("a name")).storage(&storage);
    let name = FileName::new(format!("{node}.iso")).expect("a name");
    let uploaded = storage.upload_iso(&name, &[0; 4096]).await.expect("it may");
    uploaded.finish(PATIENCE).await.expect("there is room");
}

/// A join token of a node that lives on.
pub(super) fn token(world: &World, node: &Node) {
    let at = node.created_at + SignedDuration::from_hours(1);
    let rendered = render_token(node, ("abcdef", "0123456789abcdef"), at);
    world.host.objects(|objects| objects.put("v1", "secrets", rendered.body));
}

/// A node of the host cluster that Warren did not make.
pub(super) fn node(world: &World, name: &str, provider: &str) {
    let node = json!({ "metadata": { "name": name }, "spec": { "providerID": provider } });
    world.host.objects(|objects| objects.put("v1", "nodes", node));
}

/// Somebody makes a machine in Warren's pool with this number, name and description.
pub(super) async fn machine(world: &World, number: u32, name: &str, description: &str) {
    let place = world.root().node(&"pve1".parse().expect("a name"));
    let template = place.vm(VmId::new(9001).expect("a number"));
    let options = CloneOptions::new()
        .name(&VmName::new(name).expect("a name"))
        .pool(&"warren".parse().expect("a name"))
        .description(description)
        .expect("a description");
    let cloned = template.clone_to(VmId::new(number).expect("a number"), &options).await;
    cloned.expect("it may").finish(PATIENCE).await.expect("there is room");
}
