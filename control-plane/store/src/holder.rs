use jiff::Timestamp;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The exclusive right to one SQLite file, for as long as this lives.
///
/// The operating system gives the lock back when the process ends, however it ends; the text in
/// the file only tells people who holds it.
#[derive(Debug)]
pub(crate) struct Holder {
    _file: File,
}

#[derive(Debug)]
pub(crate) enum HoldError {
    Held(String),
    Io(io::Error),
}

impl Holder {
    pub(crate) fn take(path: &Path, now: Timestamp) -> Result<Self, HoldError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).map_err(HoldError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(HoldError::Held(read(&mut file))),
            Err(TryLockError::Error(error)) => return Err(HoldError::Io(error)),
        }
        write(&mut file, now).map_err(HoldError::Io)?;
        Ok(Self { _file: file })
    }
}

fn write(file: &mut File, now: Timestamp) -> io::Result<()> {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let pid = std::process::id();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("pid {pid} on {host} since {now:.0}\n").as_bytes())?;
    file.sync_data()
}

fn read(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(512).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "a process that has not written its name yet".to_owned(),
    }
}
