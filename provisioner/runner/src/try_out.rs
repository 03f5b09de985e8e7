//! What `warren doctor` starts in a pod of its own: says on a line each whether network policies bite,
//! which ids the pod has outside, and what a name resolves to.

use crate::{
    endpoint::CallError,
    gate::{GateError, Limits, pass},
    patience::Patience,
};
use std::{
    fs,
    io::Write as _,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

/// The ids of this process inside and outside of its user namespace (`user_namespaces(7)`).
const UID_MAP: &str = "/proc/self/uid_map";
/// How long policies may take to bite before they count as absent.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a name that is not found is asked for again.
const LOOKUP: Duration = Duration::from_secs(4);
/// How long the answer may take, whatever `resolv.conf` allows; longer, so that a reason is heard.
const ANSWER: Duration = Duration::from_secs(5);

/// Tries the gate from a pod that may reach the run endpoint and its DNS server only, and looks a
/// name up.
pub(crate) fn try_out(endpoint: SocketAddr, gate: SocketAddr, name: &str) -> ExitCode {
    let limits = Limits { total: PATIENCE, ..Limits::default() };
    let found = match pass(endpoint, gate, limits) {
        Ok(()) => "refused".to_owned(),
        Err(error @ GateError::Open { .. }) => format!("open {error}"),
        Err(error @ GateError::Away { .. }) => format!("unknown {error}"),
    };
    let map = fs::read_to_string(UID_MAP).unwrap_or_default();
    let map = map.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let address = match resolve(name.to_owned()) {
        Ok(address) => format!("found {address}"),
        Err(reason) => format!("unknown {reason}"),
    };
    match writeln!(std::io::stdout(), "gate={found}\nuid_map={map}\nname={address}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn resolve(name: String) -> Result<IpAddr, String> {
    let (sender, answer) = mpsc::channel();
    // Left behind when time is up: this process ends soon.
    thread::spawn(move || {
        let patience = Patience::default();
        patience.end_in(LOOKUP);
        let found = patience.persist(|| {
            let mut found =
                (name.as_str(), 0).to_socket_addrs().map_err(|e| CallError::Away(e.to_string()))?;
            found.next().ok_or_else(|| CallError::Away("it has no address".to_owned()))
        });
        // Nobody waits any longer when time is up.
        let _ = sender.send(found);
    });
    match answer.recv_timeout(ANSWER) {
        Ok(Ok(address)) => Ok(address.ip()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}
