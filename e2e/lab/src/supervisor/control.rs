//! Orders to the supervisor: one line of JSON in, one out.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::Supervisor;

/// Ends a part and starts it again. Warren keeps its listening socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) restart: String,
    #[serde(default)]
    pub(crate) signal: EndBy,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum EndBy {
    #[default]
    Term,
    Kill,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// Sends an order and waits for the answer.
pub(crate) fn send(socket: &Path, order: &Order) -> Result<i32> {
    let mut stream = UnixStream::connect(socket).context("reach the lab's supervisor")?;
    writeln!(stream, "{}", serde_json::to_string(order)?)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer: Answer = serde_json::from_str(&line).context("understand the supervisor")?;
    match answer.pid {
        Some(pid) if answer.ok => Ok(pid),
        _ => bail!("{}", answer.error.unwrap_or_default()),
    }
}

/// Takes orders until this process ends.
pub(super) fn listen(supervisor: &Arc<Supervisor>) -> Result<()> {
    let path = supervisor.cx.layout.control_socket();
    let listener =
        UnixListener::bind(&path).with_context(|| format!("listen at {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let supervisor = Arc::clone(supervisor);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let supervisor = Arc::clone(&supervisor);
            thread::spawn(move || {
                if let Err(error) = serve(&supervisor, stream) {
                    eprintln!("an order was left unanswered: {error:#}");
                }
            });
        }
    });
    Ok(())
}

fn serve(supervisor: &Arc<Supervisor>, stream: UnixStream) -> Result<()> {
    let mut out = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let done = serde_json::from_str(&line?)
            .context("understand the order")
            .and_then(|order: Order| supervisor.obey(&order));
        let answer = match done {
            Ok(pid) => Answer { ok: true, pid: Some(pid), error: None },
            Err(error) => Answer { ok: false, pid: None, error: Some(format!("{error:#}")) },
        };
        writeln!(out, "{}", serde_json::to_string(&answer)?)?;
    }
    Ok(())
}

impl Supervisor {
    fn obey(self: &Arc<Self>, order: &Order) -> Result<i32> {
        let part = self.parts().get(&order.restart).cloned();
        let part = part.with_context(|| format!("the lab has no part {}", order.restart))?;
        let signal = match order.signal {
            EndBy::Term => Signal::TERM,
            EndBy::Kill => Signal::KILL,
        };
        self.stop(&part, signal)?;
        Ok(self.start(&part)?.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_without_a_signal_ends_politely() {
        let order: Order = serde_json::from_str(r#"{"restart":"warren"}"#).expect("is an order");
        assert!(matches!(order.signal, EndBy::Term));
    }

    #[test]
    fn an_order_may_name_the_signal() {
        let text = r#"{"restart":"warren","signal":"KILL"}"#;
        let order: Order = serde_json::from_str(text).expect("is an order");
        assert!(matches!(order.signal, EndBy::Kill));
    }

    #[test]
    fn a_misspelt_order_is_refused() {
        assert!(serde_json::from_str::<Order>(r#"{"restart":"warren","signl":"KILL"}"#).is_err());
    }
}
