//! What the independent fake says about the client.

use crate::{
    fakepve::{FakePve, program, python},
    server::quick,
    tour::node_change,
    wire::{RELEASES, keep, keep_roles, tour},
};
use anyhow::{Context as _, Result, ensure};
use futures::TryStreamExt as _;
use proxmox_client::{
    ApiToken, Client, CloneOptions, CommandState, ConfigChange, ContentKind, Destroy, Error, Fault,
    FileName, GuestCommand, NodeName, PoolId, Repeat, ResourceKind, Settings, Shutdown, Slot,
    SnapshotName, StorageId, TaskEnd, TaskEvent, TaskFilter, Timing, Vm, VmId, VmName, VmState,
};
use serde_json::json;
use std::time::Duration;
use tokio::process::Command;

const MINUTE: Duration = Duration::from_mins(1);

fn vm(client: &Client, id: u32) -> Result<Vm> {
    Ok(client.node(&NodeName::new("pve1")?).vm(VmId::new(id)?))
}

async fn clone(client: &Client, id: u32) -> Result<Vm> {
    let options = CloneOptions::new().name(&VmName::new("warren-a")?).pool(&PoolId::new("warren")?);
    let options = options.description("owner=warren; tenant=a")?;
    vm(client, 9000)?.clone_to(VmId::new(id)?, &options).await?.finish(MINUTE).await?;
    vm(client, id)
}

