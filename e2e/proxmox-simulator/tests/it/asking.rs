//! A client that writes bytes itself, so that nothing is put right on the way.

use proxmox_simulator::{Config, Simulator};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Duration, sleep};

pub(crate) const ROOT: &str = "root@pam!test=secret";

/// An answer as it stood on the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) head: String,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn data(&self) -> &Value {
        assert_eq!(self.status, 200, "{self:?}");
        &self.body["data"]
    }

    pub(crate) fn closes(&self) -> bool {
        self.head.to_lowercase().contains("connection: close")
    }

    /// What the body says of a parameter.
    pub(crate) fn error(&self, parameter: &str) -> &str {
        assert_eq!(self.status, 400, "{self:?}");
        self.body["errors"][parameter].as_str().expect("names the parameter")
    }
}

/// A cluster with short times and a seed.
pub(crate) async fn cluster() -> Simulator {
    Simulator::in_process(Config::default()).await.expect("it starts")
}

/// Somebody who asks a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) simulator: &'a Simulator,
    pub(crate) node: &'a str,
    pub(crate) token: &'a str,
}

impl<'a> Asking<'a> {
    pub(crate) fn root(simulator: &'a Simulator) -> Self {
        Self { simulator, node: "pve1", token: ROOT }
    }

    pub(crate) fn with_token(simulator: &'a Simulator, token: &'a str) -> Self {
        Self { token, ..Self::root(simulator) }
    }

    pub(crate) fn at(self, node: &'a str) -> Self {
        Self { node, ..self }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "", "").await
    }

    /// With a form that is written as it is.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        self.send("POST", path, "application/x-www-form-urlencoded", form).await
    }

    pub(crate) async fn put(&self, path: &str, form: &str) -> Answer {
        self.send("PUT", path, "application/x-www-form-urlencoded", form).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let kind =
            if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let login = if self.token.is_empty() {
            String::new()
        } else {
            format!("Authorization: PVEAPIToken={}\r\n", self.token)
        };
        let head =
            format!("{method} /api2/json{path} HTTP/1.1\r\nHost: x\r\n{login}{kind}{length}\r\n");
        let mut stream = self.simulator.connect(self.node);
        say(&mut stream, &format!("{head}{body}")).await
    }

    /// Starts a task and waits for its end.
    pub(crate) async fn run(&self, method: &str, path: &str, form: &str) -> String {
        let kind = "application/x-www-form-urlencoded";
        let answer = if method == "DELETE" {
            self.delete(path).await
        } else {
            self.send(method, path, kind, form).await
        };
        self.end(answer.data().as_str().expect("the name of a task")).await
    }

    /// The end of a task.
    pub(crate) async fn end(&self, upid: &str) -> String {
        let node = upid.split(':').nth(1).expect("names its node");
        for _ in 0..10_000 {
            let answer = self.get(&format!("/nodes/{node}/tasks/{upid}/status")).await;
            if let Some(exit) = answer.data()["exitstatus"].as_str() {
                return exit.to_owned();
            }
            sleep(Duration::from_millis(100)).await;
        }
        unreachable!("{upid} does not end")
    }

    /// The lines of a task's log.
    pub(crate) async fn log(&self, upid: &str) -> Vec<String> {
        let node = upid.split(':').nth(1).expect("names its node");
        let answer = self.get(&format!("/nodes/{node}/tasks/{upid}/log?limit=500")).await;
        let lines = answer.data().as_array().expect("lines").iter();
        lines.map(|line| line["t"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A linked clone of the template on the shared storage.
    pub(crate) async fn clone_to(&self, id: u32) {
        let exit = self.run("POST", "/nodes/pve1/qemu/9000/clone", &format!("newid={id}")).await;
        assert_eq!(exit, "OK");
    }
}

/// Writes a request and reads one answer.
pub(crate) async fn say(stream: &mut DuplexStream, request: &str) -> Answer {
    // The other end may hang up before it has read everything.
    let _ = stream.write_all(request.as_bytes()).await;
    read(stream).await
}

/// Reads one answer; an empty one where the connection ends.
pub(crate) async fn read(stream: &mut DuplexStream) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return Answer::default();
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
    let mut words = head.lines().next().unwrap_or_default().splitn(3, ' ').skip(1);
    Answer {
        status: words.next().and_then(|text| text.parse().ok()).unwrap_or(0),
        reason: words.next().unwrap_or_default().to_owned(),
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        head,
        text,
    }
}
