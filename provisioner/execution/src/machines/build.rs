//! The steps in which a machine is made.

use super::{
    capacity,
    owned::{self, Machine, busy, invalid, look, look_for, number, of_proxmox, placed},
    power,
};
use crate::{
    machines::{NodeContext, OwnNode},
    sagas::{Step, StepError},
};
use async_trait::async_trait;
use domain::{Capacity, Needs};
use futures::StreamExt as _;
use jiff::SignedDuration;
use proxmox_client::{
    CloneOptions, ConfigChange, Destroy, Fault, Fields, MacAddress, Net, NetModel, NodeName, Slot,
    Smbios, Task, TaskEnd, TaskEvent, Vm, VmConfig, VmId, VmName,
};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// How long a template's disk may take to be copied.
const CLONE: SignedDuration = SignedDuration::from_mins(20);
/// What to do about a node of Proxmox VE without a template.
const NO_TEMPLATE: &str = "make one there, or mend what the configuration of Proxmox VE says of templates; `warren doctor proxmox` shows \
     those that are found";
/// How long one of the cluster's other tasks may take.
const TASK: Duration = Duration::from_mins(4);

/// Takes a number and an address that nobody has.
#[derive(Debug)]
pub(super) struct Reserve;

#[async_trait]
impl Step<OwnNode> for Reserve {
    fn name(&self) -> &'static str {
        "reserve"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let (store, settings) = (&cx.cx.store, &cx.subject.machines.settings);
        let id = cx.subject.node.id;
        let address = match &settings.addresses {
            None => None,
            Some(addresses) => {
                let found = store.node_reserve_address(id, addresses.range.clone()).await;
                let found = found?;
                Some(found.ok_or_else(|| exhausted("addresses"))?)
            }
        };
        loop {
            let found = store.node_reserve_vm(id, settings.vms.clone()).await;
            let number = found?.ok_or_else(|| exhausted("vms"))?;
            let vm = VmId::new(number.0).map_err(|error| invalid(&error))?;
            if cx.subject.machines.client.is_free(vm).await.map_err(of_proxmox)? {
                let address =
                    address.map_or_else(|| "an address from DHCP".to_owned(), |a| a.to_string());
                return Ok(format!("machine {vm}, {address}"));
            }
            // Whoever repeats this step may find its own machine.
            let node = store.node_get(id).await?;
            let node = node.ok_or_else(power::gone)?;
            if let Machine::Ours { .. } = look_for(&cx.subject.machines, &node).await? {
                return Ok(format!("machine {vm}"));
            }
            store.node_refuse_vm(id, "somebody else's machine has it").await?;
        }
    }

    async fn undo(&self, _: &NodeContext<'_>) -> Result<String, StepError> {
        Ok("number and address are free again; the number rests for a day".to_owned())
    }
}

/// Something of which the configuration has too little.
fn exhausted(key: &str) -> StepError {
    let detail = format!("proxmox.{key} is used up: all of it is taken or rests");
    StepError::fail(
        "exhausted",
        detail,
        format!("give more in the configuration key proxmox.{key}, or release nodes"),
    )
}

/// Copies the template.
#[derive(Debug)]
pub(super) struct Clone;

#[async_trait]
impl Step<OwnNode> for Clone {
    fn name(&self) -> &'static str {
        "clone"
    }

    fn deadline(&self) -> SignedDuration {
        CLONE
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let id = number(&cx.subject.node)?.ok_or_else(power::gone)?;
        match look(cx).await? {
            Machine::Ours { vm, .. } => return Ok(format!("machine {id} is on {}", vm.node())),
            Machine::Foreign(what) => {
                return Err(StepError::fail(
                    "number-taken",
                    what,
                    "it is tried anew with another number",
                ));
            }
            Machine::Absent => {}
        }
        let Copy { place, template, task, turn } = self.begin(cx, id).await?;
        follow(cx, &task).await?;
        // Whoever is next need not wait until this one has looked at what it got.
        drop(turn);
        match look(cx).await? {
            Machine::Ours { .. } => Ok(format!("machine {id} on {place}, of template {template}")),
            Machine::Absent => {
                Err(StepError::Retry("the clone is done and its machine is not there".to_owned()))
            }
            Machine::Foreign(what) => {
                Err(StepError::fail("number-taken", what, "it is tried anew with another number"))
            }
        }
    }

    async fn undo(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        destroy(cx).await
    }
}

