//! One lab on a machine, and one command at a time that changes it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::kernel::Settings;
use crate::layout::{read_json, write_json};
use crate::process::{age, now_ms};

/// Namespaces and control groups have one name on the whole machine, so this folder
/// does not depend on where a lab keeps its state.
const FOLDER: &str = "/run/warren-lab";

/// Held while a command changes the lab.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    command: String,
    pid: u32,
    since_ms: u64,
}

/// The lab of this machine, from the moment before its first piece is made until
/// after its last is gone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Present {
    pub(crate) state: PathBuf,
    pub(crate) settings: Settings,
}

impl Lock {
    /// Takes the lock, or says who holds it.
    pub(crate) fn take(command: &str) -> Result<Self> {
        std::fs::create_dir_all(FOLDER).with_context(|| format!("make {FOLDER}"))?;
        let path = Path::new(FOLDER).join("lock");
        loop {
            let mut options = OpenOptions::new();
            let file = options.create(true).truncate(false).read(true).write(true).open(&path);
            let mut file = file.with_context(|| format!("open {}", path.display()))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                bail!("{}", describe(&mut file));
            }
            // The last holder may have removed the file after it was opened here.
            let is_current = path
                .metadata()
                .is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino()));
            if is_current {
                let pid = std::process::id();
                let holder = Holder { command: command.into(), pid, since_ms: now_ms() };
                file.set_len(0)?;
                file.write_all(&serde_json::to_vec(&holder)?)?;
                return Ok(Self { file });
            }
            std::fs::create_dir_all(FOLDER)?;
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The folder stays while a lab is there.
        if Present::path().exists() {
            let _ = self.file.set_len(0);
        } else {
            let _ = std::fs::remove_dir_all(FOLDER);
        }
    }
}

impl Present {
    pub(crate) fn read() -> Option<Self> {
        read_json(&Self::path()).ok()
    }

    pub(crate) fn write(&self) -> Result<()> {
        write_json(&Self::path(), self)
    }

    pub(crate) fn remove() -> Result<()> {
        let path = Self::path();
        if path.exists() {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }

    fn path() -> PathBuf {
        Path::new(FOLDER).join("lab.json")
    }
}

fn describe(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    match read.ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok()) {
        Some(Holder { command, pid, since_ms }) => {
            format!("`lab {command}` (process {pid}) is at work on the lab for {}", age(since_ms))
        }
        None => "another command is at work on the lab".into(),
    }
}
