//! What Warren is for, on real input: the job of the demo.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant};
use serde_json::Value;
use std::{path::Path, process::Command};

/// The smallest of the archives; what the agent says of it is compared with what `tar` says.
#[test]
fn an_agent_lints_a_real_package_and_leaves_a_result_and_a_report() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let sizes = lab.packages.iter().map(|path| Ok((path.metadata()?.len(), path)));
    let sizes: Vec<_> = sizes.collect::<Result<_>>()?;
    let (_, archive) = sizes.into_iter().min().context("the lab has fetched packages")?;
    let archive = archive.to_str().context("paths of the lab are text")?;
    let mut tar = Command::new("tar");
    let members = black_box::run(tar.args(["-tzf", archive]), "")?.success()?;
    let modules =
        members.lines().filter(|name| Path::new(name).extension() == Some("py".as_ref())).count();

    let to = ["session", "run", "--tenant", &tenant.name, "--image", lab.image("agent")];
    let what =
        ["--input", archive, "--wait", "-o", "name", "--", "/usr/bin/python3", "/agent/agent.py"];
    let said = lab.warren(&[&to[..], &what].concat())?.success()?;
    let id = said.trim().strip_prefix("session/").context("the name of a session")?;

    let result = lab.warren(&["session", "result", id, "--tenant", &tenant.name])?.success()?;
    let result: Value = serde_json::from_str(&result)?;
    ensure!(result["complete"] == true && result["modules"] == modules, "{modules}: {result}");
    let linter = result["linter"].as_str().unwrap_or_default();
    ensure!(linter.starts_with("pyflakes "), "the linter is in the image: {result}");
    let folder = tempfile::tempdir()?;
    let to = folder.path().to_str().context("a path in text")?;
    let bring = ["session", "artifacts", id, "--tenant", &tenant.name, "--download", to];
    lab.warren(&bring)?.success()?;
    let report = std::fs::read_to_string(folder.path().join("report.md"))?;
    let title = format!("# {} ", result["package"].as_str().context("a package")?);
    ensure!(report.starts_with(&title), "{report}");
    let log = lab.warren(&["session", "logs", id, "--tenant", &tenant.name])?.success()?;
    ensure!(log.contains(&format!("[{modules}/{modules}]")), "a line for each module: {log}");
    Ok(())
}
