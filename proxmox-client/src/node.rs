use crate::{
    Client, Error, NodeName, Storage, StorageEntry, StorageId, TaskEntry, TaskFilter, Vm, VmEntry,
    VmId,
    form::Form,
    request::{self, Request},
    scalar,
};
use serde::Deserialize;

/// One node of a cluster. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Node {
    client: Client,
    name: NodeName,
}

/// How a node is.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Since when it runs, in seconds.
    #[serde(default, deserialize_with = "scalar::whole")]
    pub uptime: u64,
    /// The average number of busy processes over 1, 5 and 15 minutes.
    #[serde(default)]
    loadavg: Vec<scalar::Scalar>,
    /// Its memory, in bytes.
    #[serde(default)]
    pub memory: Space,
    /// The file system that it starts from, in bytes.
    #[serde(default)]
    pub rootfs: Space,
    /// Its processors.
    #[serde(default)]
    pub cpuinfo: Processors,
    /// Its release, as text.
    #[serde(default, deserialize_with = "scalar::text")]
    pub pveversion: String,
}

/// How much there is of something, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Space {
    /// All of it.
    #[serde(default, deserialize_with = "scalar::whole")]
    pub total: u64,
    /// What is in use.
    #[serde(default, deserialize_with = "scalar::whole")]
    pub used: u64,
    /// What is not.
    #[serde(default, deserialize_with = "scalar::whole")]
    pub free: u64,
}

/// The processors of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Processors {
    /// How many threads there are.
    #[serde(default, deserialize_with = "scalar::whole")]
    pub cpus: u64,
    /// What they are.
    #[serde(default, deserialize_with = "scalar::text")]
    pub model: String,
}

/// A bridge or a virtual network that VMs of a node can be in.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct BridgeEntry {
    /// Its name.
    #[serde(rename = "iface", deserialize_with = "scalar::text")]
    pub name: String,
    /// `bridge`, `OVSBridge`, or `vnet` for a virtual network.
    #[serde(default, rename = "type", deserialize_with = "scalar::text")]
    pub kind: String,
    /// Whether it is up.
    #[serde(default, rename = "active", deserialize_with = "scalar::flag")]
    pub is_active: bool,
    #[serde(default, rename = "bridge_vlan_aware", deserialize_with = "scalar::flag")]
    tells_vlans_apart: bool,
    #[serde(default, rename = "bridge_vids", deserialize_with = "scalar::text")]
    vlans: String,
}

impl BridgeEntry {
    /// Whether a card on it can be in this VLAN. One that tells VLANs apart carries those that it was given; from any
    /// other one the node makes a bridge for each VLAN by itself.
    #[must_use]
    pub fn carries(&self, vlan: u16) -> bool {
        let is_in = |word: &str| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let ends = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
            ends.is_some_and(|(first, last)| (first..=last).contains(&vlan))
        };
        let mut words =
            self.vlans.split([' ', ',', ';']).filter(|word| !word.is_empty()).peekable();
        !self.tells_vlans_apart || words.peek().is_none() || words.any(is_in)
    }
}

#[derive(Debug, Deserialize)]
struct TimeAnswer {
    #[serde(deserialize_with = "scalar::whole")]
    time: u64,
}

impl NodeStatus {
    /// The average number of busy processes over 1, 5 and 15 minutes, as far as it is known.
    #[must_use]
    pub fn load(&self) -> Vec<f64> {
        self.loadavg.iter().filter_map(|load| load.to_string().parse().ok()).collect()
    }
}

impl Node {
    pub(crate) fn new(client: Client, name: NodeName) -> Self {
        Self { client, name }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// One of its VMs. Sends nothing, so the VM need not exist.
    #[must_use]
    pub fn vm(&self, id: VmId) -> Vm {
        Vm::new(self.client.clone(), self.name.clone(), id)
    }

    /// One of its storages. Sends nothing, so the storage need not exist.
    #[must_use]
    pub fn storage(&self, id: &StorageId) -> Storage {
        Storage::new(self.client.clone(), self.name.clone(), id.clone())
    }

    pub(crate) fn get(&self, rest: &[&str]) -> Request {
        let segments =
            ["nodes", self.name.as_str()].iter().chain(rest).copied().collect::<Vec<_>>();
        Request::get(request::path(&segments)).on(&self.name)
    }

    /// How it is: `GET /nodes/{node}/status`, with the right Sys.Audit on it.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        self.client.fetch(self.get(&["status"])).await
    }

    /// Its clock in seconds of Unix time: `GET /nodes/{node}/time`, with the right Sys.Audit on it.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn time(&self) -> Result<u64, Error> {
        let answer: TimeAnswer = self.client.fetch(self.get(&["time"])).await?;
        Ok(answer.time)
    }

    /// The VMs on it that the token may see: `GET /nodes/{node}/qemu`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn vms(&self) -> Result<Vec<VmEntry>, Error> {
        self.client.fetch(self.get(&["qemu"]).protected()).await
    }

    /// The storages on it that the token may see: `GET /nodes/{node}/storage`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn storages(&self) -> Result<Vec<StorageEntry>, Error> {
        self.client.fetch(self.get(&["storage"]).protected()).await
    }

    /// The bridges and virtual networks on it that the token may use:
    /// `GET /nodes/{node}/network?type=any_bridge`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn bridges(&self) -> Result<Vec<BridgeEntry>, Error> {
        let mut form = Form::new();
        form.set("type", "any_bridge");
        self.client.fetch(self.get(&["network"]).with(form)).await
    }

    /// Its tasks, the latest first: `GET /nodes/{node}/tasks`. Without the right Sys.Audit only the
    /// token's own.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskEntry>, Error> {
        self.client.fetch(self.get(&["tasks"]).with(filter.form())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bridge_carries_the_vlans_that_it_was_given_or_all() {
        for (aware, vlans, expected) in [
            (0, "", true),
            (0, "2-3", true),
            (1, "", true),
            (1, "2-4094", true),
            (1, "2 7 10-12", true),
            (1, "2 7 13-20", false),
            (1, "1200", false),
        ] {
            let entry = json!({ "iface": "vmbr0", "type": "bridge", "active": 1,
                "bridge_vlan_aware": aware, "bridge_vids": vlans });
            let entry: BridgeEntry = serde_json::from_value(entry).expect("a bridge");
            assert_eq!(entry.carries(12), expected, "{aware} {vlans}");
        }
    }
}
