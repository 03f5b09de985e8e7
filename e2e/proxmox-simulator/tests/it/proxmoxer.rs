//! The Python client proxmoxer against the simulated cluster, over TLS and in real time.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use proxmox_simulator::machines::imaginary::Imaginary;
use proxmox_simulator::{Clock, Config, Simulator, Times};

/// Names the Python of an environment that has `tests/proxmoxer/requirements.txt` installed.
const PYTHON: &str = "PROXMOX_SIMULATOR_PYTHON";

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where Python is")]
async fn a_client_that_nobody_here_wrote_lives_with_it() {
    let Ok(python) = std::env::var(PYTHON) else {
        eprintln!("skipped: {PYTHON} names no Python with proxmoxer");
        return;
    };
    let times = Times { linked_clone_ms: 50, ..Times::short() };
    let config = Config { times, refusal_ms: 100, ..Config::default() };
    let machines = Imaginary::new(Duration::from_millis(100), Duration::from_millis(100));
    let simulator = Simulator::start(config, Clock::system(), Arc::new(machines)).await;
    let simulator = simulator.expect("it starts");
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("authority.crt");
    std::fs::write(&authority, simulator.authority_pem().expect("has one")).expect("is written");
    let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxmoxer/suite.py");
    let output = tokio::process::Command::new(python)
        .arg(suite)
        .arg(simulator.addresses()["pve1"].to_string())
        .arg(authority)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
