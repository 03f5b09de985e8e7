//! The boot of a machine: its mounts, what cloud-init does with the seed, and then its agent, if the seed starts it.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::service::Service;
use super::{Order, Power, quiet, say};
use crate::machines::namespaces::agent::Agent;
use crate::machines::namespaces::command::capture;
use crate::machines::namespaces::{cable, cgroups, furnish, parts};
use crate::nocloud::{self, Seed, WrittenFile};

/// Where a seed may write: what is the machine's own.
const OWN: [&str; 5] = ["/etc/", "/run/", "/tmp/", "/var/lib/", "/var/log/"];
/// Stands in for the service manager while the seed's commands run: a unit that is enabled comes by itself at each
/// later start.
const SYSTEMCTL: &str = r#"#!/bin/sh
for word in "$@"; do
    case "$word" in
        k3s-agent | k3s-agent.service) agent=yes ;;
        enable) enable=yes ;;
        start | restart | --now) now=yes ;;
    esac
done
[ -n "$agent" ] || exit 0
[ -z "$enable" ] || : > "$ENABLED"
[ -z "$now" ] || : > /run/k3s-agent.wanted
"#;
const WANTED: &str = "/run/k3s-agent.wanted";
/// The file of a disk that says whose commands were run.
const INSTANCE: &str = "instance";
/// How often a server that does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long containerd may take.
const CONTAINERD: Duration = Duration::from_mins(1);

/// Boots and says what was started.
pub(crate) fn boot(order: &Order, power: &Power) -> Result<Vec<Service>> {
    cgroups::join(&order.settings.parts_group(order.hardware.vm))?;
    cable::connect(order)?;
    furnish::furnish(order)?;
    let mut services = Vec::new();
    // A machine with a bad seed stays on all the same.
    if let Some(seed) = &order.seed
        && let Err(error) = apply(order, seed, power, &mut services)
    {
        say(&format!("the seed: {error:#}"));
    }
    std::fs::write(order.booted(), "").context("say that the machine has booted")?;
    Ok(services)
}

fn apply(order: &Order, seed: &Seed, power: &Power, services: &mut Vec<Service>) -> Result<()> {
    rustix::system::sethostname(seed.hostname().as_bytes()).context("set the host name")?;
    cable::configure(order, seed)?;
    // What was written at the first start would be on the disk at all others; here /etc is empty again.
    seed.user.write_files.iter().try_for_each(write_file)?;
    let disk = order.disk();
    let enabled = disk.join("k3s-agent.enabled");
    if is_first_start(&disk, seed)? {
        let _ = std::fs::remove_file(&enabled);
        run_commands(seed, &enabled)?;
        std::fs::write(disk.join(INSTANCE), &seed.meta.instance_id).context("keep the instance")?;
    }
    if enabled.exists() || Path::new(WANTED).exists() {
        return start(order, &Agent::of(seed)?, power, services);
    }
    say("nothing starts the k3s-agent");
    Ok(())
}

/// Whether this instance has not been started on this disk: cloud-init runs a seed's commands once.
fn is_first_start(disk: &Path, seed: &Seed) -> Result<bool> {
    match std::fs::read_to_string(disk.join(INSTANCE)) {
        Ok(known) => Ok(known != seed.meta.instance_id),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).context("read which instance was started"),
    }
}

fn write_file(file: &WrittenFile) -> Result<()> {
    let is_own =
        OWN.iter().any(|folder| file.path.starts_with(folder)) && !file.path.contains("..");
    ensure!(is_own, "the seed writes {}, which is not the machine's own", file.path);
    let path = Path::new(&file.path);
    let bytes = file.bytes();
    let bytes =
        bytes.with_context(|| format!("the encoding of {} is not known here", file.path))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes).with_context(|| format!("write {}", file.path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(file.mode()))?;
    Ok(())
}

