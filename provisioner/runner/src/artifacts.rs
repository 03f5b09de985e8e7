//! What the agent left in its output folder, on its way to Warren.

use crate::{
    endpoint::{CallError, Endpoint},
    inputs::hex,
    log::Log,
    patience::Patience,
};
use nix::fcntl::OFlag;
use ring::digest::{Context, SHA256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

const RESULT: &str = "result.json";
const MAX_RESULT_BYTES: u64 = 1 << 20;
const MAX_ARTIFACT_BYTES: u64 = 1 << 30;
const MAX_PATH_BYTES: usize = 512;

/// Sends the result and every file beside it. What cannot be sent is told in the log.
pub(crate) fn send_all(endpoint: &Endpoint, patience: &Patience, log: &Log, folder: &Path) {
    let mut outcome = settle(log, RESULT, send_result(endpoint, patience, &folder.join(RESULT)));
    for found in walk(folder) {
        if outcome == Outcome::Pointless {
            return;
        }
        match found {
            Found::File { path, name } => {
                let sent = patience.persist(|| send(endpoint, &path, &name));
                outcome = settle(log, &name, sent);
            }
            Found::Other { name, reason } => log.note(&format!("{name} is left out: {reason}")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Settled,
    /// Warren cannot be reached, or does not want to hear of this run.
    Pointless,
}

fn settle(log: &Log, name: &str, sent: Result<(), CallError>) -> Outcome {
    match sent {
        Ok(()) => Outcome::Settled,
        Err(error @ (CallError::Refused { .. } | CallError::Gap { .. } | CallError::File(_))) => {
            log.note(&format!("{name} is left out: {error}"));
            Outcome::Settled
        }
        Err(error @ (CallError::Away(_) | CallError::Unauthorized)) => {
            log.note(&format!("{name} could not be sent: {error}"));
            Outcome::Pointless
        }
    }
}

fn send_result(endpoint: &Endpoint, patience: &Patience, path: &Path) -> Result<(), CallError> {
    let file = match open(path) {
        Ok((file, size)) if size <= MAX_RESULT_BYTES => file,
        Ok((_, size)) => return Err(too_large(size, MAX_RESULT_BYTES)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut json = Vec::new();
    file.take(MAX_RESULT_BYTES).read_to_end(&mut json)?;
    patience.persist(|| endpoint.result(&json))
}

fn send(endpoint: &Endpoint, path: &Path, name: &str) -> Result<(), CallError> {
    let (mut file, size) = open(path)?;
    if size > MAX_ARTIFACT_BYTES {
        return Err(too_large(size, MAX_ARTIFACT_BYTES));
    }
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = (&mut file).take(size);
    loop {
        match bytes.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    file.rewind()?;
    endpoint.artifact(name, file, size, &hex(hash))
}

fn too_large(size: u64, most: u64) -> CallError {
    CallError::File(io::Error::other(format!("{size} bytes, and {most} is the most that is kept")))
}

/// Opens a regular file and nothing else, and says how long it is.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata.len()))
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    File { path: PathBuf, name: String },
    Other { name: String, reason: String },
}

/// Everything below a folder but the result, by name. Links are not followed.
fn walk(folder: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = fs::read_dir(&next).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                let name = relative(folder, &next).display().to_string();
                found.push(Found::Other { name, reason: error.to_string() });
                continue;
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = relative(folder, &path);
            let shown = name.display().to_string();
            let other = |reason: &str| Found::Other { name: shown, reason: reason.to_owned() };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_symlink() => found.push(other("it is a symbolic link")),
                Ok(kind) if !kind.is_file() => found.push(other("it is not a regular file")),
                Ok(_) if name == Path::new(RESULT) => {}
                Ok(_) => found.push(match name.to_str() {
                    Some(name) if name.len() > MAX_PATH_BYTES => other("its path is too long"),
                    Some(name) => Found::File { name: name.to_owned(), path },
                    None => other("its name is not UTF-8"),
                }),
                Err(error) => found.push(other(&error.to_string())),
            }
        }
    }
    found
}

fn relative<'a>(folder: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(folder).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_regular_file_but_the_result_is_found_and_links_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("deep/er")).expect("a folder");
        for name in ["result.json", "a", "deep/result.json", "deep/er/b"] {
            fs::write(path(name), name).expect("a file");
        }
        symlink("/etc/passwd", path("deep/link")).expect("a link");
        symlink("/etc", path("folder-link")).expect("a link");
        let names: Vec<String> = walk(folder.path())
            .into_iter()
            .map(|found| match found {
                Found::File { name, .. } => name,
                Found::Other { name, reason } => format!("{name}: {reason}"),
            })
            .collect();
        let expected = [
            "a",
            "folder-link: it is a symbolic link",
            "deep/link: it is a symbolic link",
            "deep/result.json",
            "deep/er/b",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_link_in_place_of_the_result_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(RESULT);
        symlink("/etc/passwd", &path).expect("a link");
        assert!(open(&path).is_err());
        assert!(open(folder.path()).is_err());
    }
}
