//! Building this workspace's own programs.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::command::{line, logged, open_log, output, tail};
use crate::context::Context;
use crate::layout::Layout;

/// How a program of this workspace is built.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
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

/// What the tests of the whole workspace were built to.
#[derive(Debug)]
pub(crate) struct Tests {
    pub(crate) servers: Servers,
    /// The programs of the tests that look at a lab.
    pub(crate) black_box: Vec<PathBuf>,
}

/// The programs of this workspace that are parts of a lab.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) warren: PathBuf,
    /// The simulator of Proxmox VE.
    pub(crate) simulator: PathBuf,
}

/// A line of cargo's `--message-format json` (The Cargo Book, "External tools").
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    executable: Option<PathBuf>,
    profile: Option<Profile>,
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

/// Builds all tests and, as some of them start it, Warren. One command for all: cargo
/// compiles a library anew for every set of features, and each choice of packages has
/// its own.
pub(crate) fn build_tests(cx: &Context) -> Result<Tests> {
    let _task = cx.progress.task("build Warren and all tests");
    let mut cargo = cargo(&cx.layout);
    cargo.args(["test", "--workspace", "--no-run"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let said = output(&cx.cancel, &mut cargo)?;
    let errors = String::from_utf8_lossy(&said.stderr);
    let log = cx.layout.build_log("tests");
    writeln!(open_log(&log)?, "--- {}\n{errors}", line(&cargo))?;
    if !said.status.success() {
        bail!("build the tests: {}; {} ends with\n{}", said.status, log.display(), tail(&errors));
    }
    let programs = programs(&String::from_utf8_lossy(&said.stdout));
    let server = |name: &str| {
        let found = programs.iter().find(|program| program.is(name) && !program.is_test);
        found
            .map(|program| program.path.clone())
            .with_context(|| format!("no test has {name} built"))
    };
    let black_box = cx.layout.checkout.join("e2e/black-box/Cargo.toml");
    Ok(Tests {
        servers: Servers { warren: server("warren")?, simulator: server("proxmox-simulator")? },
        black_box: programs
            .into_iter()
            .filter(|program| program.is_test && program.is("it") && program.manifest == black_box)
            .map(|program| program.path)
            .collect(),
    })
}

#[derive(Debug)]
struct Executable {
    name: String,
    manifest: PathBuf,
    is_test: bool,
    path: PathBuf,
}

impl Executable {
    fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

fn programs(messages: &str) -> Vec<Executable> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let artifacts = messages.filter(|message| message.reason == "compiler-artifact");
    artifacts
        .filter_map(|message| {
            Some(Executable {
                name: message.target?.name,
                manifest: message.manifest_path,
                is_test: message.profile?.test,
                path: message.executable?,
            })
        })
        .collect()
}

/// Builds what runs in a lab beside the host cluster; together, because cargo compiles anew what it is asked for with
/// others.
pub(crate) fn build_servers(cx: &Context) -> Result<Servers> {
    let [warren, simulator] = ["warren", "proxmox-simulator"];
    let folder = cx.layout.checkout.join("target/debug");
    let _task = cx.progress.task("build warren and the simulator of Proxmox VE");
    let mut cargo = cargo(&cx.layout);
    cargo.args(["build", "--package", warren, "--package", simulator]);
    logged(&cx.cancel, &mut cargo, &cx.layout.build_log(warren)).context("build warren")?;
    Ok(Servers { warren: folder.join(warren), simulator: folder.join(simulator) })
}

/// Builds a program of this workspace.
pub(crate) fn build(cx: &Context, package: &str, program: &str, form: Form) -> Result<PathBuf> {
    let _task = cx.progress.task(format!("build {package}"));
    let mut cargo = cargo(&cx.layout);
    cargo.args(["build", "--package", package]);
    let mut folder = cx.layout.checkout.join("target");
    match form {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_that_cargo_built_the_programs_are_found() {
        let messages = [
            r#"{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"a"},"profile":{"test":false},"executable":null}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"it"},"profile":{"test":true},"executable":"/w/target/it-1"}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ];
        let found = programs(&messages.join("\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].is("it") && found[0].is_test);
        assert_eq!(found[0].path, PathBuf::from("/w/target/it-1"));
    }
}