fn run_commands(seed: &Seed, enabled: &Path) -> Result<()> {
    let folder = Path::new("/run/simulated");
    std::fs::create_dir_all(folder)?;
    let program = folder.join("systemctl");
    std::fs::write(&program, SYSTEMCTL)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let path = format!(
        "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        folder.display()
    );
    for command in &seed.user.runcmd {
        let mut process = match command {
            nocloud::Command::Line(line) => {
                let mut shell = quiet(Path::new("/bin/sh"));
                shell.arg("-c").arg(line);
                shell
            }
            nocloud::Command::Words(words) => {
                let Some((program, arguments)) = words.split_first() else { continue };
                // Found by the path of the child.
                let mut shell = quiet(Path::new("/usr/bin/env"));
                shell.arg(program).args(arguments);
                shell
            }
        };
        process.env("PATH", &path).env("ENABLED", enabled);
        let status = process.current_dir("/").status();
        // As cloud-init does, the rest is done all the same.
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => say(&format!("{command:?}: {status}")),
            Err(error) => say(&format!("{command:?}: {error}")),
        }
    }
    Ok(())
}

/// Starts the parts of an agent, one after what it needs.
fn start(order: &Order, agent: &Agent, power: &Power, services: &mut Vec<Service>) -> Result<()> {
    let logs = order.disk().join("log");
    let programs = &order.settings.programs;
    let config = |name: &str| PathBuf::from("/run/agent").join(name);
    std::fs::create_dir_all("/run/agent")?;
    std::fs::create_dir_all("/run/containerd")?;
    std::fs::create_dir_all(parts::POD_NETWORK)?;
    if let Some(address) = agent.address.as_deref().and_then(|text| text.parse().ok()) {
        let network = parts::pod_network(&order.settings.pods_of(address));
        write_json(&Path::new(parts::POD_NETWORK).join("10-pods.conflist"), &network)?;
    }
    std::fs::write(config("containerd.toml"), parts::containerd(order))?;
    let mut containerd = with_path(order, &programs.containerd);
    containerd.arg("--config").arg(config("containerd.toml"));
    services.push(Service::start("containerd", containerd, &logs)?);
    await_containerd(power)?;
    import(order)?;

    let authority = config("authority.crt");
    let Some(pem) = authority_of(order, agent, power) else { return Ok(()) };
    std::fs::write(&authority, pem)?;
    let kubelet = kubelet(order, agent, &authority)?;
    services.push(Service::start("kubelet", kubelet, &logs)?);
    if let (Some(program), Some(kubeconfig)) =
        (&programs.kube_proxy, &order.settings.kube_proxy_kubeconfig)
    {
        write_json(&config("kube-proxy.json"), &parts::kube_proxy(order, agent, kubeconfig))?;
        let mut proxy = with_path(order, program);
        proxy.arg("--config").arg(config("kube-proxy.json"));
        services.push(Service::start("kube-proxy", proxy, &logs)?);
    }
    if let (Some(program), Some(kubeconfig)) =
        (&programs.network_policy, &order.settings.network_policy_kubeconfig)
    {
        let mut policy = with_path(order, program);
        policy.arg("--kubeconfig").arg(kubeconfig).arg("--node").arg(&agent.name);
        if let Some(nft) = &programs.nft {
            policy.arg("--nft").arg(nft);
        }
        services.push(Service::start("network-policy", policy, &logs)?);
    }
    Ok(())
}

fn kubelet(order: &Order, agent: &Agent, authority: &Path) -> Result<Command> {
    let (disk, run) = (order.disk(), Path::new("/run/agent"));
    write_json(&run.join("kubelet.json"), &parts::kubelet(order, authority))?;
    let bootstrap = agent.bootstrap_kubeconfig(&authority.display().to_string());
    write_json(&run.join("bootstrap.kubeconfig"), &bootstrap)?;
    let keys = disk.join("kubelet-keys");
    std::fs::create_dir_all(&keys)?;
    let mut command = with_path(order, Path::new("/usr/bin/unshare"));
    command.args([
        "--mount",
        "--propagation=unchanged",
        "/bin/sh",
        "-c",
        furnish::SEES_FIRMWARE,
        "sh",
    ]);
    command.arg(&order.settings.programs.kubelet).arg("--config").arg(run.join("kubelet.json"));
    // What it got at its first start is good for all others; the token is not asked for again.
    command.arg("--bootstrap-kubeconfig").arg(run.join("bootstrap.kubeconfig"));
    command.arg("--kubeconfig").arg(keys.join("kubelet.kubeconfig"));
    command.arg("--cert-dir").arg(keys);
    command.arg("--root-dir").arg(disk.join("kubelet"));
    command.args(agent.kubelet_flags());
    Ok(command)
}

