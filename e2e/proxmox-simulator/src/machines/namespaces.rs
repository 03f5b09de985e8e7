//! Machines that are real to Kubernetes: namespaces of this machine with a containerd and a kubelet of their own,
//! which read the CD of their VM and join with what stands there.

mod agent;
mod cable;
mod cgroups;
mod clean;
mod command;
mod furnish;
mod inside;
mod parts;
mod settings;
mod store;

pub use clean::clean;
pub use inside::{first, second};
pub use settings::{Image, Peer, Programs, Route, Settings, Switch};

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use serde_json::Value;

use super::{Hardware, Interface, MachineError, Machines, Output};
use crate::nocloud::Seed;
use command::capture;
use inside::Order;

/// How long a machine without power may take to vanish.
const VANISH: Duration = Duration::from_secs(20);

/// Machines in namespaces. The program that uses them must take the orders `machine FILE` and `machine-boot FILE`
/// ([`first`], [`second`]), and run on a runtime with several threads.
#[derive(Debug)]
pub struct Namespaces {
    settings: Settings,
    running: Mutex<BTreeMap<u32, Running>>,
}

#[derive(Debug)]
struct Running {
    /// `unshare`, whose end ends the machine.
    child: Child,
    order: Order,
    /// Where its pods are.
    pods: Option<Route>,
}

