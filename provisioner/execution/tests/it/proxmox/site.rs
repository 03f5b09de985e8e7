//! A simulated cluster, and a Warren that is configured for it.

use crate::{
    grants::{SECRET, TOKEN, USER, entries, rights},
    world::World,
};
use execution::{
    Addresses, MachineSettings, Machines, Templates,
    doctor::{Check, examine_proxmox},
};
use proxmox_client::{
    ApiToken, Bridge, Client, NodeName, Pins, PoolId, Settings, StorageId, Trust, VmId,
};
use proxmox_simulator::{
    Act, Clock, Config, Simulator, StorageConfig, TemplateConfig, TokenConfig, UserConfig,
    machines::imaginary::Imaginary,
};
use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

/// The templates, and where each is.
const TEMPLATES: [(u32, &str); 3] = [(9000, "pve1"), (9001, "pve2"), (9002, "pve3")];

pub(crate) struct Site {
    pub(crate) world: World,
    simulator: Simulator,
    /// What Warren is told; as it should be at first.
    pub(crate) hosts: Vec<String>,
    pub(crate) pins: Option<Vec<String>>,
    pub(crate) secret: String,
    pub(crate) settings: MachineSettings,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Checks(pub(crate) Vec<Check>);

/// A cluster of three nodes with a template on each, where the token has the rights that it needs.
pub(crate) fn cluster() -> Config {
    Config { entries: entries(rights(TEMPLATES.map(|(id, _)| id))), ..bare_cluster() }
}

/// The same where the token has no right at all.
pub(crate) fn bare_cluster() -> Config {
    let storage = |name: &str, kind: &str, content: &str| StorageConfig {
        name: name.into(),
        kind: kind.into(),
        is_shared: false,
        content: vec![content.into()],
        size_gib: 500,
        nodes: Vec::new(),
    };
    let template = |(id, node): (u32, &str)| TemplateConfig {
        id,
        name: format!("k3s-{id}"),
        node: node.into(),
        storage: "local-lvm".into(),
        disk_gib: 4,
        pool: None,
        tags: String::new(),
        has_cloudinit: false,
    };
    let token = TokenConfig { id: "control".into(), secret: SECRET.into(), is_separate: true };
    Config {
        storages: vec![storage("local", "dir", "iso"), storage("local-lvm", "lvmthin", "images")],
        templates: TEMPLATES.map(template).into(),
        pools: vec!["warren".into()],
        users: vec![UserConfig { name: USER.into(), password: None, tokens: vec![token] }],
        refusal_ms: 10,
        ..Config::default()
    }
}

impl Site {
    pub(crate) async fn new(config: Config) -> Self {
        let world = World::new().await;
        let machines = Imaginary::new(Duration::ZERO, Duration::ZERO);
        let simulator = Simulator::start(config, Clock::system(), Arc::new(machines)).await;
        let simulator = simulator.expect("it starts");
        let url = |node: &str| simulator.url(node).expect("a node");
        Self {
            world,
            hosts: ["pve1", "pve2", "pve3"].map(url).into(),
            pins: None,
            secret: SECRET.to_owned(),
            settings: settings(),
            simulator,
        }
    }

    pub(crate) fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    pub(crate) async fn act(&self, act: Act) {
        self.simulator.act(act).await.expect("it happens");
    }

    pub(crate) fn url(&self, node: &str) -> String {
        self.simulator.url(node).expect("a node")
    }

    pub(crate) fn fingerprint(&self, node: &str) -> String {
        self.simulator.fingerprint(node).expect("a node")
    }

    /// Asks the doctor, who always comes to an end.
    pub(crate) async fn examine(&self) -> Checks {
        let trust = if let Some(pins) = &self.pins {
            Trust::Pinned(Pins::new(pins.iter().map(|pin| pin.parse().expect("a fingerprint"))))
        } else {
            let authority = self.simulator.authority_pem().expect("it has TLS");
            Trust::Authority(authority.as_bytes().to_vec())
        };
        let hosts = self.hosts.iter().map(|host| host.parse().expect("a host")).collect();
        let token = ApiToken::new(TOKEN, self.secret.clone()).expect("a token");
        let client = Client::new(Settings::new(hosts, trust, token)).expect("a client");
        let machines = Machines::new(client, self.settings.clone());
        let look = examine_proxmox(&machines, &self.world.store, self.world.clock.as_ref());
        let checks = tokio::time::timeout(Duration::from_secs(28), look).await;
        Checks(checks.expect("whoever asks waits for half a minute"))
    }
}

impl Checks {
    pub(crate) fn find(&self, name: &str) -> Option<&Check> {
        self.0.iter().find(|check| check.name == name)
    }

    fn get(&self, name: &str) -> &Check {
        self.find(name).unwrap_or_else(|| unreachable!("{name} is looked at: {self:?}"))
    }

    pub(crate) fn detail(&self, name: &str) -> &str {
        &self.get(name).detail
    }

    pub(crate) fn way_out(&self, name: &str) -> &str {
        &self.get(name).way_out
    }

    /// What is not as it should be; each says what to do.
    pub(crate) fn bad(&self) -> Vec<&str> {
        let bad = self.0.iter().filter(|check| !check.is_ok);
        bad.inspect(|check| assert!(!check.way_out.is_empty(), "{check:?}"))
            .map(|check| check.name)
            .collect()
    }

    pub(crate) fn keep_the_secret(&self) {
        assert!(!format!("{self:?}").contains(SECRET), "{self:?}");
    }
}

/// The template on each node.
pub(crate) fn templates() -> BTreeMap<NodeName, VmId> {
    let template =
        |(vm, node): (u32, &str)| (node.parse().expect("a node"), VmId::new(vm).expect("a number"));
    TEMPLATES.map(template).into()
}

fn settings() -> MachineSettings {
    MachineSettings {
        installation: "test".to_owned(),
        pool: PoolId::new("warren").expect("a pool"),
        templates: Templates::Named(templates()),
        storage: None,
        seed_storage: StorageId::new("local").expect("a storage"),
        bridge: Bridge::new("vmbr0").expect("a bridge"),
        vlan: None,
        vms: 1000..=1199,
        addresses: Some(Addresses {
            range: Ipv4Addr::new(10, 0, 0, 101)..=Ipv4Addr::new(10, 0, 0, 108),
            prefix: 24,
            gateway: Ipv4Addr::new(10, 0, 0, 1),
            name_servers: Vec::new(),
        }),
        clones_at_once: 3,
        server: "https://10.0.0.1:6443".to_owned(),
    }
}
