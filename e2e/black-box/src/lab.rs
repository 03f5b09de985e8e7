use crate::{Node, Output, kubectl_in, run};
use anyhow::{Context, Result, bail};
use reqwest::blocking::{Client, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
    rc::Rc,
    sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

/// Tests share the lab; those that kill a part of it have it alone.
static SHARING: RwLock<()> = RwLock::new(());

/// One for all: making one takes longer than a request. It keeps no connection open, as tests kill servers.
static CLIENT: OnceLock<Client> = OnceLock::new();

/// How a test has the lab.
#[derive(Debug, Clone, Default)]
#[expect(dead_code, reason = "held, never looked at")]
enum Hold {
    #[default]
    Free,
    Shared(Rc<RwLockReadGuard<'static, ()>>),
    Alone(Rc<RwLockWriteGuard<'static, ()>>),
}

/// The lab that runs on this machine, as it describes itself in `lab.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lab {
    /// Where Warren's API answers on loopback.
    pub api_url: String,
    /// Whom to trust there with TLS, at the same port.
    pub ca_file: PathBuf,
    /// The file with the first operator's token.
    pub token_file: PathBuf,
    /// The file with the link with which the first operator makes an account.
    pub link_file: PathBuf,
    /// The `warren` program.
    pub warren: PathBuf,
    /// The `kubectl` program.
    pub kubectl: PathBuf,
    /// The host cluster's administrator.
    pub kubeconfig: PathBuf,
    /// The network namespace that Warren runs in.
    pub control_namespace: String,
    /// The nodes of the host cluster.
    pub nodes: Vec<Node>,
    /// `address:port` that runs report to.
    pub run_endpoint: String,
    /// Image references by name.
    pub images: BTreeMap<String, String>,
    /// Source archives of Python packages: the demo's real input.
    pub packages: Vec<PathBuf>,
    /// Where the lab keeps its running state.
    pub state: PathBuf,
    /// Where it keeps what was fetched or built once.
    pub cache: PathBuf,
    #[serde(skip)]
    hold: Hold,
}

impl Lab {
    /// The lab that the environment names, shared with other tests. Says so when a test is skipped.
    ///
    /// # Panics
    /// If `WARREN_LAB` names a file that cannot be read: then a test must not pass in silence.
    #[must_use]
    pub fn running() -> Option<Self> {
        let mut lab = Self::named()?;
        lab.hold = Hold::Shared(Rc::new(SHARING.read().unwrap_or_else(PoisonError::into_inner)));
        Some(lab)
    }

    /// The same, alone: for a test that kills a part of it.
    ///
    /// # Panics
    /// As [`Lab::running`].
    #[must_use]
    pub fn alone() -> Option<Self> {
        let mut lab = Self::named()?;
        lab.hold = Hold::Alone(Rc::new(SHARING.write().unwrap_or_else(PoisonError::into_inner)));
        Some(lab)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "tests are told by the environment where the lab is"
    )]
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    #[expect(clippy::panic, reason = "a lab that was promised and is not there fails the test")]
    fn named() -> Option<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let Ok(path) = std::env::var("WARREN_LAB") else {
            eprintln!("skipped: needs the lab; run `cargo lab test`");
            return None;
        };
        let lab = std::fs::read_to_string(&path)
            .context("read it")
            .and_then(|text| serde_json::from_str(&text).context("parse it"));
        match lab {
            Ok(lab) => Some(lab),
            Err(error) => panic!("WARREN_LAB={path}: {error:#}"),
        }
    }

    /// The first operator's token.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn operator_token(&self) -> Result<String> {
        let text = std::fs::read_to_string(&self.token_file).context("read the bootstrap token")?;
        Ok(text.trim().to_owned())
    }

    /// A request to Warren's API as the first operator.
    ///
    /// # Errors
    /// If there is no token.
    pub fn request(&self, method: reqwest::Method, path: &str) -> Result<RequestBuilder> {
        self.request_as(&self.operator_token()?, method, path)
    }

    /// A request to Warren's API with some token.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn request_as(
        &self,
        token: &str,
        method: reqwest::Method,
        path: &str,
    ) -> Result<RequestBuilder> {
        let client = if let Some(client) = CLIENT.get() {
            client
        } else {
            let builder = Client::builder().timeout(Duration::from_mins(1));
            let client = builder.pool_max_idle_per_host(0).build().context("make a client")?;
            CLIENT.get_or_init(|| client)
        };
        Ok(client.request(method, format!("{}{path}", self.api_url)).bearer_auth(token))
    }

    /// `GET` as the first operator; the body as JSON.
    ///
    /// # Errors
    /// If the answer is not a success.
    pub fn get(&self, path: &str) -> Result<Value> {
        let answer = self.request(reqwest::Method::GET, path)?.send()?;
        let (status, text) = (answer.status(), answer.text()?);
        if !status.is_success() {
            bail!("GET {path}: {status} {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("GET {path}: {text}"))
    }

    /// `POST` as the first operator; status and body.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let answer = self.request(reqwest::Method::POST, path)?.json(body).send()?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().unwrap_or(Value::Null)))
    }

    /// Warren's command line as the first operator.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn warren(&self, arguments: &[&str]) -> Result<Output> {
        run(&mut self.warren_command(arguments), "")
    }

    /// The same, not started yet.
    #[must_use]
    pub fn warren_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.warren);
        command
            .args(arguments)
            .env("WARREN_URL", &self.api_url)
            .env("WARREN_TOKEN_FILE", &self.token_file);
        command
    }

    /// `kubectl` on the host cluster as its administrator.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        self.kubectl_with_input(arguments, "")
    }

    /// The same with something on standard input, e.g. for `apply -f -`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        run(
            kubectl_in(&self.control_namespace, &self.kubectl, &self.kubeconfig).args(arguments),
            input,
        )
    }

    /// An image of the lab.
    ///
    /// # Panics
    /// If the lab has no image of that name.
    #[must_use]
    pub fn image(&self, name: &str) -> &str {
        self.images.get(name).unwrap_or_else(|| unreachable!("the lab has an image called {name}"))
    }

    /// Ends a part with a signal and starts it again; returns when it is healthy.
    ///
    /// # Errors
    /// If the lab's supervisor does not answer or the part does not come back.
    pub fn restart(&self, part: &str, signal: &str) -> Result<()> {
        self.restart_begin(part, signal)?.wait()
    }

    /// The same without waiting: something can be looked at meanwhile.
    ///
    /// # Errors
    /// If the lab's supervisor cannot be reached.
    pub fn restart_begin(&self, part: &str, signal: &str) -> Result<Restart> {
        let mut socket = UnixStream::connect(self.state.join("supervisor.sock"))
            .context("reach the supervisor")?;
        socket.set_read_timeout(Some(Duration::from_mins(1)))?;
        writeln!(socket, "{}", serde_json::json!({ "restart": part, "signal": signal }))?;
        Ok(Restart { part: part.to_owned(), socket })
    }

    /// Gives the simulated Proxmox VE an order, and gives its answer; `e2e/proxmox-simulator/README.md` says which there
    /// are.
    ///
    /// # Errors
    /// If it cannot be reached, or refuses.
    pub fn proxmox(&self, order: &Value) -> Result<Value> {
        let mut socket = UnixStream::connect(self.state.join("proxmox/control.sock"))
            .context("reach the simulated Proxmox VE")?;
        socket.set_read_timeout(Some(Duration::from_mins(1)))?;
        writeln!(socket, "{order}")?;
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).context("wait for Proxmox VE")?;
        let mut answer: Value = serde_json::from_str(&line)?;
        if answer["ok"] != Value::Bool(true) {
            bail!("{order}: {answer}");
        }
        Ok(answer["answer"].take())
    }

    /// Stops a part from running without ending it, until it is let go.
    ///
    /// # Errors
    /// If the part does not run.
    pub fn freeze(&self, part: &str) -> Result<Frozen> {
        let process = self.process(part)?.parse().ok().and_then(Pid::from_raw);
        let process = process.with_context(|| format!("the process number of {part}"))?;
        kill_process(process, Signal::STOP).with_context(|| format!("stop {part}"))?;
        Ok(Frozen { process })
    }

    /// The process number of a part.
    ///
    /// # Errors
    /// If the part does not run.
    pub fn process(&self, part: &str) -> Result<String> {
        let path = self.state.join("pid").join(part);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }
}

