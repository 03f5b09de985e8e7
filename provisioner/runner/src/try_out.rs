//! What `warren doctor` starts in a pod of its own: says on two lines whether network policies bite
//! and which ids the pod has outside.

use crate::gate::{GateError, Limits, pass};
use std::{fs, io::Write as _, net::SocketAddr, process::ExitCode, time::Duration};

/// The ids of this process inside and outside of its user namespace (`user_namespaces(7)`).
const UID_MAP: &str = "/proc/self/uid_map";
/// How long policies may take to bite before they count as absent.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tries the gate from a pod that may reach the run endpoint only.
pub(crate) fn try_out(endpoint: SocketAddr, gate: SocketAddr) -> ExitCode {
    let limits = Limits { total: PATIENCE, ..Limits::default() };
    let found = match pass(endpoint, gate, limits) {
        Ok(()) => "refused".to_owned(),
        Err(error @ GateError::Open { .. }) => format!("open {error}"),
        Err(error @ GateError::Away { .. }) => format!("unknown {error}"),
    };
    let map = fs::read_to_string(UID_MAP).unwrap_or_default();
    let map = map.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    match writeln!(std::io::stdout(), "gate={found}\nuid_map={map}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
