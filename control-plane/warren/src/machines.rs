//! The way to the cluster of Proxmox VE on which nodes for tenants are made.

use crate::config::Proxmox;
use anyhow::{Context as _, Result};
use execution::{Addresses, MachineSettings, Machines, Templates};
use proxmox_client::{
    ApiToken, Bridge, Client, NodeName, Pins, PoolId, Settings, StorageId, Tag, Trust, VmId,
};
use std::{collections::BTreeMap, fs, path::Path};

/// Makes a client of the configured cluster. Sends nothing.
///
/// # Errors
/// If a file cannot be read, or a value is none that Proxmox VE knows.
pub(crate) fn connect(config: &Proxmox, installation: String) -> Result<Machines> {
    Ok(Machines::new(client(config)?, settings(config, installation)?))
}

fn client(config: &Proxmox) -> Result<Client> {
    let hosts = config.hosts.iter().map(|host| host.parse().with_context(|| named("hosts", host)));
    let token = ApiToken::new(
        config.token_id.as_str(),
        read("token_file", &config.token_file)?.trim().to_owned(),
    )
    .with_context(|| named("token_id", &config.token_id))?;
    Client::new(Settings::new(hosts.collect::<Result<_>>()?, trust(config)?, token))
        .context("make a client of Proxmox VE")
}

fn trust(config: &Proxmox) -> Result<Trust> {
    if let Some(path) = &config.ca_file {
        return Ok(Trust::Authority(read("ca_file", path)?.into_bytes()));
    }
    if config.fingerprints.is_empty() {
        return Ok(Trust::System);
    }
    let pins = config
        .fingerprints
        .iter()
        .map(|text| text.parse().with_context(|| named("fingerprints", text)));
    Ok(Trust::Pinned(Pins::new(pins.collect::<Result<Vec<_>>>()?)))
}

fn settings(config: &Proxmox, installation: String) -> Result<MachineSettings> {
    let storage = |key, text: &str| StorageId::new(text).with_context(|| named(key, &text));
    Ok(MachineSettings {
        installation,
        pool: PoolId::new(config.pool.as_str()).with_context(|| named("pool", &config.pool))?,
        templates: templates(config)?,
        storage: config.storage.as_deref().map(|text| storage("storage", text)).transpose()?,
        seed_storage: storage("seed_storage", &config.seed_storage)?,
        bridge: Bridge::new(config.bridge.as_str())
            .with_context(|| named("bridge", &config.bridge))?,
        vlan: config.vlan,
        vms: config.vms()?,
        addresses: config
            .addresses
            .as_ref()
            .map(|addresses| {
                Ok::<_, anyhow::Error>(Addresses {
                    range: addresses.range()?,
                    prefix: addresses.prefix,
                    gateway: addresses.gateway,
                    name_servers: addresses.name_servers.clone(),
                })
            })
            .transpose()?,
        clones_at_once: config.clones_at_once,
        server: config.join_server.clone(),
    })
}

fn templates(config: &Proxmox) -> Result<Templates> {
    if let Some(tag) = &config.template_tag {
        // Proxmox VE writes them in small letters, unless it is told to tell them apart.
        let found = Tag::new(tag.to_ascii_lowercase());
        return Ok(Templates::Tagged(found.with_context(|| named("template_tag", tag))?));
    }
    let mut templates = BTreeMap::new();
    for (node, vm) in &config.templates {
        let key = NodeName::new(node.as_str()).with_context(|| named("templates", node))?;
        templates.insert(key, VmId::new(*vm).with_context(|| named("templates", vm))?);
    }
    Ok(Templates::Named(templates))
}

fn read(key: &str, path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| named(key, &path.display()))
}

fn named(key: &str, value: &dyn std::fmt::Display) -> String {
    format!("configuration key proxmox.{key} = {value}")
}
