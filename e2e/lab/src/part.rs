//! A part of the lab: one process that the supervisor starts, watches and stops.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::namespace;

#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// The network namespace that it runs in.
    pub(crate) namespace: &'static str,
    /// The file of the mount namespace that it runs in, if not the machine's own.
    pub(crate) mounts: Option<PathBuf>,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) check: Check,
    /// How long it may take to become healthy.
    pub(crate) start_limit: Duration,
    /// How long it may take to end after SIGTERM.
    pub(crate) stop_limit: Duration,
    /// Whether the lab's own listening socket is handed to it.
    pub(crate) inherits_listener: bool,
}

/// How a part shows that it works.
#[derive(Debug, Clone)]
pub(crate) enum Check {
    /// It runs; there is nothing to ask.
    Runs,
    Unix(PathBuf),
    /// In the part's network namespace.
    Tcp(SocketAddr),
    /// In the part's network namespace.
    Http(SocketAddr, &'static str),
    /// In the machine's own network namespace.
    OwnHttp(SocketAddr, &'static str),
    /// One process that is several things at once.
    All(Vec<Check>),
}

impl Part {
    pub(crate) fn new(name: impl Into<String>, namespace: &'static str, program: PathBuf) -> Self {
        Self {
            name: name.into(),
            namespace,
            mounts: None,
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            check: Check::Runs,
            start_limit: Duration::from_mins(1),
            stop_limit: Duration::from_secs(5),
            inherits_listener: false,
        }
    }

    /// Adds an argument: `--flag value` from a flag and its value.
    pub(crate) fn flag(mut self, flag: &str, value: impl Into<String>) -> Self {
        self.arguments.extend([flag.into(), value.into()]);
        self
    }

    pub(crate) fn path(self, flag: &str, path: impl Into<PathBuf>) -> Self {
        let path: PathBuf = path.into();
        self.flag(flag, path.display().to_string())
    }

    pub(crate) fn switch(mut self, switch: &str) -> Self {
        self.arguments.push(switch.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn check(self, check: Check) -> Self {
        Self { check, ..self }
    }

    /// The command that becomes the part's process.
    pub(crate) fn command(&self) -> Command {
        let mut command = namespace::command(self.namespace);
        if let Some(mounts) = &self.mounts {
            command.arg(format!("--mount={}", mounts.display()));
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir("/");
        command
    }

    /// Asks the part whether it works.
    pub(crate) fn probe(&self) -> Result<()> {
        self.check.ask(self.namespace)
    }
}

impl Check {
    fn ask(&self, namespace: &str) -> Result<()> {
        match self {
            Self::Runs => Ok(()),
            Self::Unix(socket) => namespace::probe_unix(socket),
            Self::Tcp(address) => namespace::probe_tcp(namespace, *address),
            Self::Http(address, page) => namespace::probe_http(Some(namespace), *address, page),
            Self::OwnHttp(address, page) => namespace::probe_http(None, *address, page),
            Self::All(checks) => checks.iter().try_for_each(|check| check.ask(namespace)),
        }
    }
}
