//! Programs that check dependencies, from the registry of Rust packages.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cache;
use crate::cargo::cargo;
use crate::command::{capture, logged};
use crate::context::Context;

const TOOLS: [(&str, &str); 2] = [("cargo-deny", "0.20.2"), ("cargo-machete", "0.9.2")];

#[derive(Debug)]
pub(crate) struct Tool {
    program: PathBuf,
}

impl Tool {
    /// The tool, at work on the checkout.
    pub(crate) fn command(&self, cx: &Context) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&cx.layout.checkout);
        command
    }
}

/// Installs into the cache what it lacks; it has time, so others go first.
pub(crate) fn install(cx: &Context) -> Result<[Tool; 2]> {
    let [deny, machete] = TOOLS.map(|(name, version)| install_one(cx, name, version));
    Ok([deny?, machete?])
}

fn install_one(cx: &Context, name: &str, version: &str) -> Result<Tool> {
    let root = cx.layout.cache.join("tools").join(format!("{name}-{version}"));
    let program = root.join("bin").join(name);
    if program.exists() {
        cache::used(&root)?;
        return Ok(Tool { program });
    }
    let _task = cx.progress.task(format!("install {name}"));
    let target = root.with_extension("target");
    let mut install = Command::new("nice");
    install.args(["-n", "10", "cargo", "install", "--locked", name, "--version", version]);
    install.arg("--root").arg(&root).env("CARGO_TARGET_DIR", &target);
    install.current_dir(&cx.layout.cache);
    logged(&cx.cancel, &mut install, &cx.layout.build_log("tools"))
        .with_context(|| format!("install {name}"))?;
    cache::remove(&target)?;
    Ok(Tool { program })
}

/// A toolchain may come without them.
pub(crate) fn rust_components(cx: &Context) -> Result<()> {
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if capture(cargo(&cx.layout).args([command, "--version"])).is_err() {
            let _task = cx.progress.task(format!("install {component}"));
            let mut rustup = Command::new("rustup");
            rustup.current_dir(&cx.layout.checkout).args(["component", "add", component]);
            logged(&cx.cancel, &mut rustup, &cx.layout.build_log("tools"))?;
        }
    }
    Ok(())
}
