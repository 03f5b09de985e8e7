//! The cluster as it is on its first day.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use rand::Rng;

use crate::access::{Access, Entry, Token, User};
use crate::config::{Config, TemplateConfig};
use crate::option::text::new_mac;
use crate::params::size_text;
use crate::task::Tasks;
use crate::world::inventory::Inventory;
use crate::world::storage::{Storage, Volume};
use crate::world::vm::Vm;
use crate::world::{Node, Pool, World};

/// How long before the first day the nodes were started.
const UPTIME_S: u64 = 86_400;

/// Builds it.
pub(crate) fn build(config: &Config, now_s: u64, random: &mut impl Rng) -> Result<World> {
    ensure!(!config.nodes.is_empty(), "a cluster has a node");
    let nodes = config.nodes.iter().map(|node| {
        let state = Node {
            is_online: true,
            address: node.listen.to_string(),
            cores: node.cores,
            memory_mib: node.memory_mib,
            fingerprint: String::new(),
            booted_s: now_s.saturating_sub(UPTIME_S),
            has_expired_certificate: false,
        };
        (node.name.clone(), state)
    });
    let storages = config.storages.iter().map(|storage| {
        let state = Storage {
            kind: storage.kind.clone(),
            is_shared: storage.is_shared,
            content: storage.content.clone(),
            size: storage.size_gib << 30,
            nodes: storage.nodes.clone(),
            foreign: 0,
            is_offline: false,
        };
        (storage.name.clone(), state)
    });
    let mut world = World {
        name: config.name.clone(),
        release: config.release,
        has_quorum: true,
        nodes: nodes.collect(),
        bridges: config.bridges.clone(),
        storages: storages.collect(),
        volumes: Vec::new(),
        vms: std::collections::BTreeMap::new(),
        pools: config.pools.iter().map(|name| (name.clone(), Pool::default())).collect(),
        access: access(config),
        tickets: Vec::new(),
        tasks: Tasks::default(),
        inventory: Inventory::default(),
        deaf: BTreeSet::new(),
        silent: BTreeSet::new(),
        made: 0,
    };
    for template in &config.templates {
        add_template(&mut world, template, now_s, random)
            .with_context(|| format!("template {}", template.id))?;
    }
    world.take_inventory(now_s);
    Ok(world)
}

fn access(config: &Config) -> Access {
    let mut access = Access::default();
    for user in &config.users {
        let tokens = user.tokens.iter().map(|token| {
            let state = Token {
                secret: token.secret.clone(),
                is_separate: token.is_separate,
                comment: String::new(),
                expires_s: 0,
            };
            (token.id.clone(), state)
        });
        let state = User { password: user.password.clone(), tokens: tokens.collect() };
        access.users.insert(user.name.clone(), state);
    }
    for entry in &config.entries {
        let is_list = entry.role.contains('.');
        let role =
            if is_list { format!("made-{}", access.roles.len()) } else { entry.role.clone() };
        if is_list {
            let privileges = entry.role.split(',').map(|name| name.trim().to_owned()).collect();
            access.roles.insert(role.clone(), privileges);
        }
        let (path, who) = (entry.path.clone(), entry.who.clone());
        access.entries.insert(Entry { path, who, role, propagates: true });
    }
    access
}

fn add_template(
    world: &mut World,
    template: &TemplateConfig,
    now_s: u64,
    random: &mut impl Rng,
) -> Result<()> {
    let TemplateConfig { id, node, storage: storage_name, .. } = template;
    ensure!(world.nodes.contains_key(node), "there is no node {node}");
    let storage = world.storages.get(storage_name).context("its storage is not there")?.clone();
    let size = template.disk_gib << 30;
    let stem = format!("base-{id}-disk-0");
    let mut volume = Volume {
        storage: storage_name.clone(),
        node: (!storage.is_shared).then(|| node.clone()),
        name: storage.name(*id, &stem),
        vm: Some(*id),
        size,
        used: size,
        format: storage.format().into(),
        content: "images".into(),
        parent: None,
        made_s: now_s,
    };
    let mut options = vec![
        ("name", template.name.clone()),
        ("template", "1".into()),
        ("cores", "2".into()),
        ("memory", "2048".into()),
        ("ostype", "l26".into()),
        ("agent", "1".into()),
        ("boot", "order=scsi0".into()),
        ("scsihw", "virtio-scsi-single".into()),
        ("scsi0", format!("{},size={}", volume.id(), size_text(size))),
        ("net0", format!("virtio={},bridge=vmbr0", new_mac(random))),
        ("smbios1", format!("uuid={}", new_uuid(random))),
        ("vmgenid", new_uuid(random)),
    ];
    if !template.tags.is_empty() {
        options.push(("tags", template.tags.clone()));
    }
    world.volumes.push(volume.clone());
    if template.has_cloudinit {
        volume.name = storage.name(*id, &format!("vm-{id}-cloudinit"));
        (volume.size, volume.used) = (4 << 20, 4 << 20);
        options.push(("ide2", format!("{},media=cdrom,size=4M", volume.id())));
        world.volumes.push(volume);
    }
    let config = options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    world.insert_vm(*id, Vm { node: node.clone(), config, ..Vm::default() });
    if let Some(pool) = &template.pool {
        world.pools.entry(pool.clone()).or_default().vms.insert(*id);
    }
    Ok(())
}

/// A random identifier (RFC 9562, version 4).
pub(crate) fn new_uuid(random: &mut impl Rng) -> String {
    let mut bytes: [u8; 16] = random.random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex::encode(bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}