impl Running {
    fn is_on(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The first process of the machine, as this machine counts.
    fn first(&self) -> Option<u32> {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }
}

impl Namespaces {
    /// Machines of these settings. What an earlier simulator left is removed.
    ///
    /// # Errors
    /// If the leftovers cannot be removed.
    pub fn new(settings: Settings) -> Result<Self> {
        std::fs::create_dir_all(&settings.folder)
            .with_context(|| format!("make {}", settings.folder.display()))?;
        clean::end_leftovers(&settings)?;
        Ok(Self { settings, running: Mutex::default() })
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<u32, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn_on(&self, hardware: Hardware) -> Result<()> {
        let vm = hardware.vm;
        self.turn_off(vm)?;
        let mut running = self.running();
        let count =
            running.values_mut().filter_map(|machine| machine.is_on().then_some(())).count();
        ensure!(
            count < self.settings.most,
            "no more than {} machines run here",
            self.settings.most
        );
        let disk = self.settings.disk(vm);
        renew_disk(&disk, hardware.uuid.as_deref().unwrap_or_default())?;
        let seed = seed(&disk, &hardware)?;
        let address = hardware.cards.first().zip(seed.as_ref());
        let address = address.and_then(|(card, seed)| cable::address(seed, &card.mac));
        let pods = address.map(|via| Route { network: self.settings.pods_of(via), via });
        let own = self.settings.peers.iter().filter_map(|peer| peer.pods.clone());
        let others = running.values().filter_map(|machine| machine.pods.clone());
        let order = Order {
            settings: self.settings.clone(),
            hardware,
            seed,
            routes: own.chain(others).collect(),
            machine_cores: std::thread::available_parallelism()
                .map_or(1, |count| count.get() as u64),
            machine_memory_mib: memory_mib(),
        };
        let _ = std::fs::remove_file(order.booted());
        if let Some(store) = &self.settings.image_store {
            store::link(store, &disk.join("containerd"))?;
        }
        cgroups::create(&self.settings.parts_group(vm))?;
        cgroups::create(&self.settings.pods_group(vm))?;
        if let Some(route) = &pods {
            cable::announce(&self.settings, route)?;
        }
        let child = launch(&disk, &order)?;
        if let Some(route) = &pods {
            running.values().filter_map(Running::first).for_each(|other| cable::tell(other, route));
        }
        running.insert(vm, Running { child, order, pods });
        Ok(())
    }

    /// Cuts the power and waits until nothing is left.
    fn turn_off(&self, vm: u32) -> Result<()> {
        let Some(mut machine) = self.running().remove(&vm) else { return Ok(()) };
        // It may have gone off by itself.
        let _ = machine.child.kill();
        machine.child.wait().context("wait for the machine")?;
        if let Some(route) = &machine.pods {
            cable::withdraw(&self.settings, route);
        }
        let _ = std::fs::remove_file(machine.order.booted());
        let began = Instant::now();
        for group in [self.settings.pods_group(vm), self.settings.parts_group(vm)] {
            while let Err(error) = cgroups::delete(&group) {
                ensure!(began.elapsed() < VANISH, "{error:#}");
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        cgroups::delete_if_empty(&self.settings.cgroup);
        Ok(())
    }

    /// A command inside a machine.
    fn enter(&self, vm: u32) -> Option<Command> {
        let first = self.running().get(&vm)?.first()?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={first}"));
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--"]);
        Some(command)
    }

    fn addresses(&self, vm: u32) -> Option<Vec<Interface>> {
        let booted = self.running().get(&vm)?.order.booted();
        if !booted.exists() {
            return None;
        }
        let text = capture(self.enter(vm)?.args(["ip", "-json", "address"])).ok()?;
        let list: Vec<Value> = serde_json::from_str(&text).ok()?;
        Some(list.iter().map(interface).collect())
    }

    fn execute(&self, vm: u32, command: &[String], input: &[u8]) -> Result<Output> {
        let mut inside = self.enter(vm).context("the machine is off")?;
        inside.args(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = inside.spawn().context("start the command")?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command need not read it.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().context("wait for the command")?;
        Ok(Output {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// Throws away the disk of another machine that had the id.
fn renew_disk(disk: &Path, uuid: &str) -> Result<()> {
    let mark = disk.join("uuid");
    if disk.exists() && std::fs::read_to_string(&mark).ok().as_deref() != Some(uuid) {
        std::fs::remove_dir_all(disk).with_context(|| format!("remove {}", disk.display()))?;
    }
    std::fs::create_dir_all(disk).with_context(|| format!("make {}", disk.display()))?;
    std::fs::write(mark, uuid).context("mark the disk")
}

/// What the machine was told at its first start, unless another seed lies in its drive now.
fn seed(disk: &Path, hardware: &Hardware) -> Result<Option<Seed>> {
    let path = disk.join("seed.json");
    let kept =
        std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Seed>(&text).ok());
    let given = hardware.cd.as_ref().and_then(|cd| match Seed::read(cd) {
        Ok(seed) => Some(seed),
        Err(error) => {
            tracing::warn!(vm = hardware.vm, "{:#}", anyhow::Error::from(error));
            None
        }
    });
    match (kept, given) {
        (Some(kept), Some(given)) if kept.meta.instance_id == given.meta.instance_id => {
            Ok(Some(kept))
        }
        (_, Some(given)) => {
            std::fs::write(&path, serde_json::to_vec(&given)?).context("keep the seed")?;
            Ok(Some(given))
        }
        (kept, None) => Ok(kept),
    }
}

fn launch(disk: &Path, order: &Order) -> Result<Child> {
    let file = disk.join("order.json");
    std::fs::write(&file, serde_json::to_vec(order)?).context("write the order")?;
    let console =
        std::fs::OpenOptions::new().create(true).append(true).open(disk.join("console.log"));
    let console = console.context("open the console")?;
    let own = std::env::current_exe().context("find this program")?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]);
    command.args(["--mount-proc", "--propagation", "private", "--"]);
    command.arg(own).arg("machine").arg(file);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::piped()).stdout(console.try_clone()?).stderr(console);
    command.spawn().context("start the machine")
}

fn memory_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn interface(entry: &Value) -> Interface {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let addresses = entry["addr_info"].as_array().into_iter().flatten().filter_map(|info| {
        let address: IpAddr = info["local"].as_str()?.parse().ok()?;
        Some((address, u8::try_from(info["prefixlen"].as_u64()?).ok()?))
    });
    Interface { name: text("ifname"), mac: text("address"), addresses: addresses.collect() }
}

fn told<T>(result: Result<T>) -> Result<T, MachineError> {
    result.map_err(|error| MachineError(format!("{error:#}")))
}

#[async_trait]
impl Machines for Namespaces {
    async fn start(&self, hardware: Hardware) -> Result<(), MachineError> {
        told(tokio::task::block_in_place(|| self.turn_on(hardware)))
    }

    async fn stop(&self, vm: u32) -> Result<(), MachineError> {
        told(tokio::task::block_in_place(|| self.turn_off(vm)))
    }

    async fn shut_down(&self, vm: u32) -> Result<(), MachineError> {
        let mut running = self.running();
        let stdin = running.get_mut(&vm).and_then(|machine| machine.child.stdin.as_mut());
        match stdin {
            // One that went off meanwhile does not listen.
            Some(stdin) => told(writeln!(stdin, "shutdown").context("press the power button")),
            None => Ok(()),
        }
    }

    fn is_running(&self, vm: u32) -> bool {
        self.running().get_mut(&vm).is_some_and(Running::is_on)
    }

    async fn resume(&self, _hardware: Hardware) -> bool {
        // Machines end with their simulator, as they do with their node.
        false
    }

    async fn plug(&self, vm: u32, is_plugged: bool) -> Result<(), MachineError> {
        let running = self.running();
        let bridge = running.get(&vm).and_then(|machine| machine.order.hardware.cards.first());
        let Some(card) = bridge else { return Err(MachineError("the machine is off".into())) };
        told(cable::plug(&self.settings, &card.bridge, vm, is_plugged))
    }

    async fn interfaces(&self, vm: u32) -> Option<Vec<Interface>> {
        tokio::task::block_in_place(|| self.addresses(vm))
    }

    async fn run(&self, vm: u32, command: &[String], input: &str) -> Result<Output, MachineError> {
        told(tokio::task::block_in_place(|| self.execute(vm, command, input.as_bytes())))
    }

    async fn write_file(&self, vm: u32, path: &str, content: &[u8]) -> Result<(), MachineError> {
        let command = ["sh", "-c", "cat > \"$1\"", "sh", path].map(str::to_owned);
        let output = tokio::task::block_in_place(|| self.execute(vm, &command, content));
        match told(output)? {
            Output { code: 0, .. } => Ok(()),
            output => Err(MachineError(output.err.trim().to_owned())),
        }
    }

    async fn discard(&self, vm: u32) {
        let disk = self.settings.disk(vm);
        let removed = tokio::task::block_in_place(|| std::fs::remove_dir_all(&disk));
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(vm, "its disk is not removed: {error}");
        }
    }

    async fn end(&self) {
        let all: Vec<u32> = self.running().keys().copied().collect();
        for vm in all {
            if let Err(error) = tokio::task::block_in_place(|| self.turn_off(vm)) {
                tracing::error!(vm, "it does not end: {error:#}");
            }
        }
    }
}