/// A template that is being copied.
struct Copy {
    place: NodeName,
    template: VmId,
    task: Task,
    turn: Option<OwnedSemaphorePermit>,
}

impl Clone {
    /// Begins to copy, elsewhere if it is refused in one place: a template may be missing on one node of Proxmox VE, or
    /// a storage be away.
    async fn begin(&self, cx: &NodeContext<'_>, id: VmId) -> Result<Copy, StepError> {
        let mut refused: Vec<(NodeName, StepError)> = Vec::new();
        loop {
            let Some(place) = self.place(cx, &refused).await? else {
                return Err(refused.swap_remove(0).1);
            };
            match self.begin_on(cx, id, &place).await {
                Err(StepError::Fail(why)) => {
                    tracing::warn!(%place, why = why.detail, "no template is copied there");
                    refused.push((place, StepError::Fail(why)));
                }
                begun => return begun,
            }
        }
    }

    async fn begin_on(
        &self,
        cx: &NodeContext<'_>,
        id: VmId,
        place: &NodeName,
    ) -> Result<Copy, StepError> {
        let machines = &cx.subject.machines;
        let templates = machines.templates().await.map_err(of_proxmox)?;
        let template = templates.get(place).copied().ok_or_else(|| {
            let detail = format!("there is no template for machines on {place}");
            StepError::fail("template-missing", detail, NO_TEMPLATE)
        })?;
        let storage = capacity::disk_storage(machines, place, template).await;
        let storage = storage.map_err(of_proxmox)?;
        cx.progress.say("it waits for its turn: a storage takes few clones at the same time").await;
        let turn = cx.progress.turn(machines.turns.wait(place, storage.as_ref())).await?;
        cx.progress.say(format!("template {template} is being copied")).await;
        let source = machines.client.node(place).vm(template);
        let task = source.clone_to(id, &options(cx)?).await.map_err(of_proxmox)?;
        Ok(Copy { place: place.clone(), template, task, turn })
    }

    /// Where the machine is to be: where it was to be, else where the fewest of ours are, of those that are there and
    /// have room; where that is doubtful only if it is so everywhere. Nothing if all of them have refused.
    async fn place(
        &self,
        cx: &NodeContext<'_>,
        refused: &[(NodeName, StepError)],
    ) -> Result<Option<NodeName>, StepError> {
        let is_refused = |name: &NodeName| refused.iter().any(|(refused, _)| refused == name);
        if let Some(place) = placed(&cx.subject.node)?.filter(|place| !is_refused(place)) {
            return Ok(Some(place));
        }
        let (machines, shape) = (&cx.subject.machines, cx.subject.node.shape);
        // Until this one's place is in the record, the next one would choose the same.
        let _alone = machines.placing.lock().await;
        let nodes = cx.cx.store.node_open().await?;
        let mut room = capacity::look(machines, &nodes).await.map_err(of_proxmox)?;
        room.places.retain(|name, _| !is_refused(name));
        if room.places.is_empty() && !refused.is_empty() {
            return Ok(None);
        }
        if room.places.is_empty() {
            return Err(StepError::Retry(
                "no node of Proxmox VE that has a template is there".to_owned(),
            ));
        }
        let fits = room.places.iter().map(|(name, place)| (place.holds(shape), place.load, name));
        let possible = fits.filter(|(fit, ..)| fit.is_possible());
        let best = possible.min_by_key(|(fit, load, name)| (fit.is_tight(), *load, *name));
        let Some((fit, _, best)) = best else {
            let one = Needs { machines: 1, ..Needs::default() };
            let capacity = Capacity { bounds: room.bounds(shape) }.needing(&one);
            return Err(capacity.blocker().map_or_else(power::gone, StepError::Fail));
        };
        if fit.is_tight() {
            let node = &cx.subject.node.name;
            tracing::warn!(node.name = %node, place = %best, "memory or disk there does only as long as not all of it is used");
        }
        cx.cx.store.node_place(cx.subject.node.id, best.as_str()).await?;
        Ok(Some(best.clone()))
    }
}

