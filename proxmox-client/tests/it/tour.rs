//! Every call of the client, once and with every option.

use anyhow::{Result, ensure};
use proxmox_client::{
    Agent, Boot, Bridge, Client, CloneOptions, CloudInitPart, CommandState, ConfigChange,
    ContentKind, CustomCloudInit, Destroy, Drive, FileName, GuestCommand, HostPci, Ip4, Ip6,
    IpConfig, MacAddress, Net, NetModel, Node, NodeName, PoolId, ResourceKind, Shutdown, Slot,
    Smbios, SnapshotName, StorageId, Tag, TaskFilter, Version, Vm, VmId, VmName, VolumeId,
};
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);

/// What the tour works with; all of it must exist where it is taken.
pub(crate) struct Places {
    pub(crate) node: NodeName,
    pub(crate) other_node: NodeName,
    pub(crate) template: VmId,
    pub(crate) vm: VmId,
    pub(crate) new: VmId,
    pub(crate) storage: StorageId,
    pub(crate) pool: PoolId,
}

impl Places {
    pub(crate) fn usual() -> Result<Self> {
        Ok(Self {
            node: NodeName::new("pve1")?,
            other_node: NodeName::new("pve2")?,
            template: VmId::new(9000)?,
            vm: VmId::new(120)?,
            new: VmId::new(121)?,
            storage: StorageId::new("local")?,
            pool: PoolId::new("warren")?,
        })
    }
}

/// Makes every call.
pub(crate) async fn every_call(client: &Client, places: &Places) -> Result<()> {
    let version = client.version().await?;
    let node = client.node(&places.node);
    let vm = node.vm(places.vm);
    cluster(client, places, version).await?;
    whole_node(&node, places).await?;
    storage(&node, places).await?;
    clone(&node, places).await?;
    configure(&vm, version, places).await?;
    power(&vm, version).await?;
    snapshots(&vm).await?;
    guest(&vm).await?;
    tasks(&vm).await?;
    vm.make_template().await?.finish(MINUTE).await?;
    vm.destroy(Destroy::everything()).await?.finish(MINUTE).await?;
    Ok(())
}

async fn cluster(client: &Client, places: &Places, version: Version) -> Result<()> {
    client.permissions(None).await?;
    client.permissions(Some("/pool/warren")).await?;
    let nodes = client.nodes().await?;
    ensure!(nodes.iter().any(|node| node.name == places.node && node.status == "online"));
    let all = client.resources(None).await?;
    ensure!(
        all.iter().any(|resource| resource.vm == Some(places.template) && resource.is_template)
    );
    for kind in [ResourceKind::Vm, ResourceKind::Node, ResourceKind::Storage] {
        client.resources(Some(kind)).await?;
    }
    let status = client.cluster_status().await?;
    ensure!(status.is_quorate && status.members.iter().any(|member| member.is_local));
    client.next_id().await?;
    client.is_free(places.new).await?;
    client.pools().await?;
    client.pool_create(&places.pool, "ours").await?;
    client.pool_add(&places.pool, places.vm).await?;
    client.pool_members(&places.pool).await?;
    client.pool_remove(&places.pool, places.vm).await?;
    client.pool_delete(&places.pool).await?;
    if version >= Version::V8_1 {
        client.pool_members(&PoolId::new("warren/a")?).await?;
    }
    Ok(())
}

async fn whole_node(node: &Node, places: &Places) -> Result<()> {
    node.status().await?;
    node.time().await?;
    let bridges = node.bridges().await?;
    ensure!(bridges.iter().all(|bridge| !bridge.name.is_empty()), "{bridges:?}");
    let vms = node.vms().await?;
    ensure!(vms.iter().any(|vm| vm.id == places.template && vm.is_template));
    let filter = TaskFilter {
        vm: Some(places.template),
        kind: Some("qmclone".to_owned()),
        since: Some(1_700_000_000),
        limit: Some(20),
    };
    node.tasks(&filter).await?;
    node.tasks(&TaskFilter::default()).await?;
    Ok(())
}

async fn storage(node: &Node, places: &Places) -> Result<()> {
    let storages = node.storages().await?;
    ensure!(storages.iter().any(|storage| storage.id == places.storage && storage.is_active));
    let storage = node.storage(&places.storage);
    storage.content(None, None).await?;
    storage.content(Some(ContentKind::Iso), None).await?;
    storage.content(Some(ContentKind::Images), Some(places.vm)).await?;
    let name = FileName::new("seed-120.iso")?;
    storage.upload_iso(&name, b"not quite an image").await?.finish(MINUTE).await?;
    storage.delete(&storage.iso(&name)?).await?.finish(MINUTE).await?;
    Ok(())
}

async fn clone(node: &Node, places: &Places) -> Result<()> {
    let template = node.vm(places.template);
    let linked = CloneOptions::new().name(&VmName::new("warren-a")?).pool(&places.pool);
    template
        .clone_to(places.new, &linked.description("tenant=a; owner=warren & co")?)
        .await?
        .finish(MINUTE)
        .await?;
    let full = CloneOptions::new().full(Some(&places.storage)).target(&places.other_node);
    template.clone_to(VmId::new(122)?, &full).await?.finish(MINUTE).await?;
    let snapshot = CloneOptions::new().full(None).snapshot(&SnapshotName::new("before")?);
    node.vm(places.vm).clone_to(VmId::new(123)?, &snapshot).await?.finish(MINUTE).await?;
    Ok(())
}