fn with_path(order: &Order, program: &Path) -> Command {
    let own = order.settings.path.iter().map(|folder| folder.display().to_string());
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let path: Vec<String> = own.chain(usual.map(str::to_owned)).collect();
    let mut command = quiet(program);
    command.env_clear().env("PATH", path.join(":")).current_dir("/");
    command
}

fn await_containerd(power: &Power) -> Result<()> {
    let began = Instant::now();
    while UnixStream::connect(parts::CONTAINERD).is_err() {
        if began.elapsed() > CONTAINERD {
            bail!("containerd does not answer");
        }
        if !power.stays_on(Duration::from_millis(50)) {
            bail!("turned off while it booted");
        }
    }
    Ok(())
}

/// Imports the images that are missing.
fn import(order: &Order) -> Result<()> {
    let ctr = |arguments: &[&str]| {
        let mut command = quiet(&order.settings.programs.ctr);
        command.args(["--address", parts::CONTAINERD, "--namespace", "k8s.io", "images"]);
        capture(command.args(arguments))
    };
    let present = ctr(&["list", "--quiet"])?;
    for image in &order.settings.images {
        if !present.lines().any(|line| line == image.reference) {
            let archive = image.archive.display().to_string();
            ctr(&["import", "--local", &archive])?;
        }
    }
    Ok(())
}

/// The authority of the host cluster: what the server gives to everybody, or else what the settings name. One that
/// the token does not expect is asked for again and again, as K3s does. Nothing if the machine is turned off.
fn authority_of(order: &Order, agent: &Agent, power: &Power) -> Option<Vec<u8>> {
    loop {
        let found = fetch(&format!("{}/cacerts", agent.server)).or_else(|error| {
            say(&format!("the server gives no authority: {error:#}"));
            std::fs::read(&order.settings.authority).context("read the authority of the settings")
        });
        match found.and_then(|pem| Ok(agent.check_authority(&pem).map(|()| pem)?)) {
            Ok(pem) => return Some(pem),
            Err(error) => say(&format!("{error:#}")),
        }
        if !power.stays_on(AGAIN) {
            return None;
        }
    }
}

/// Asks without knowing whom: the token tells whether it was the right one.
fn fetch(url: &str) -> Result<Vec<u8>> {
    let tls = ureq::tls::TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .new_agent();
    let bytes = agent.get(url).call()?.body_mut().read_to_vec()?;
    ensure!(bytes.starts_with(b"-----BEGIN CERTIFICATE-----"), "{url} is no certificate");
    Ok(bytes)
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    std::fs::write(path, value.to_string()).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_unit_that_is_only_started_does_not_come_back_by_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let (enabled, wanted) = (folder.path().join("enabled"), folder.path().join("wanted"));
        let script = SYSTEMCTL.replace(WANTED, &wanted.display().to_string());
        for (words, is_wanted, is_enabled) in [
            ("start --no-block k3s-agent", true, false),
            ("enable --now --no-block k3s-agent.service", true, true),
            ("enable k3s-agent.service", false, true),
            ("enable --now ssh.service", false, false),
            ("daemon-reload", false, false),
        ] {
            for mark in [&enabled, &wanted] {
                let _ = std::fs::remove_file(mark);
            }
            let mut shell = quiet(Path::new("/bin/sh"));
            shell.args(["-c", &script, "systemctl"]).args(words.split(' '));
            let status = shell.env("ENABLED", &enabled).stdout(Stdio::null()).status();
            assert!(status.expect("there is a shell").success(), "{words}");
            assert_eq!((wanted.exists(), enabled.exists()), (is_wanted, is_enabled), "{words}");
        }
    }

    #[test]
    fn the_commands_of_a_seed_are_run_once_on_a_disk() {
        let disk = tempfile::tempdir().expect("a folder");
        let mut seed = Seed {
            meta: nocloud::Meta::default(),
            network: std::collections::BTreeMap::new(),
            user: nocloud::UserData::default(),
        };
        seed.meta.instance_id = "one".to_owned();
        assert!(is_first_start(disk.path(), &seed).expect("readable"));
        std::fs::write(disk.path().join(INSTANCE), "one").expect("is written");
        assert!(!is_first_start(disk.path(), &seed).expect("readable"));
        seed.meta.instance_id = "two".to_owned();
        assert!(is_first_start(disk.path(), &seed).expect("readable"), "another machine");
    }
}
