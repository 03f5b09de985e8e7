//! Checks that the cluster of Proxmox VE can do what Warren needs for tenants' nodes, by asking it. Nothing is changed there.
//!
//! Questions go in four rounds, each with a deadline: every API host by itself; what the whole cluster says; what its
//! nodes say; which rights the token has. What is not answered in time is a finding.

mod cluster;
mod endpoint;
mod network;
mod numbers;
mod privileges;
mod storages;
mod templates;

use super::Check;
use crate::Machines;
use cluster::Cluster;
use domain::Clock;
use endpoint::Endpoint;
use futures::future::join_all;
use proxmox_client::{BridgeEntry, Client, Error, Fault, NodeName, StorageEntry, VmId};
use std::{fmt, time::Duration};
use store::Store;
use templates::Template;

/// How long one question may take. There are four rounds, and whoever asks the doctor waits for half a minute.
const ANSWER: Duration = Duration::from_secs(6);

/// Why a question was not answered.
#[derive(Debug)]
enum Obstacle {
    /// Nothing came.
    Silent,
    Error(Error),
}

type Answer<T> = Result<T, Obstacle>;

/// What a node says about where machines are made on it.
#[derive(Debug)]
struct Place {
    node: NodeName,
    storages: Answer<Vec<StorageEntry>>,
    bridges: Answer<Vec<BridgeEntry>>,
    template: Template,
}

/// Looks at everything that machines need, in the order in which a problem should be mended.
pub async fn examine_proxmox(machines: &Machines, store: &Store, clock: &dyn Clock) -> Vec<Check> {
    let settings = &machines.settings;
    let (endpoint, record) =
        tokio::join!(Endpoint::look(&machines.client, clock), numbers::Record::read(store));
    let token = machines.client.token_id();
    let Some((client, version)) = endpoint.usable() else {
        // Whatever else is wrong cannot be seen.
        let mut checks = endpoint.judge(&token, 0);
        checks.extend(record.ok().map(|record| numbers::addresses(settings, &record)));
        return checks;
    };
    let cluster = Cluster::look(client, settings, record.as_ref().ok()).await;
    let templates = settings.templates.among(cluster.machines.as_deref().unwrap_or_default());
    let present = templates.iter().filter(|(node, _)| cluster.is_online(node));
    let places = present.map(|(node, template)| Place::look(client, node, *template));
    let places = join_all(places).await;
    let privileges = privileges::check(client, settings, version, (&templates, &places)).await;

    let mut checks = endpoint.judge(&token, cluster.offline().len());
    checks.extend([
        privileges,
        cluster::pool(&cluster, settings),
        cluster::nodes(&cluster, settings, &templates),
        cluster::quorum(&cluster),
        storages::disks(settings, &places),
        storages::seeds(settings, &places),
        network::check(settings, &places),
        templates::check(&cluster, settings, (&templates, &places)),
    ]);
    checks.extend(templates::drives(&places));
    checks.extend(templates::agents(&places));
    match record {
        Ok(record) => {
            checks.push(numbers::machines(&cluster, settings, &record));
            checks.push(numbers::addresses(settings, &record));
        }
        Err(error) => checks.push(Check::bad(
            "machine-numbers",
            format!("the record does not tell which are in use: {error}"),
            "see `warren doctor` about the record",
        )),
    }
    checks
}

impl Place {
    async fn look(client: &Client, name: &NodeName, template: VmId) -> Self {
        let node = client.node(name);
        let template = Template::look(client, name, template);
        let (storages, bridges, template) =
            tokio::join!(ask(node.storages()), ask(node.bridges()), template);
        Self { node: name.clone(), storages, bridges, template }
    }
}

/// Waits for an answer, but not for ever.
async fn ask<T>(question: impl Future<Output = Result<T, Error>>) -> Answer<T> {
    match tokio::time::timeout(ANSWER, question).await {
        Ok(answer) => answer.map_err(Obstacle::Error),
        Err(_) => Err(Obstacle::Silent),
    }
}

impl Obstacle {
    fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Silent => None,
            Self::Error(error) => error.fault(),
        }
    }

    fn is_forbidden(&self) -> bool {
        matches!(self.fault(), Some(Fault::Forbidden { .. }))
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(f, "no answer within {} s", ANSWER.as_secs()),
            Self::Error(error) => f.write_str(&error.with_sources()),
        }
    }
}

/// A verdict on findings: each with what to do about it, none if all is well.
fn verdict(name: &'static str, well: impl Into<String>, findings: &[(String, String)]) -> Check {
    if findings.is_empty() {
        return Check::ok(name, well);
    }
    let (found, mut ways_out): (Vec<_>, Vec<_>) = findings.iter().cloned().unzip();
    ways_out.dedup();
    Check::bad(name, found.join("; "), ways_out.join("; "))
}

/// Some things by their names.
fn list<T: fmt::Display>(things: impl IntoIterator<Item = T>) -> String {
    things.into_iter().map(|thing| thing.to_string()).collect::<Vec<_>>().join(", ")
}