fn options(cx: &NodeContext<'_>) -> Result<CloneOptions, StepError> {
    let settings = &cx.subject.machines.settings;
    let name = VmName::new(cx.subject.node.name.as_str()).map_err(|error| invalid(&error))?;
    let description = owned::description(&settings.installation, &cx.subject.node);
    let options = CloneOptions::new().name(&name).pool(&settings.pool);
    let options = options.description(&description).map_err(|error| invalid(&error))?;
    Ok(match &settings.storage {
        Some(storage) => options.full(Some(storage)),
        None => options,
    })
}

/// Follows a task to its end and says how far it is.
async fn follow(cx: &NodeContext<'_>, task: &Task) -> Result<(), StepError> {
    let mut events = std::pin::pin!(task.watch(Duration::try_from(CLONE).unwrap_or(TASK)));
    while let Some(event) = events.next().await {
        match event.map_err(of_proxmox)? {
            TaskEvent::Progress(progress) => {
                cx.progress.say(format!("copied {:.0} %", progress.percent)).await;
            }
            TaskEvent::Line(_) => {}
            TaskEvent::Ended(TaskEnd::Failed { fault: Fault::LockTimeout, text }) => {
                return Err(busy(&text));
            }
            TaskEvent::Ended(TaskEnd::Failed { text, .. }) => return Err(StepError::Retry(text)),
            TaskEvent::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) => return Ok(()),
        }
    }
    Err(StepError::Retry("the clone was lost sight of".to_owned()))
}

/// Destroys the machine if it is ours, and proves that nothing of it is left.
pub(super) async fn destroy(cx: &NodeContext<'_>) -> Result<String, StepError> {
    power::off(cx).await?;
    let vm = match look(cx).await? {
        Machine::Absent => return Ok("there is no machine".to_owned()),
        Machine::Foreign(what) => return Ok(format!("nothing of it is left: {what}")),
        Machine::Ours { vm, .. } => vm,
    };
    delete_disks(&vm).await?;
    let task = vm.destroy(Destroy::everything()).await.map_err(of_proxmox)?;
    task.finish(TASK).await.map_err(of_proxmox)?;
    match look(cx).await? {
        Machine::Ours { .. } => {
            Err(StepError::Retry("it was destroyed and is still there".to_owned()))
        }
        Machine::Absent | Machine::Foreign(_) => Ok(format!("machine {} is destroyed", vm.id())),
    }
}

/// Deletes the disks of a machine that is off. They go before it: a token that has its rights from a pool sees no disk of
/// a machine that is gone, and a removal that could not delete one only warns of it.
async fn delete_disks(vm: &Vm) -> Result<(), StepError> {
    // What is taken out of its slot is kept as an unused disk; taken away from there it is deleted.
    for _ in 0..2 {
        let config = vm.config().await.map_err(of_proxmox)?;
        let disks = config.iter().filter(|(option, value)| is_disk(option, value));
        let change = disks.map(|(option, _)| option);
        let change = change.into_iter().try_fold(ConfigChange::new(), ConfigChange::remove);
        let change = change.map_err(|error| invalid(&error))?;
        if change.is_empty() {
            return Ok(());
        }
        vm.change(&change).await.map_err(of_proxmox)?;
    }
    let config = vm.config().await.map_err(of_proxmox)?;
    match config.iter().find(|(option, value)| is_disk(option, value)) {
        None => Ok(()),
        Some((option, value)) => {
            Err(StepError::Retry(format!("{option} was deleted and is still there: {value}")))
        }
    }
}