/// A change of every option that a node of a cluster needs.
pub(crate) fn node_change(version: Version) -> Result<ConfigChange> {
    let address = "10.1.0.7/24".parse()?;
    let v4 = Ip4::Static { address, gateway: Some("10.1.0.1".parse()?) };
    let net = Net::new(NetModel::Virtio, Bridge::new("vmbr0")?)
        .mac(MacAddress::new("BC:24:11:00:00:01")?)
        .vlan(7)?
        .mtu(1450)?
        .queues(2)?
        .rate(100)
        .firewall(true)
        .link_down(false);
    let change = ConfigChange::new()
        .name(&VmName::new("warren-a.example.com")?)
        .description("tenant=a; owner=warren")?
        .tags(&[Tag::new("warren")?, Tag::new("k3s")?].into_iter().collect())
        .cores(4)?
        .sockets(1)?
        .memory(8192)?
        .net(0, &net)?
        .ip_config(0, IpConfig::both(v4, Ip6::Auto))?
        .agent(Agent::enabled().trims_clones(true))
        .starts_with_node(true)
        .protection(false)
        .user("warren")?
        .password(&"hunter2".into())
        .ssh_keys(&["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA+/= a@b"])?
        .name_servers(&["10.1.0.1".parse()?])?
        .search_domain(&VmName::new("example.com")?);
    Ok(if version >= Version::V8_0 { change.upgrades_at_first_start(false) } else { change })
}

async fn configure(vm: &Vm, version: Version, places: &Places) -> Result<()> {
    let config = vm.config().await?;
    vm.running_config().await?;
    ensure!(vm.pending().await?.iter().all(|option| option.key == "cores"));
    vm.change(&node_change(version)?.only_if(config.digest().unwrap_or_default())).await?;
    let storage = &places.storage;
    let change = ConfigChange::new()
        .processor("host")?
        .boot(&Boot::drive(Slot::scsi(0)?).then_drive(Slot::ide(2)?).then_net(0))
        .drive(
            Slot::scsi(1)?,
            &Drive::new_disk(storage.clone(), 8).discard(true).ssd(true).io_thread(true),
        )?
        .drive(Slot::ide(2)?, &Drive::disc(VolumeId::new(format!("{storage}:iso/seed-120.iso"))?))?
        .drive(Slot::ide(3)?, &Drive::cloud_init(storage.clone()))?
        .drive(Slot::sata(0)?, &Drive::no_disc())?
        .smbios(
            &Smbios::new()
                .uuid("6921b0c1-0000-4000-8000-000000000001")?
                .serial("ds=nocloud;s=https://a/b"),
        )?
        .custom_cloud_init(
            &CustomCloudInit::new().vendor(VolumeId::new(format!("{storage}:snippets/join.yaml"))?),
        )?
        .option("scsihw", "virtio-scsi-single")?;
    vm.begin_change(&change).await?.finish(MINUTE).await?;
    if version >= Version::V8_0 {
        let device = HostPci::mapping("gpu-a")?.pcie(true);
        vm.change(&ConfigChange::new().host_pci(0, &device)?).await?;
    }
    vm.change(&ConfigChange::new().unplug(Slot::ide(2)?).remove("cicustom")?).await?;
    vm.grow_to(Slot::scsi(0)?, 40).await?.finish(MINUTE).await?;
    vm.grow(Slot::scsi(0)?, 10).await?.finish(MINUTE).await?;
    vm.regenerate_cloud_init().await?;
    for part in [CloudInitPart::User, CloudInitPart::Network, CloudInitPart::Meta] {
        vm.cloud_init(part).await?;
    }
    Ok(())
}

async fn power(vm: &Vm, version: Version) -> Result<()> {
    vm.status().await?;
    vm.start().await?.finish(MINUTE).await?;
    vm.stop().await?.finish(MINUTE).await?;
    if version >= Version::V8_2 {
        vm.stop_overruling_shutdown().await?.finish(MINUTE).await?;
    }
    vm.shutdown(Shutdown { timeout: Some(MINUTE), then_stops: true }).await?.finish(MINUTE).await?;
    vm.reboot(Some(MINUTE)).await?.finish(MINUTE).await?;
    vm.reset().await?.finish(MINUTE).await?;
    Ok(())
}

async fn snapshots(vm: &Vm) -> Result<()> {
    let name = SnapshotName::new("before")?;
    vm.snapshot_create(&name, "before the change", true).await?.finish(MINUTE).await?;
    vm.snapshots().await?;
    vm.snapshot_rollback(&name).await?.finish(MINUTE).await?;
    vm.snapshot_delete(&name).await?.finish(MINUTE).await?;
    Ok(())
}

async fn guest(vm: &Vm) -> Result<()> {
    let guest = vm.guest();
    guest.ping().await?;
    guest.interfaces().await?;
    let command = GuestCommand::new(["systemctl", "is-active", "k3s"])?.input("none")?;
    let process = guest.exec(&command).await?;
    let state = guest.exec_status(process).await?;
    ensure!(matches!(state, CommandState::Ended(_) | CommandState::Running));
    guest.write_file("/etc/warren/join", b"token=a;b=c\n").await?;
    guest.write_file("/etc/warren/join", &[0, 255]).await?;
    Ok(())
}

async fn tasks(vm: &Vm) -> Result<()> {
    let task = vm.start().await?;
    task.status().await?;
    task.log(0).await?;
    task.abort().await?;
    Ok(())
}
