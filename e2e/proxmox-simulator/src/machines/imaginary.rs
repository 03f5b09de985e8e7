//! Machines that only take the time that machines take: nothing runs, but the guest agent answers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Hardware, Interface, MachineError, Machines, Output};
use crate::nocloud::Seed;
use crate::option::drive::Properties;

/// Machines that are not there.
#[derive(Debug)]
pub struct Imaginary {
    boot: Duration,
    shutdown: Duration,
    machines: Mutex<BTreeMap<u32, Machine>>,
}

#[derive(Debug)]
struct Machine {
    hardware: Hardware,
    seed: Option<Seed>,
    since: Instant,
    goes_off: Option<Instant>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Imaginary {
    /// Machines that take so long to boot and to shut down.
    #[must_use]
    pub fn new(boot: Duration, shutdown: Duration) -> Self {
        Self { boot, shutdown, machines: Mutex::default() }
    }

    /// What was on the CD that a machine booted with.
    #[must_use]
    pub fn seed(&self, vm: u32) -> Option<Seed> {
        self.running().get(&vm)?.seed.clone()
    }

    /// A file that was written through the agent.
    #[must_use]
    pub fn file(&self, vm: u32, path: &str) -> Option<Vec<u8>> {
        self.running().get(&vm)?.files.get(path).cloned()
    }

    /// The machines that are on now.
    fn running(&self) -> MutexGuard<'_, BTreeMap<u32, Machine>> {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        machines.retain(|_, machine| machine.goes_off.is_none_or(|end| now < end));
        machines
    }
}

#[async_trait]
impl Machines for Imaginary {
    async fn start(&self, hardware: Hardware) -> Result<(), MachineError> {
        // A CD that is no seed is an ordinary CD.
        let seed = hardware.cd.as_ref().and_then(|cd| Seed::read(cd).ok());
        let since = Instant::now();
        let vm = hardware.vm;
        let machine = Machine { hardware, seed, since, goes_off: None, files: BTreeMap::new() };
        self.running().insert(vm, machine);
        Ok(())
    }

    async fn stop(&self, vm: u32) -> Result<(), MachineError> {
        self.running().remove(&vm);
        Ok(())
    }

    async fn shut_down(&self, vm: u32) -> Result<(), MachineError> {
        if let Some(machine) = self.running().get_mut(&vm) {
            machine.goes_off.get_or_insert(Instant::now() + self.shutdown);
        }
        Ok(())
    }

    fn is_running(&self, vm: u32) -> bool {
        self.running().contains_key(&vm)
    }

    async fn resume(&self, hardware: Hardware) -> bool {
        self.start(hardware).await.is_ok()
    }

    async fn plug(&self, _vm: u32, _is_plugged: bool) -> Result<(), MachineError> {
        Ok(())
    }

    async fn interfaces(&self, vm: u32) -> Option<Vec<Interface>> {
        let machines = self.running();
        let machine = machines.get(&vm)?;
        let has_booted = machine.since.elapsed() >= self.boot;
        has_booted.then(|| machine.interfaces())
    }

    async fn run(&self, vm: u32, command: &[String], _input: &str) -> Result<Output, MachineError> {
        let is_there = self.is_running(vm);
        if is_there {
            return Ok(Output {
                code: 0,
                out: format!("{}\n", command.join(" ")),
                err: String::new(),
            });
        }
        Err(MachineError("QEMU guest agent is not running".into()))
    }

    async fn write_file(&self, vm: u32, path: &str, content: &[u8]) -> Result<(), MachineError> {
        if let Some(machine) = self.running().get_mut(&vm) {
            machine.files.insert(path.into(), content.into());
        }
        Ok(())
    }

    async fn discard(&self, _vm: u32) {}

    async fn end(&self) {}
}

impl Machine {
    fn interfaces(&self) -> Vec<Interface> {
        let loopback = Interface {
            name: "lo".into(),
            mac: "00:00:00:00:00:00".into(),
            addresses: vec![(IpAddr::from([127, 0, 0, 1]), 8)],
        };
        let cards = self.hardware.cards.iter().enumerate().map(|(index, card)| Interface {
            name: format!("ens{}", 18 + index),
            mac: card.mac.to_lowercase(),
            addresses: self.addresses(index, &card.mac),
        });
        std::iter::once(loopback).chain(cards).collect()
    }

    /// What the seed says, else what the built-in cloud-init says, else one that nobody chose.
    fn addresses(&self, index: usize, mac: &str) -> Vec<(IpAddr, u8)> {
        if let Some(found) = self.seed.as_ref().and_then(|seed| seed.addresses(mac)) {
            return found;
        }
        let key = format!("ipconfig{index}");
        let given = self.hardware.ip_configs.get(&key).and_then(|text| {
            let (address, prefix) = Properties::parse(text)
                .get("ip")?
                .split_once('/')
                .map(|(a, p)| (a.parse(), p.parse()))?;
            Some((address.ok()?, prefix.ok()?))
        });
        let [_, _, high, low] = self.hardware.vm.to_be_bytes();
        vec![given.unwrap_or((IpAddr::from([10, 99, high, low]), 16))]
    }
}