/// Whether an option is a disk of the machine's own.
fn is_disk(option: &str, value: &str) -> bool {
    let is_drive = option.parse::<Slot>().is_ok()
        || ["unused", "efidisk", "tpmstate"].iter().any(|kind| option.starts_with(kind));
    is_drive && holds_volume(&Fields::read(value))
}

/// Whether there is something in a drive, and it is no disc.
pub(crate) fn holds_volume(drive: &Fields) -> bool {
    drive.get("media") != Some("cdrom") && drive.first().is_some_and(|volume| volume != "none")
}

/// Gives the machine its size and its network card.
#[derive(Debug)]
pub(super) struct Configure;

#[async_trait]
impl Step<OwnNode> for Configure {
    fn name(&self) -> &'static str {
        "configure"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let Machine::Ours { vm, config } = look(cx).await? else { return Err(power::gone()) };
        let hardware = cx.subject.node.shape.hardware();
        vm.change(&change(cx)?).await.map_err(of_proxmox)?;
        let disk = first_disk(&config).ok_or_else(|| {
            let hint = "make the template with a disk to start from";
            StepError::fail("template-without-disk", "the template has no disk", hint)
        })?;
        let gibibytes = u32::try_from(hardware.disk.0 >> 30).unwrap_or(u32::MAX);
        let grown = vm.grow_to(disk, gibibytes).await.map_err(of_proxmox)?;
        grown.finish(TASK).await.map_err(of_proxmox)?;
        Ok(format!("{} CPUs, {}, disk of {}", hardware.cpus, hardware.memory, hardware.disk))
    }

    async fn undo(&self, _: &NodeContext<'_>) -> Result<String, StepError> {
        Ok("goes with the machine".to_owned())
    }
}

/// The disk that the template starts from.
pub(crate) fn first_disk(config: &VmConfig) -> Option<Slot> {
    config.drives().find(|(_, drive)| holds_volume(drive)).map(|(slot, _)| slot)
}

fn change(cx: &NodeContext<'_>) -> Result<ConfigChange, StepError> {
    let hardware = cx.subject.node.shape.hardware();
    let cpus = u16::try_from(hardware.cpus).unwrap_or(u16::MAX);
    let memory_mebibytes = u32::try_from(hardware.memory.0 >> 20).unwrap_or(u32::MAX);
    let of_invalid = |error: proxmox_client::Invalid| invalid(&error);
    let settings = &cx.subject.machines.settings;
    let mac = MacAddress::new(cx.subject.node.hardware_address.as_str()).map_err(of_invalid)?;
    let mut net = Net::new(NetModel::Virtio, settings.bridge.clone()).mac(mac);
    if let Some(vlan) = settings.vlan {
        net = net.vlan(vlan).map_err(of_invalid)?;
    }
    let machine = Smbios::new().uuid(&cx.subject.node.machine.to_string()).map_err(of_invalid)?;
    let change = ConfigChange::new().cores(cpus).and_then(|change| change.memory(memory_mebibytes));
    let change = change.and_then(|change| change.net(0, &net));
    let change = change.and_then(|change| change.smbios(&machine)).map_err(of_invalid)?;
    Ok(change.starts_with_node(true))
}

/// Switches the machine on.
#[derive(Debug)]
pub(super) struct Start;

#[async_trait]
impl Step<OwnNode> for Start {
    fn name(&self) -> &'static str {
        "start"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        power::on(cx).await
    }

    async fn undo(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        // It may have registered, whether anybody has seen that or not.
        power::leave(cx).await
    }
}
