//! Starts `warren serve` on a folder of its own and talks to it.

use reqwest::{Client, Method, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

/// Long enough for a busy machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a server keeps between its lives.
pub(crate) struct Home {
    pub(crate) folder: TempDir,
    database: String,
    /// What its configuration says beside the usual.
    pub(crate) section: String,
}

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    /// What it has said so far.
    pub(crate) said: Vec<String>,
    pub(crate) api: String,
    pub(crate) metrics: String,
    client: Client,
}

/// How a server ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) said: Vec<String>,
    pub(crate) after: Duration,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite://{}", folder.path().join("warren.db").display());
        Self { folder, database, section: String::new() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn configure(&self, filter: &str) {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "host",
            "clusters": [{"name": "host", "cluster": {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "warren", "user": {"token": "none"}}],
            "contexts": [{"name": "host", "context": {"cluster": "host", "user": "warren"}}],
        });
        std::fs::write(self.path("kubeconfig"), kubeconfig.to_string()).unwrap();
        let (database, key, blobs, kubeconfig) =
            (&self.database, self.path("secret.key"), self.path("blobs"), self.path("kubeconfig"));
        let text = format!(
            r#"
            database.url = "{database}"
            secrets.key_file = "{key}"
            blobs.path = "{blobs}"
            api.listen = "127.0.0.1:0"
            metrics.listen = "127.0.0.1:0"
            log.filter = "{filter}"
            [run_endpoint]
            listen = "127.0.0.1:0"
            advertise = "127.0.0.1:7443"
            gate_listen = "127.0.0.1:0"
            gate_advertise = "127.0.0.1:7444"
            [host_cluster]
            kubeconfig = "{kubeconfig}"
            reach = "port-forward"
            service_cidr = "10.43.0.0/16"
            [images]
            syncer = "s"
            kubernetes = "k"
            coredns = "c"
            runner = "r"
            "#
        );
        std::fs::write(self.path("warren.toml"), text + &self.section).unwrap();
    }

    /// Starts a server, and waits until it serves or has ended.
    pub(crate) async fn try_start(&self, filter: &str) -> Result<Server, Ended> {
        self.configure(filter);
        let mut child = Command::new(env!("CARGO_BIN_EXE_warren"))
            .args(["serve", "--config", &self.path("warren.toml")])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, lines) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                let _ = sender.send(line);
            }
        });
        let mut server = Server {
            child,
            lines,
            said: Vec::new(),
            api: String::new(),
            metrics: String::new(),
            client: Client::builder().no_proxy().timeout(PATIENCE).build().unwrap(),
        };
        let Some(serving) = server.hear(|line| line["message"] == "serving").await else {
            return Err(server.ended(Instant::now()).await);
        };
        let address = |name: &str| format!("http://{}", serving[name].as_str().unwrap());
        (server.api, server.metrics) = (address("api"), address("metrics"));
        Ok(server)
    }

    /// `warren bootstrap` on this home: exit code, stdout, stderr.
    pub(crate) async fn bootstrap(&self) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_warren"))
            .args(["bootstrap", "--config", &self.path("warren.toml")])
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        ended(output)
    }

    pub(crate) async fn start(&self) -> Server {
        self.try_start("info").await.unwrap()
    }
}

/// Exit code, stdout, stderr.
fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

impl Server {
    /// Waits until the server has taken so many requests that it does not answer yet.
    pub(crate) async fn until_in_flight(&self, count: usize) {
        let line = format!("warren_http_requests_in_flight {count}");
        let is_there = async {
            loop {
                let answer = reqwest::get(format!("{}/metrics", self.metrics)).await.unwrap();
                if answer.text().await.unwrap().lines().any(|each| each == line) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, is_there).await.expect("the requests are taken");
    }

    /// The first line from now on that `is_it`; nothing if the server says no more.
    pub(crate) async fn hear(&mut self, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
        // A server that goes on about something else does not say it either.
        let end = Instant::now() + PATIENCE;
        loop {
            let line = timeout_at(end, self.lines.recv()).await.expect("it says that in time")?;
            let value = serde_json::from_str(&line).unwrap_or(Value::Null);
            self.said.push(line);
            if is_it(&value) {
                return Some(value);
            }
        }
    }

    /// The same, whether it was said already or is said from now on: what happens side by side has no order.
    pub(crate) async fn hear_of(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut said = self.said.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        match said.find(&is_it) {
            Some(line) => line,
            None => self.hear(is_it).await.expect("it says that before it ends"),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// The token that the server showed.
    pub(crate) fn token(&self) -> String {
        let mut words = self.said.iter().flat_map(|line| line.split(' '));
        words.find(|word| word.starts_with("wrn_")).expect("it showed a token").to_owned()
    }

    pub(crate) fn request(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.api)).bearer_auth(token)
    }

    /// Sends JSON and gives status and answer.
    pub(crate) async fn post(&self, token: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.request(token, Method::POST, path).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> (u16, String) {
        let answer = self.request(token, Method::GET, path).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Runs the command line against it, in `folder`.
    pub(crate) async fn warren(
        &self,
        token: &str,
        folder: &Path,
        arguments: &[&str],
    ) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_warren"))
            .args(arguments)
            .env_clear()
            .env("WARREN_URL", &self.api)
            .env("WARREN_TOKEN", token)
            .current_dir(folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        ended(output)
    }

    /// SIGTERM, and the end.
    pub(crate) async fn terminate(self) -> Ended {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.ended(Instant::now()).await
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    async fn ended(mut self, since: Instant) -> Ended {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        let after = since.elapsed();
        while let Some(line) = self.lines.recv().await {
            self.said.push(line);
        }
        Ended { status, said: self.said, after }
    }
}
