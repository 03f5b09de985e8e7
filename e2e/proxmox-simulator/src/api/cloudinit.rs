//! `…/cloudinit`: what the built-in drive of a VM says.

use serde_json::{Value, json};

use super::{Call, Rights, Route, later, now};
use crate::failure::Failure;
use crate::http::answer::Reply;
use crate::http::form::percent_decode;
use crate::option::drive::Properties;
use crate::option::text::mac;
use crate::params::{Kind, Parameter, required};
use crate::world::vm::Options;

const DUMP: [Parameter; 1] = [required("type", Kind::Choice(&["user", "network", "meta"]))];

pub(crate) fn routes() -> Vec<Route> {
    let audit = Rights::Need("/vms/{vmid}", &["VM.Audit"]);
    let right = Rights::Need("/vms/{vmid}", &["VM.Config.Cloudinit"]);
    vec![
        later("PUT", "/nodes/{node}/qemu/{vmid}/cloudinit", right, &[], |call| {
            Box::pin(renew(call))
        }),
        now("GET", "/nodes/{node}/qemu/{vmid}/cloudinit/dump", audit, &DUMP, dump),
    ]
}

async fn renew(call: Call) -> Result<Reply, Failure> {
    {
        let mut world = call.cluster.world();
        let vm = world.vm_mut(call.node(), call.vm())?;
        vm.check_lock().map_err(Failure::internal)?;
        if !vm.drives().any(|(_, drive)| drive.is_cloudinit()) {
            return Err(Failure::internal("No cloud-init drive found."));
        }
        // What the drive says takes effect with it, also while the VM runs.
        let keys: Vec<String> = vm.pending.keys().filter(|key| is_of_drive(key)).cloned().collect();
        for key in keys {
            match vm.pending.remove(&key).flatten() {
                Some(value) => vm.config.insert(key, value),
                None => vm.config.remove(&key),
            };
        }
    }
    call.cluster.pause(call.cluster.config.times.config_ms).await;
    Ok(Value::Null.into())
}

fn is_of_drive(key: &str) -> bool {
    key.starts_with("ci")
        || key.starts_with("ipconfig")
        || ["sshkeys", "nameserver", "searchdomain"].contains(&key)
}

/// Ignores `cicustom`.
fn dump(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let vm = world.vm(call.node(), call.vm())?;
    let options = vm.options(false);
    let text = match call.params.text("type") {
        Some("network") => network(&options),
        Some("meta") => format!("instance-id: {}\n", vm.digest()),
        _ => user(vm.name(), &options),
    };
    Ok(json!(text).into())
}

fn user(name: &str, options: &Options) -> String {
    let mut lines = vec!["#cloud-config".to_owned(), format!("hostname: {name}")];
    lines.push("manage_etc_hosts: true".into());
    if let Some(user) = options.get("ciuser") {
        lines.push(format!("user: {user}"));
    }
    if options.contains_key("cipassword") {
        lines.push("password: $5$simulated$hash".into());
    }
    if let Some(keys) = options.get("sshkeys") {
        lines.push("ssh_authorized_keys:".into());
        lines.extend(percent_decode(keys).lines().map(|key| format!("  - {key}")));
    }
    lines.extend(["chpasswd:", "  expire: False", "users:", "  - default"].map(str::to_owned));
    let upgrades = options.get("ciupgrade").is_none_or(|text| text == "1");
    lines.push(format!("package_upgrade: {upgrades}\n"));
    lines.join("\n")
}

fn network(options: &Options) -> String {
    let mut lines = vec!["version: 1".to_owned(), "config:".to_owned()];
    for (key, card) in options.iter().filter(|(key, _)| key.starts_with("net")) {
        let index = key.trim_start_matches("net");
        let config = options.get(&format!("ipconfig{index}"));
        let config = Properties::parse(config.map_or("", String::as_str));
        let mac = mac(card).unwrap_or_default().to_lowercase();
        lines.push("    - type: physical".into());
        lines.push(format!("      name: eth{index}"));
        lines.push(format!("      mac_address: '{mac}'"));
        lines.push("      subnets:".into());
        match config.get("ip") {
            Some("dhcp") => lines.push("      - type: dhcp4".into()),
            Some(ip) => {
                lines.push("      - type: static".into());
                lines.push(format!("        address: '{ip}'"));
                lines.extend(
                    config.get("gw").map(|gateway| format!("        gateway: '{gateway}'")),
                );
            }
            None => {}
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
