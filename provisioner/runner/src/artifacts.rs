//! What the agent left in its output folder, on its way to Warren.

mod walk;

use crate::{
    endpoint::{Artifact, CallError, Endpoint},
    inputs::hex,
    log::Log,
    patience::Patience,
};
use nix::fcntl::OFlag;
use ring::digest::{Context, SHA256};
use std::{
    fmt::Display,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    mem,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use walk::{Bounds, Found, walk};

const RESULT: &str = "result.json";
const MAX_RESULT_BYTES: u64 = 1 << 20;
/// As the run endpoint has it: of all files of a run together.
const ALL: Room = Room { files: 10_000, bytes: 1 << 30 };
/// How far the folder is looked at: an agent can fill it faster than anybody reads it.
const BOUNDS: Bounds = Bounds { entries: 20_000, path_bytes: 512 };
/// Smaller files are sent again as a whole when the connection broke.
const PIECES_FROM_BYTES: u64 = 1 << 20;
/// How many files that are left out are told by name; the others are counted.
const NAMED: usize = 100;

/// What is left for files that are not looked at yet.
#[derive(Debug, Clone, Copy)]
struct Room {
    files: u64,
    bytes: u64,
}

/// What is not kept, as it is told in the log.
struct LeftOut<'a> {
    log: &'a Log,
    named: usize,
    others: usize,
}

/// Sends the result and every file beside it. What cannot be sent is told in the log.
pub(crate) fn send_all(endpoint: &Endpoint, patience: &Patience, log: &Log, folder: &Path) {
    let mut left_out = LeftOut { log, named: 0, others: 0 };
    let sent = send_result(endpoint, patience, &folder.join(RESULT));
    let mut outcome = settle(&mut left_out, RESULT, sent);
    let mut room = ALL;
    for found in walk(folder, BOUNDS) {
        if outcome == Outcome::Pointless {
            break;
        }
        match found {
            Found::File { path, name } => {
                let sent = room
                    .open(&path)
                    .and_then(|(file, size)| send(endpoint, patience, &file, size, &name));
                outcome = settle(&mut left_out, &name, sent);
            }
            Found::Other { name, reason } => left_out.tell(&name, &reason),
            Found::More => {
                let Bounds { entries, .. } = BOUNDS;
                log.note(&format!("more than {entries} files and folders: the rest is left out"));
            }
        }
    }
    left_out.finish();
}

impl LeftOut<'_> {
    fn tell(&mut self, name: &str, reason: &dyn Display) {
        if self.named == NAMED {
            self.others += 1;
            return;
        }
        self.named += 1;
        self.log.note(&format!("{} is left out: {reason}", shown(name)));
    }

    fn finish(self) {
        if self.others > 0 {
            self.log.note(&format!("{} more files are left out", self.others));
        }
    }
}

impl Room {
    /// Opens a file and takes its place, if it has one. What is not there for a file is not read either:
    /// a size costs an agent nothing.
    fn open(&mut self, path: &Path) -> Result<(File, u64), CallError> {
        let (file, size) = open(path)?;
        if self.files == 0 {
            let most = format!("it comes after {} files, the most that are kept", ALL.files);
            return Err(CallError::File(io::Error::other(most)));
        }
        if size > self.bytes {
            let left = self.bytes;
            let most = format!("it has {size} bytes, and {left} are left of {}", ALL.bytes);
            return Err(CallError::File(io::Error::other(most)));
        }
        (self.files, self.bytes) = (self.files - 1, self.bytes - size);
        Ok((file, size))
    }
}

/// A name in one line, whatever is in it.
fn shown(name: &str) -> String {
    name.chars()
        .flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_default());
            let plain = escaped.is_none().then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Settled,
    /// Warren cannot be reached, or does not want to hear of this run.
    Pointless,
}

fn settle(left_out: &mut LeftOut<'_>, name: &str, sent: Result<(), CallError>) -> Outcome {
    match sent {
        Ok(()) => Outcome::Settled,
        Err(error @ (CallError::Refused { .. } | CallError::Gap { .. } | CallError::File(_))) => {
            left_out.tell(name, &error);
            Outcome::Settled
        }
        Err(error @ (CallError::Away(_) | CallError::Unauthorized)) => {
            left_out.log.note(&format!("{} could not be sent: {error}", shown(name)));
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

/// Sends so much of a file as there was when it was opened. A large one goes on where it was when the
/// connection broke.
fn send(
    endpoint: &Endpoint,
    patience: &Patience,
    mut file: &File,
    size: u64,
    name: &str,
) -> Result<(), CallError> {
    let sha256 = sha256(file, size)?;
    let artifact = Artifact { path: name, size, sha256: &sha256 };
    if size < PIECES_FROM_BYTES {
        return patience.persist(|| {
            file.rewind()?;
            endpoint.artifact(&artifact, file)
        });
    }
    let mut is_known = true;
    patience.persist(|| {
        let mut offset = 0;
        if !mem::take(&mut is_known) {
            let Some(there) = endpoint.artifact_offset(&artifact)? else { return Ok(()) };
            offset = there.min(size);
        }
        file.seek(SeekFrom::Start(offset))?;
        match endpoint.artifact_rest(&artifact, file, offset) {
            // It is elsewhere: ask where.
            Err(CallError::Refused { status: 409, detail }) => Err(CallError::Away(detail)),
            sent => sent,
        }
    })
}

fn sha256(file: &File, size: u64) -> io::Result<String> {
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = file.take(size);
    loop {
        match bytes.read(&mut buffer)? {
            0 => return Ok(hex(hash)),
            count => hash.update(&buffer[..count]),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_huge_size_of_nothing_is_refused_by_the_room_that_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let sparse = |name: &str, size: u64| {
            let path = folder.path().join(name);
            File::create(&path).and_then(|file| file.set_len(size)).expect("a file of holes");
            path
        };
        let mut room = Room { files: 3, bytes: 10 << 30 };
        let size = |opened: Result<(File, u64), CallError>| match opened {
            Ok((_, size)) => size.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(size(room.open(&sparse("a", 6 << 30))), "6442450944");
        let told = size(room.open(&sparse("b", 1 << 43)));
        assert_eq!(told, "it has 8796093022208 bytes, and 4294967296 are left of 1073741824");
        assert_eq!(size(room.open(&sparse("c", 4 << 30))), "4294967296");
        assert_eq!(size(room.open(&sparse("d", 0))), "0");
        let told = size(room.open(&sparse("e", 0)));
        assert_eq!(told, "it comes after 10000 files, the most that are kept");
    }

    #[test]
    fn a_name_cannot_write_lines_of_its_own_into_the_log() {
        assert_eq!(shown("a\nwarren-runner: b\u{1b}[2J ü"), "a\\nwarren-runner: b\\u{1b}[2J ü");
    }

    #[test]
    fn a_thousand_files_that_are_left_out_are_counted_after_a_hundred_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::new(folder.path());
        let mut left_out = LeftOut { log: &log, named: 0, others: 0 };
        for number in 0..1_000 {
            left_out.tell(&number.to_string(), &"no");
        }
        left_out.finish();
        log.close();
        let mut body = Vec::new();
        let keep = |lines: &[u8], _| {
            body.extend_from_slice(lines);
            Ok(crate::endpoint::Kept { next: 102, full: false })
        };
        log.send_all(keep);
        let body = String::from_utf8(body).expect("text");
        assert_eq!(body.lines().count(), 101);
        let last = body.lines().last().expect("a line");
        assert!(last.contains("warren-runner: 900 more files are left out"), "{last}");
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
