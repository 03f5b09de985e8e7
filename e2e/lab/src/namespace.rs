//! Entering the lab's network namespaces.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long a probe waits for a connection and for each answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where `ip netns` keeps namespaces.
pub(crate) const FOLDER: &str = "/run/netns";

/// The file that holds a network namespace of this name.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// A command that runs a program inside a network namespace; it becomes that
/// program, so its process is the program's.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", path(name).display()));
    command
}

/// Does something on a thread that was moved into a network namespace.
pub(crate) fn within<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = path(name);
    let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let inside = || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("enter {name}"))?;
        work()
    };
    thread::scope(|scope| match scope.spawn(inside).join() {
        Ok(result) => result,
        Err(_) => bail!("a probe in {name} panicked"),
    })
}

/// Connects and hangs up.
pub(crate) fn probe_tcp(name: &str, address: SocketAddr) -> Result<()> {
    within(name, || {
        let connection = TcpStream::connect_timeout(&address, PATIENCE);
        connection.map(drop).with_context(|| format!("connect to {address}"))
    })
}

/// Asks for a page and takes every answer but 200 for a failure.
pub(crate) fn probe_http(name: Option<&str>, address: SocketAddr, page: &str) -> Result<()> {
    let ask = || {
        let mut connection = TcpStream::connect_timeout(&address, PATIENCE)
            .with_context(|| format!("connect to {address}"))?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        write!(connection, "GET {page} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        // A server may close without saying so; what was read decides.
        let end = connection.take(4096).read_to_end(&mut answer).err();
        let answer = String::from_utf8_lossy(&answer);
        match (answer.lines().next(), end) {
            (Some(status), _) => ensure!(status.contains(" 200 "), "{page} answers {status:?}"),
            (None, Some(error)) => bail!("{page} does not answer: {error}"),
            (None, None) => bail!("{page} answers nothing"),
        }
        Ok(())
    };
    match name {
        Some(name) => within(name, ask),
        None => ask(),
    }
}

pub(crate) fn probe_unix(socket: &Path) -> Result<()> {
    let connection = UnixStream::connect(socket);
    connection.map(drop).with_context(|| format!("connect to {}", socket.display()))
}
