//! How many numbers and addresses are left for machines.

use super::{Obstacle, ask, cluster::Cluster, list};
use crate::{MachineSettings, doctor::Check};
use domain::{Node, VmNumber};
use futures::{StreamExt as _, stream};
use proxmox_client::{Client, Error, VmId};
use std::collections::BTreeSet;
use store::{Store, StoreError};

const NUMBERS: &str = "machine-numbers";
const ADDRESSES: &str = "addresses";

/// How many numbers are asked for one by one: those that are given next.
const PROBES: usize = 100;
/// Questions that are asked at the same time.
const AT_ONCE: usize = 8;

/// What the record says is in use.
#[derive(Debug)]
pub(super) struct Record {
    nodes: Vec<Node>,
    resting: Vec<VmNumber>,
}

/// Which of the next numbers somebody else has. Most of those machines a token may not see, but whether a number is taken
/// is told to everybody.
#[derive(Debug, Default)]
pub(super) struct Probe {
    asked: usize,
    taken: BTreeSet<u32>,
    obstacle: Option<Obstacle>,
}

impl Record {
    pub(super) async fn read(store: &Store) -> Result<Self, StoreError> {
        Ok(Self { nodes: store.node_open().await?, resting: store.node_resting_vms().await? })
    }

    /// The numbers of machines that are Warren's.
    fn ours(&self) -> BTreeSet<u32> {
        self.nodes.iter().filter_map(|node| Some(node.vm?.0)).collect()
    }

    fn resting(&self) -> BTreeSet<u32> {
        self.resting.iter().map(|number| number.0).collect()
    }
}

impl Probe {
    pub(super) async fn look(
        client: &Client,
        settings: &MachineSettings,
        record: Option<&Record>,
    ) -> Self {
        let Some(record) = record else { return Self::default() };
        let (ours, resting) = (record.ours(), record.resting());
        let next = settings.vms.clone().filter(|vm| !ours.contains(vm) && !resting.contains(vm));
        let next: Vec<u32> = next.take(PROBES).collect();
        let asked = next.len();
        let questions = stream::iter(next).map(async |number| {
            let vm = VmId::new(number)?;
            Ok::<_, Error>((number, client.is_free(vm).await?))
        });
        let mut answers = questions.buffer_unordered(AT_ONCE);
        let mut taken = BTreeSet::new();
        let all = async {
            while let Some(answer) = answers.next().await {
                let (number, is_free) = answer?;
                if !is_free {
                    taken.insert(number);
                }
            }
            Ok(())
        };
        let obstacle = ask(all).await.err();
        drop(answers);
        Self { asked, taken, obstacle }
    }
}

pub(super) fn machines(cluster: &Cluster, settings: &MachineSettings, record: &Record) -> Check {
    let (range, probe) = (&settings.vms, &cluster.numbers);
    if let Some(obstacle) = &probe.obstacle {
        return Check::bad(NUMBERS, obstacle.to_string(), "see that the cluster answers");
    }
    let within = |numbers: BTreeSet<u32>| -> BTreeSet<u32> {
        numbers.into_iter().filter(|number| range.contains(number)).collect()
    };
    let (ours, resting) = (within(record.ours()), within(record.resting()));
    let seen = cluster.machines.iter().flatten().filter_map(|machine| machine.vm).map(VmId::get);
    let mut others = within(seen.chain(probe.taken.iter().copied()).collect());
    others.retain(|number| !ours.contains(number) && !resting.contains(number));
    let total = count(*range.start(), *range.end());
    let free = total - ours.union(&resting).count() - others.len();
    let (first, last) = (range.start(), range.end());
    let (ours, resting) = (ours.len(), resting.len());
    let strangers = if others.is_empty() {
        String::new()
    } else {
        format!(", others have {} and keep them", list(&others))
    };
    let rest = if probe.asked < free + probe.taken.len() {
        format!("; only the next {} were asked for", probe.asked)
    } else {
        String::new()
    };
    let told = format!(
        "{first}-{last}: {free} are free, {ours} Warren's, {resting} rest{strangers}{rest}"
    );
    if free == 0 {
        let advice = "give more in proxmox.vms, or release nodes";
        return Check::bad(NUMBERS, told, advice);
    }
    Check::ok(NUMBERS, told)
}

pub(super) fn addresses(settings: &MachineSettings, record: &Record) -> Check {
    let Some(addresses) = &settings.addresses else {
        return Check::ok(ADDRESSES, "machines ask for theirs (DHCP)");
    };
    let (first, last) = (addresses.range.start(), addresses.range.end());
    let total = count(first.to_bits(), last.to_bits());
    let used: BTreeSet<_> = record.nodes.iter().filter_map(|node| node.address).collect();
    let used = used.iter().filter(|address| addresses.range.contains(*address)).count();
    let free = total.saturating_sub(used);
    let told = format!("{first}-{last}: {free} of {total} are free");
    if free == 0 {
        let advice = "give more in proxmox.addresses.range, or release nodes";
        return Check::bad(ADDRESSES, told, advice);
    }
    Check::ok(ADDRESSES, told)
}

/// How many there are from the first to the last.
fn count(first: u32, last: u32) -> usize {
    usize::try_from(u64::from(last - first) + 1).unwrap_or(usize::MAX)
}