/// A part that ends and starts again.
#[derive(Debug)]
pub struct Restart {
    part: String,
    socket: UnixStream,
}

impl Restart {
    /// Waits until it is healthy.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn wait(self) -> Result<()> {
        let mut line = String::new();
        BufReader::new(self.socket).read_line(&mut line).context("wait for the supervisor")?;
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("parse {line:?}"))?;
        let is_back = answer["ok"] == Value::Bool(true);
        if is_back { Ok(()) } else { bail!("restart {}: {answer}", self.part) }
    }
}

/// A part that does not run at present; it goes on when this is dropped.
#[derive(Debug)]
pub struct Frozen {
    process: Pid,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // A process that is gone needs nothing.
        let _ = kill_process(self.process, Signal::CONT);
    }
}

/// Asks again every 50 ms until `question` has an answer; says what was seen last when time is up.
///
/// # Errors
/// If the deadline passes, or `question` fails.
#[expect(
    clippy::disallowed_methods,
    reason = "a black box can only be asked again; bounded by the deadline"
)]
pub fn until<T>(
    what: &str,
    seconds: u64,
    mut question: impl FnMut() -> Result<std::result::Result<T, String>>,
) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        match question()? {
            Ok(answer) => return Ok(answer),
            Err(seen) if Instant::now() > deadline => {
                bail!("{what}: not within {seconds} s; last seen: {seen}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Asks again every 50 ms for some seconds, and fails as soon as `question` does.
///
/// # Errors
/// Those of `question`.
#[expect(
    clippy::disallowed_methods,
    reason = "that something does not happen can only be seen by looking for a while"
)]
pub fn stays(what: &str, seconds: u64, mut question: impl FnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        question().with_context(|| what.to_owned())?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
