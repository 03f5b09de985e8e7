//! Building this workspace's own programs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::logged;
use crate::context::Context;
use crate::layout::Layout;

/// How a program of this workspace is built.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    Debug,
    /// Optimised: what benchmarks measure.
    Lab,
    /// Small, and without shared libraries: it runs in images that have none.
    Static,
}

/// `cargo` in the checkout.
pub(crate) fn cargo(layout: &Layout) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&layout.checkout).env("CARGO_TERM_COLOR", "never");
    // `cargo run`, which runs this program, describes its package in the environment.
    // Some build scripts take that for a change and are run again.
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if told.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Builds a program of this workspace.
pub(crate) fn build(cx: &Context, package: &str, program: &str, form: Form) -> Result<PathBuf> {
    let _task = cx.progress.task(format!("build {package}"));
    let mut cargo = cargo(&cx.layout);
    cargo.args(["build", "--package", package]);
    let mut folder = cx.layout.checkout.join("target");
    match form {
        Form::Debug => folder.push("debug"),
        Form::Lab => {
            cargo.args(["--profile", "lab"]);
            folder.push("lab");
        }
        Form::Static => {
            // Named, the target keeps its flags from what the workspace shares.
            let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
            cargo.args(["--profile", "runner", "--target", &target]);
            cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
            folder.extend([&target, "runner"]);
        }
    }
    logged(&cx.cancel, &mut cargo, &cx.layout.build_log(package))
        .with_context(|| format!("build {package}"))?;
    Ok(folder.join(program))
}
