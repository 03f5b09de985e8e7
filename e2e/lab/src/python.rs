//! Python packages from the Python Package Index: archives for agents to work on, and what tests compare with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::cache;
use crate::command::{capture, logged};
use crate::context::Context;
use crate::debian::{self, Need, Probe};
use crate::digest::{Digest, sha256_file};

/// Source archives, each with its SHA-256: what the example's agents check.
const ARCHIVES: [(&str, &str, &str); 3] = [
    ("requests", "2.32.5", "dbba0bac56e100853db0ea71b82b4dfd5fe2bf6d3754a8893c3af500cec7d7cf"),
    ("click", "8.3.1", "12ff4785d337a1bb490bb7e9c2b1ee5da3112e94a8622f26a6c77f5d2fc6842a"),
    ("jinja2", "3.1.6", "0137fb05990d35f1275a587e9aee6d56da821fc83491a0fb838183be43f66d6d"),
];

/// Kubernetes' own client for Python with everything that it needs.
const CLIENT: &str = include_str!("../python/client.txt");

/// A fake of Proxmox VE and descriptions of its API that others wrote, for the tests of our client.
const PROXMOX: &str = include_str!("../python/proxmox.txt");

/// A client of Proxmox VE.
const PROXMOXER: &str = include_str!("../../proxmox-simulator/tests/proxmoxer/requirements.txt");

/// The linter of the example's agents, in the version that Debian's package has.
const LINTER: &str = "pyflakes==2.5.0\n";

/// The source archives.
pub(crate) fn archives(cx: &Context) -> Result<Vec<PathBuf>> {
    let mut digest = Digest::default();
    for (name, version, hash) in ARCHIVES {
        digest.add(name).add(version).add(hash);
    }
    let folder = cx.layout.cache.join("packages").join(digest.key());
    let paths = ARCHIVES.map(|(name, version, _)| folder.join(format!("{name}-{version}.tar.gz")));
    if folder.exists() {
        cache::used(&folder)?;
        return Ok(paths.into());
    }
    let _task = cx.progress.task("fetch Python packages");
    let python = environment(cx, "")?;
    let unfinished = folder.with_extension("unfinished");
    cache::renew(&unfinished)?;
    let requirements = unfinished.join("requirements.txt");
    let lines = ARCHIVES
        .map(|(name, version, hash)| format!("{name}=={version} --hash=sha256:{hash}\n"))
        .concat();
    std::fs::write(&requirements, lines)?;
    // Only these three as sources: what describes them may come built.
    let sources = ARCHIVES.map(|(name, _, _)| name).join(",");
    let mut pip = Command::new(python.join("bin/python3"));
    pip.args(["-m", "pip", "download", "--no-deps", "--no-binary", &sources]);
    pip.arg("--require-hashes").arg("-r").arg(&requirements).arg("-d").arg(&unfinished);
    logged(&cx.cancel, &mut pip, &cx.layout.build_log("pip"))?;
    for (path, (name, _, hash)) in paths.iter().zip(ARCHIVES) {
        let file = unfinished.join(path.file_name().context("is the path of a file")?);
        ensure!(sha256_file(&file)? == hash, "the archive of {name} is another one than expected");
    }
    cache::keep(&unfinished, &folder)?;
    Ok(paths.into())
}

/// An environment with what the example's tests compare with.
pub(crate) fn with_linter(cx: &Context) -> Result<PathBuf> {
    environment(cx, LINTER)
}

/// An environment with Kubernetes' client.
pub(crate) fn with_client(cx: &Context) -> Result<PathBuf> {
    environment(cx, CLIENT)
}

/// An environment with the fake of Proxmox VE.
pub(crate) fn with_proxmox(cx: &Context) -> Result<PathBuf> {
    environment(cx, PROXMOX)
}

/// An environment with a client of Proxmox VE that others wrote.
pub(crate) fn with_proxmoxer(cx: &Context) -> Result<PathBuf> {
    environment(cx, PROXMOXER)
}

/// A Python environment with these requirements installed.
fn environment(cx: &Context, requirements: &str) -> Result<PathBuf> {
    let python = interpreter(cx)?;
    let version = capture(Command::new(&python).args(["-c", "import sys; print(sys.version)"]))?;
    let mut digest = Digest::default();
    digest.add(python.to_string_lossy().as_bytes()).add(version).add(requirements);
    let folder = cx.layout.cache.join("python").join(digest.key());
    // An environment knows its own path, so it cannot be made elsewhere and moved here.
    let mark = folder.join("complete");
    if mark.exists() {
        cache::used(&folder)?;
        return Ok(folder);
    }
    let _task = cx.progress.task("make a Python environment");
    cache::renew(&folder)?;
    let log = cx.layout.build_log("pip");
    logged(&cx.cancel, Command::new(&python).args(["-m", "venv"]).arg(&folder), &log)?;
    if !requirements.is_empty() {
        let file = folder.join("requirements.txt");
        std::fs::write(&file, requirements)?;
        let mut pip = Command::new(folder.join("bin/python3"));
        pip.args(["-m", "pip", "install", "--no-deps", "-r"]).arg(&file);
        logged(&cx.cancel, &mut pip, &log)?;
    }
    std::fs::write(mark, "")?;
    Ok(folder)
}

/// A Python that can make environments.
fn interpreter(cx: &Context) -> Result<PathBuf> {
    let can = |python: &Path| {
        capture(Command::new(python).args(["-c", "import venv, ensurepip"])).is_ok()
    };
    let found = PathBuf::from("python3");
    if can(&found) {
        return Ok(found);
    }
    let need = Need { probe: Probe::Nothing, package: "python3-venv" };
    debian::install(cx, &[need])?;
    Ok("/usr/bin/python3".into())
}
