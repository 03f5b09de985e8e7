use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

/// How often and how long the gate is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// One attempt to connect.
    pub(crate) attempt: Duration,
    /// Between two attempts.
    pub(crate) pause: Duration,
    /// All of them.
    pub(crate) total: Duration,
}

/// Why the agent must not start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GateError {
    #[error(
        "the network policies of this pod are not in force: {gate} still accepts connections after \
         {seconds} s; the agent was not started"
    )]
    Open { gate: SocketAddr, seconds: u64 },
    #[error("the run endpoint {endpoint} could not be reached for {seconds} s: {reason}")]
    Away { endpoint: SocketAddr, seconds: u64, reason: String },
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(1),
            pause: Duration::from_millis(50),
            total: Duration::from_mins(1),
        }
    }
}

/// Waits until the network policies of the pod bite: the run endpoint can be reached, and the gate
/// beside it, which only lies behind the policies, cannot.
///
/// The endpoint is tried first: a pod whose network is not there yet reaches nothing, and would be
/// taken for a protected one. It has to be there still when the gate was refused: a Warren that is
/// ending or starting refuses everybody, and its gate is open for as long as its endpoint is.
pub(crate) fn pass(
    endpoint: SocketAddr,
    gate: SocketAddr,
    limits: Limits,
) -> Result<(), GateError> {
    let deadline = Instant::now() + limits.total;
    let seconds = limits.total.as_secs();
    // Nobody ever sends: receiving is a wait with a time limit.
    let (_sender, silence) = mpsc::channel::<()>();
    loop {
        let error = match TcpStream::connect_timeout(&endpoint, limits.attempt) {
            Err(error) => GateError::Away { endpoint, seconds, reason: error.to_string() },
            Ok(held) => match TcpStream::connect_timeout(&gate, limits.attempt) {
                Ok(_) => GateError::Open { gate, seconds },
                Err(_) if is_open(&held) => return Ok(()),
                Err(_) => {
                    let reason = "it went away while the gate was tried".to_owned();
                    GateError::Away { endpoint, seconds, reason }
                }
            },
        };
        if Instant::now() >= deadline {
            return Err(error);
        }
        let _timed_out = silence.recv_timeout(limits.pause);
    }
}

/// Whether the other side has neither closed nor reset a connection on which it has nothing to say.
fn is_open(connection: &TcpStream) -> bool {
    let peeked = connection.set_nonblocking(true).and_then(|()| connection.peek(&mut [0]));
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read as _, net::TcpListener};

    const QUICK: Limits = Limits {
        attempt: Duration::from_secs(1),
        pause: Duration::from_millis(5),
        total: Duration::from_millis(100),
    };

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        (listener, address)
    }

    #[test]
    fn a_gate_that_stays_open_keeps_the_agent_from_starting() {
        let (_endpoint, endpoint) = listener();
        let (_gate, gate) = listener();
        assert_eq!(pass(endpoint, gate, QUICK), Err(GateError::Open { gate, seconds: 0 }));
    }

    #[test]
    fn a_refused_gate_proves_nothing_while_the_endpoint_is_away() {
        let (closed, endpoint) = listener();
        let (gate, address) = listener();
        drop((closed, gate));
        let outcome = pass(endpoint, address, QUICK);
        assert!(matches!(outcome, Err(GateError::Away { .. })), "{outcome:?}");
    }

    #[test]
    fn a_connection_is_open_until_the_other_side_closes_it() {
        let (listener, endpoint) = listener();
        let mut connection = TcpStream::connect(endpoint).expect("it listens");
        assert!(is_open(&connection));
        drop(listener.accept().expect("there is one"));
        connection.set_nonblocking(false).expect("an open socket");
        assert_eq!(connection.read(&mut [0]).expect("its end"), 0);
        assert!(!is_open(&connection));
    }

    #[test]
    fn a_refused_gate_beside_a_reachable_endpoint_lets_the_agent_start() {
        let (_endpoint, endpoint) = listener();
        let (gate, address) = listener();
        drop(gate);
        assert_eq!(pass(endpoint, address, QUICK), Ok(()));
    }
}
