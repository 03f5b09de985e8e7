//! A pod without a pod: the runner with its files in folders of the test.

use crate::world::{DEADLINE, NewRun, World};
use application::log::LogStream;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time::timeout,
};

/// The folders and the network that a pod would have.
pub(crate) struct Pod {
    pub(crate) folder: TempDir,
    run: String,
    pub(crate) endpoint: SocketAddr,
    pub(crate) gate: SocketAddr,
}

/// A runner on its way.
pub(crate) struct Job {
    child: Child,
    pub(crate) id: Pid,
}

/// How a runner ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Pod {
    /// A pod of a run, whose network policies are in force.
    pub(crate) async fn new(world: &World, run: &NewRun) -> Self {
        // A port that was free a moment ago refuses connections.
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let gate = closed.local_addr().expect("a bound listener");
        Self::with_gate(world, run, gate)
    }

    pub(crate) fn with_gate(world: &World, run: &NewRun, gate: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("run")).expect("a new folder");
        fs::create_dir(folder.path().join("outputs")).expect("a new folder");
        fs::write(folder.path().join("run/token"), &run.token).expect("a new file");
        fs::write(folder.path().join("run/ca.crt"), &world.authority).expect("a new file");
        Self { folder, run: run.id.to_string(), endpoint: world.address, gate }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the runner with a command for the agent.
    pub(crate) fn start(&self, command: &[&str]) -> Job {
        let mut runner = Command::new(env!("CARGO_BIN_EXE_warren-runner"));
        let path = |name: &str| self.path(name).into_os_string();
        let child = runner
            .arg("--")
            .args(command)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("POD", path(""))
            .env("WARREN_SESSION_ID", "ses_test")
            .env("WARREN_RUN_ID", &self.run)
            .env("WARREN_RUN_DIR", path("run"))
            .env("WARREN_RUN_ENDPOINT", format!("https://{}", self.endpoint))
            .env("WARREN_RUN_GATE", self.gate.to_string())
            .env("WARREN_INPUT_MANIFEST", path("inputs/manifest.json"))
            .env("WARREN_OUTPUT_DIR", path("outputs"))
            // A proxy of the agent is not for the runner.
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the runner was built");
        let id = child.id().expect("it was just started");
        Job { child, id: Pid::from_raw(id.cast_signed()) }
    }

    /// Runs a script of the shell as the agent, to its end.
    pub(crate) async fn shell(&self, script: &str) -> Ended {
        self.start_shell(script).end().await
    }

    pub(crate) fn start_shell(&self, script: &str) -> Job {
        self.start(&["sh", "-c", script])
    }
}

impl Job {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.id, signal).expect("the runner lives");
    }

    pub(crate) async fn end(self) -> Ended {
        let output = timeout(DEADLINE, self.child.wait_with_output()).await;
        let Output { status, stdout, stderr } =
            output.expect("the runner ends in time").expect("its output can be read");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

/// A run, its pod, and the Warren that both belong to.
pub(crate) async fn pod_of_run() -> (World, NewRun, Pod) {
    let world = World::start().await;
    let run = world.run(Vec::new()).await;
    let pod = Pod::new(&world, &run).await;
    (world, run, pod)
}

/// Waits until something about a run is so.
pub(crate) async fn until(world: &World, what: &str, look: impl AsyncFn() -> bool) {
    let mut changes = world.app.store.changes();
    let wait = async {
        while !look().await {
            // An error means that some were missed: look again.
            let _ = changes.recv().await;
        }
    };
    assert!(timeout(DEADLINE, wait).await.is_ok(), "{what} did not happen");
}

/// The lines of one stream.
pub(crate) async fn lines(world: &World, run: &NewRun, stream: LogStream) -> Vec<String> {
    let lines = world.log(run).await.into_iter();
    lines.filter(|line| line.stream == stream).map(|line| line.text).collect()
}

/// Waits for a line of the log.
pub(crate) async fn until_line(world: &World, run: &NewRun, text: &str) {
    let look = async || world.texts(run).await.iter().any(|line| line == text);
    until(world, &format!("the line {text:?}"), look).await;
}

pub(crate) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