#[tokio::test]
async fn every_request_is_one_that_the_public_descriptions_know() -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    for release in RELEASES {
        let file = keep(release, &tour(release).await?)?;
        let mut check = Command::new(&python);
        check.arg("-B").arg(program("check.py")).arg(release).arg(file).arg(keep_roles(release)?);
        let output = check.output().await.context("start the check")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{release}:\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_life_of_a_vm_passes() -> Result<()> {
    let Some(fake) = FakePve::start().await? else { return Ok(()) };
    let client = &fake.client;
    let version = client.version().await?;
    ensure!(client.is_free(VmId::new(120)?).await? && !client.is_free(VmId::new(9000)?).await?);
    let vm = clone(client, 120).await?;
    ensure!(!client.is_free(vm.id()).await?);
    let config = vm.config().await?;
    ensure!(config.description().trim() == "owner=warren; tenant=a", "{:?}", config.description());
    vm.change(&node_change(version)?.only_if(config.digest().context("a digest")?)).await?;
    let config = vm.config().await?;
    ensure!(config.get("cores") == Some("4") && config.name() == Some("warren-a.example.com"));
    ensure!(config.mac(0).is_some() && config.tags().iter().count() == 2);
    vm.grow_to(Slot::scsi(0)?, 40).await?.finish(MINUTE).await?;

    let events: Vec<TaskEvent> = vm.start().await?.watch(MINUTE).try_collect().await?;
    ensure!(events.last() == Some(&TaskEvent::Ended(TaskEnd::Ok)), "{events:?}");
    ensure!(vm.status().await?.state() == VmState::Running);
    vm.shutdown(Shutdown { timeout: Some(MINUTE), then_stops: true }).await?.finish(MINUTE).await?;
    ensure!(vm.status().await?.state() == VmState::Stopped);

    let name = SnapshotName::new("before")?;
    vm.snapshot_create(&name, "", false).await?.finish(MINUTE).await?;
    ensure!(vm.snapshots().await?.len() == 1);
    vm.snapshot_rollback(&name).await?.finish(MINUTE).await?;
    vm.snapshot_delete(&name).await?.finish(MINUTE).await?;

    vm.destroy(Destroy::everything()).await?.finish(MINUTE).await?;
    ensure!(client.is_free(vm.id()).await?);
    ensure!(vm.config().await.err().context("it is gone")?.is_vm_missing());
    Ok(())
}

#[tokio::test]
async fn what_the_fake_says_about_itself_is_read() -> Result<()> {
    let Some(fake) = FakePve::start().await? else { return Ok(()) };
    let client = &fake.client;
    let node = client.node(&NodeName::new("pve1")?);
    ensure!(client.nodes().await?.len() == 2);
    let vms = client.resources(Some(ResourceKind::Vm)).await?;
    ensure!(vms.iter().any(|vm| vm.vm.map(VmId::get) == Some(9000) && vm.is_template), "{vms:?}");
    ensure!(client.resources(None).await?.len() > vms.len());
    let status = client.cluster_status().await?;
    ensure!(status.is_quorate && status.members.len() == 2, "{status:?}");
    client.next_id().await?;
    client.permissions(None).await?;
    node.status().await?;
    node.time().await?;
    ensure!(node.vms().await?.len() == 3);
    ensure!(node.storages().await?.iter().any(|storage| storage.takes(ContentKind::Iso)));
    let task = vm(client, 201)?.start().await?;
    task.finish(MINUTE).await?;
    let tasks =
        node.tasks(&TaskFilter { vm: Some(VmId::new(201)?), ..TaskFilter::default() }).await?;
    ensure!(tasks.len() == 1 && tasks[0].end() == Some(TaskEnd::Ok), "{tasks:?}");
    Ok(())
}

#[tokio::test]
async fn images_come_and_go() -> Result<()> {
    let Some(fake) = FakePve::start().await? else { return Ok(()) };
    let storage = fake.client.node(&NodeName::new("pve1")?).storage(&StorageId::new("local")?);
    let name = FileName::new("seed-120.iso")?;
    storage.upload_iso(&name, &vec![7; 100_000]).await?.finish(MINUTE).await?;
    let volume = storage.iso(&name)?;
    let content = storage.content(Some(ContentKind::Iso), None).await?;
    ensure!(content.iter().any(|entry| entry.volume == volume), "{content:?}");
    storage.delete(&volume).await?.finish(MINUTE).await?;
    ensure!(storage.content(Some(ContentKind::Iso), None).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn pools_gather_vms() -> Result<()> {
    let Some(fake) = FakePve::start().await? else { return Ok(()) };
    let (client, pool) = (&fake.client, PoolId::new("tenant-a")?);
    client.pool_create(&pool, "a & b").await?;
    client.pool_add(&pool, VmId::new(201)?).await?;
    let members = client.pool_members(&pool).await?;
    ensure!(members.len() == 1 && members[0].vm == Some(VmId::new(201)?), "{members:?}");
    client.pool_remove(&pool, VmId::new(201)?).await?;
    client.pool_delete(&pool).await?;
    ensure!(client.pools().await?.iter().all(|entry| entry.id != pool));
    Ok(())
}

#[tokio::test]
async fn the_guest_agent_is_asked() -> Result<()> {
    let Some(fake) = FakePve::start().await? else { return Ok(()) };
    let guest = vm(&fake.client, 200)?.guest();
    guest.ping().await?;
    let mac = vm(&fake.client, 200)?.config().await?.mac(0);
    let interfaces = guest.interfaces().await?;
    let card = interfaces.iter().find(|card| card.mac() == mac).context("the card of net0")?;
    ensure!(card.addresses.iter().any(|address| address.ip.to_string() == "192.0.2.10"));
    let process = guest.exec(&GuestCommand::new(["systemctl", "is-active", "k3s"])?).await?;
    let CommandState::Ended(end) = guest.exec_status(process).await? else {
        anyhow::bail!("it runs")
    };
    ensure!(end.code == Some(3) && end.output == "active\n", "{end:?}");
    guest.write_file("/etc/warren/join", b"a=b;c\n").await?;
    guest.write_file("/etc/warren/join", &[0, 255]).await?;
    Ok(())
}

#[tokio::test]
async fn its_faults_have_a_kind() -> Result<()> {
    let Some(mut fake) = FakePve::start().await? else { return Ok(()) };
    let client = fake.client.clone();
    let fault = |error: Error| error.fault().cloned().with_context(|| format!("{error:?}"));

    let taken = clone(&client, 201).await.err().context("the number is taken")?;
    let taken = taken.downcast_ref::<Error>().and_then(Error::fault).cloned();
    ensure!(taken == Some(Fault::AlreadyExists), "{taken:?}");

    let running = vm(&client, 200)?.destroy(Destroy::default()).await.err().context("it runs")?;
    ensure!(fault(running)? == Fault::Running);

    let down = vm(&client, 201)?.guest().ping().await.err().context("no agent")?;
    ensure!(matches!(fault(down)?, Fault::AgentDown | Fault::NotRunning));

    let change = ConfigChange::new().cores(2)?.only_if("0123456789012345678901234567890123456789");
    let changed = vm(&client, 201)?.change(&change).await.err().context("another digest")?;
    ensure!(fault(changed)? == Fault::DigestMismatch);

    let bad = ConfigChange::new().option("cores", "many")?;
    let bad = vm(&client, 201)?.change(&bad).await.err().context("no number")?;
    let Fault::BadParameter { fields } = fault(bad)? else { anyhow::bail!("another fault") };
    ensure!(fields[0].field == "cores", "{fields:?}");

    let gone = vm(&client, 999)?.config().await.err().context("not there")?;
    ensure!(gone.is_vm_missing(), "{gone:?}");

    fake.set(201, json!({ "lock": "backup" })).await?;
    let locked =
        vm(&client, 201)?.change(&ConfigChange::new().cores(2)?).await.err().context("locked")?;
    ensure!(fault(locked)? == Fault::Locked { lock: "backup".to_owned() });
    fake.set(201, json!({ "lock": null, "config": { "protection": 1 } })).await?;
    let result = match vm(&client, 201)?.destroy(Destroy::default()).await {
        Ok(task) => task.finish(MINUTE).await.map(|_| ()),
        Err(error) => Err(error),
    };
    ensure!(fault(result.err().context("protected")?)? == Fault::Protected);

    fake.tell(json!({ "call": "lose_quorum" })).await?;
    let change = ConfigChange::new().cores(2)?;
    let quorum = vm(&client, 201)?.change(&change).await.err().context("no majority")?;
    ensure!(fault(quorum)? == Fault::NoQuorum);
    fake.tell(json!({ "call": "regain_quorum" })).await?;

    fake.tell(json!({ "node": "pve2", "online": false })).await?;
    let silent = client.node(&NodeName::new("pve2")?).vms().await.err().context("silent")?;
    ensure!(fault(silent)? == Fault::NodeUnreachable);
    Ok(())
}

#[tokio::test]
async fn a_wrong_secret_is_refused() -> Result<()> {
    let Some(fake) = FakePve::start().await? else { return Ok(()) };
    let token = ApiToken::new("warren@pve!control", "wrong".to_owned())?;
    let client = Client::new(Settings { token, ..fake.settings.clone() })?;
    let error = client.nodes().await.err().context("refused")?;
    ensure!(matches!(error, Error::Unauthorized { was_sent: true, .. }), "{error:?}");
    Ok(())
}

/// Goes on as a saga does: what may be repeated is, and what may have happened is looked for first. Returns
/// how often it had to look.
async fn insist(client: &Client, source: &Vm, new: VmId) -> Result<usize> {
    let mut looks = 0;
    for _ in 0..50 {
        let error = match source.clone_to(new, &CloneOptions::new()).await {
            Ok(task) => return task.finish(MINUTE).await.map(|_| looks).context("the clone"),
            Err(error) => error,
        };
        let Error::OutcomeUnknown { sent, .. } = &error else {
            ensure!(error.repeat() == Repeat::Later, "{error:?}");
            continue;
        };
        looks += 1;
        // Clones of one template look alike. When none is under way any more, the number tells.
        for task in client.find_task(sent).await? {
            client.task(task.upid).wait(MINUTE).await?;
        }
        if !client.is_free(new).await? {
            return Ok(looks);
        }
    }
    anyhow::bail!("it was tried often enough")
}

#[tokio::test]
async fn over_a_bad_network_every_clone_is_made_once() -> Result<()> {
    let Some(mut fake) = FakePve::start().await? else { return Ok(()) };
    let timing = Timing { reads: 30, read_pause: Duration::from_millis(1), ..quick() };
    let client = Client::new(Settings { timing, ..fake.settings.clone() })?;
    let template = vm(&client, 9000)?;
    let network = json!({ "drop_rate": 0.3, "seed": 7 });
    fake.tell(json!({ "call": "flaky_network", "named": network })).await?;
    fake.tell(json!({ "lose": 0.3 })).await?;
    let mut looks = 0;
    for number in 300..310 {
        looks += insist(&client, &template, VmId::new(number)?).await?;
    }
    ensure!(looks > 0, "nothing was lost");
    fake.tell(json!({ "call": "flaky_network" })).await?;
    fake.tell(json!({ "lose": 0 })).await?;
    let filter = TaskFilter { kind: Some("qmclone".to_owned()), ..TaskFilter::default() };
    let tasks = client.node(&NodeName::new("pve1")?).tasks(&filter).await?;
    ensure!(
        tasks.len() == 10 && tasks.iter().all(|task| task.end() == Some(TaskEnd::Ok)),
        "{tasks:?}"
    );
    Ok(())
}
