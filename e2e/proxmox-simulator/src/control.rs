//! The control socket: orders as lines of JSON, an answer as a line of JSON for each.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use crate::act::Act;
use crate::fault::Fault;
use crate::simulator::Simulator;

/// An order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Lets something go wrong; answers its number.
    Inject(Fault),
    /// Clears a fault; all if there is no number.
    Clear(Option<u64>),
    /// Lets something happen.
    Act(Act),
    /// Answers the faults that wait.
    Faults,
    /// Answers all that is known of the cluster.
    State,
    /// Answers where the APIs are, and their authority.
    Where,
    /// Answers when no task runs any more.
    Settle,
}

/// Listens for orders until the simulator ends.
///
/// # Errors
/// If the socket cannot be made.
pub async fn listen(simulator: Arc<Simulator>, socket: &Path) -> Result<()> {
    if socket.exists() {
        std::fs::remove_file(socket).with_context(|| format!("remove {}", socket.display()))?;
    }
    let listener =
        UnixListener::bind(socket).with_context(|| format!("listen on {}", socket.display()))?;
    loop {
        let (stream, _) = listener.accept().await.context("accept")?;
        let simulator = simulator.clone();
        tokio::spawn(async move {
            let (reader, mut writer) = stream.into_split();
            let mut lines = tokio::io::BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut answer = obey(&simulator, &line).await.to_string();
                answer.push('\n');
                if writer.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn obey(simulator: &Simulator, line: &str) -> Value {
    let order = match serde_json::from_str(line) {
        Ok(order) => order,
        Err(error) => return json!({"ok": false, "error": error.to_string()}),
    };
    let answer = match order {
        Order::Inject(fault) => json!(simulator.inject(fault)),
        Order::Clear(number) => {
            simulator.clear(number);
            Value::Null
        }
        Order::Act(act) => match simulator.act(act).await {
            Ok(()) => Value::Null,
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                return json!({"ok": false, "error": error});
            }
        },
        Order::Faults => json!(simulator.faults()),
        Order::State => simulator.state(),
        Order::Where => json!({
            "nodes": simulator.addresses(), "authority": simulator.authority_pem(),
        }),
        Order::Settle => {
            simulator.settle().await;
            Value::Null
        }
    };
    json!({"ok": true, "answer": answer})
}

/// Sends one order and returns what was answered.
///
/// # Errors
/// If the simulator cannot be reached.
pub fn send(socket: &Path, order: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("reach the simulator by {}", socket.display()))?;
    writeln!(stream, "{order}")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).context("wait for an answer")?;
    serde_json::from_str(&line).with_context(|| format!("understand {line:?}"))
}
