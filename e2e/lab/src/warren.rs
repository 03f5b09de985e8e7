//! Warren itself as a part of the lab.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::layout::Layout;
use crate::network::{CONTROL, CONTROL_ADDRESS, SERVICES};
use crate::part::{Check, Part};
use crate::plan::Plan;
use crate::proxmox;

/// Where the API listens in the machine's own network namespace, if it is free.
const API_PORT: u16 = 7080;
/// How many of the next ports are tried.
const API_PORTS: u16 = 100;

/// The address that runs report to.
pub(crate) fn run_endpoint() -> SocketAddr {
    SocketAddr::new(CONTROL_ADDRESS.into(), 7443)
}

fn gate() -> SocketAddr {
    SocketAddr::new(CONTROL_ADDRESS.into(), 7444)
}

pub(crate) fn folder(layout: &Layout) -> PathBuf {
    layout.state.join("warren")
}

pub(crate) fn config_file(layout: &Layout) -> PathBuf {
    folder(layout).join("warren.toml")
}

pub(crate) fn token_file(layout: &Layout) -> PathBuf {
    folder(layout).join("bootstrap-token")
}

/// The link with which the first operator makes an account, until somebody has followed it.
pub(crate) fn link_file(layout: &Layout) -> PathBuf {
    folder(layout).join("operator-link")
}

/// A folder with Warren's program and no other, for people's `PATH`.
pub(crate) fn programs(layout: &Layout) -> PathBuf {
    folder(layout).join("bin")
}

/// Gives the lab Warren's program. It is a copy: cargo replaces its own while tests are
/// built. A Warren that runs keeps the old one until it is started again.
pub(crate) fn install(layout: &Layout, program: &Path) -> Result<()> {
    let path = layout.program("warren");
    let next = path.with_extension("next");
    std::fs::copy(program, &next).context("copy warren")?;
    std::fs::rename(next, &path)?;
    let folder = programs(layout);
    if !folder.exists() {
        std::fs::create_dir_all(&folder)?;
        symlink(path, folder.join("warren"))?;
    }
    Ok(())
}

/// Opens the socket that people and tests reach Warren's API at. The supervisor keeps
/// it, so that no request is refused while Warren is started again.
pub(crate) fn listen() -> Result<TcpListener> {
    for port in API_PORT..API_PORT + API_PORTS {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener);
        }
    }
    bail!("no free port from {API_PORT} on")
}

/// Writes the configuration.
pub(crate) fn prepare(layout: &Layout, plan: &Plan, api: SocketAddr) -> Result<()> {
    let path =
        |path: PathBuf| path.to_str().map(str::to_owned).context("paths of the state are text");
    let folder = folder(layout);
    std::fs::create_dir_all(&folder)?;
    let kubeconfig = folder.join("warren.kubeconfig");
    std::fs::copy(layout.kubeconfig("warren"), &kubeconfig)?;
    let mut text = include_str!("../templates/warren.toml").to_owned();
    for (name, value) in [
        ("FOLDER", path(folder)?),
        ("API", api.to_string()),
        ("TOKEN_FILE", path(token_file(layout))?),
        ("LINK_FILE", path(link_file(layout))?),
        ("CERTIFICATE", path(layout.pki("warren-api.crt"))?),
        ("KEY", path(layout.pki("warren-api.key"))?),
        ("RUN_ENDPOINT", run_endpoint().to_string()),
        ("GATE", gate().to_string()),
        ("KUBECONFIG", path(kubeconfig)?),
        ("SERVICES", SERVICES.into()),
        ("CLIENT", format!("{CONTROL_ADDRESS}/32")),
    ] {
        text = text.replace(&format!("@{name}@"), &value);
    }
    for name in ["syncer", "kubernetes", "coredns", "runner", "pause"] {
        text = text.replace(&format!("@image {name}@"), &plan.image(name)?.reference);
    }
    if plan.simulator.is_some() {
        text += &proxmox::section(layout)?;
    }
    std::fs::write(config_file(layout), text)?;
    Ok(())
}

pub(crate) fn part(layout: &Layout, api: SocketAddr) -> Part {
    let part = Part::new("warren", CONTROL, layout.program("warren"))
        .switch("serve")
        .path("--config", config_file(layout))
        .check(Check::OwnHttp(api, "/readyz"));
    Part { stop_limit: Duration::from_secs(15), inherits_listener: true, ..part }
}
