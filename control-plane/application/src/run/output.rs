use super::{Caller, RunError};
use crate::{
    App,
    blobs::{BlobPath, Limits, Owner, Piece, PieceError, Received, WriteError, Written},
};
use bytes::Bytes;
use domain::{Digest, RunId};
use futures::Stream;
use serde::de::IgnoredAny;
use std::error::Error;
use store::{Artifact, ArtifactUsage, StoreError};

/// The largest result, in bytes.
pub const MAX_RESULT_BYTES: usize = 1 << 20;
/// The largest artifact, and what all artifacts of a run may have together, in bytes.
pub const MAX_ARTIFACT_BYTES: u64 = 1 << 30;
/// How many artifacts a run may have.
const MAX_ARTIFACTS: u64 = 10_000;
/// How deep a result may be nested: most programs that read JSON give up soon after that.
const MAX_RESULT_DEPTH: usize = 128;
/// The longest path of an artifact, in bytes.
const MAX_PATH_BYTES: usize = 512;

/// Why something that an agent left was not kept.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The call had no effect.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The result is not JSON.
    #[error("the result is not JSON: line {line}, column {column}")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// The result is too large.
    #[error("a result has at most {MAX_RESULT_BYTES} bytes")]
    TooLarge,
    /// The result is nested too deep.
    #[error("a result is nested at most {MAX_RESULT_DEPTH} deep")]
    TooDeep,
    /// There are too many artifacts.
    #[error("a run has at most {MAX_ARTIFACTS} artifacts")]
    TooMany,
    /// There is no room for an artifact.
    #[error("an artifact of {size} bytes has no room: {room} are left of {MAX_ARTIFACT_BYTES}")]
    NoRoom {
        /// Its size as it was announced.
        size: u64,
        /// What is left for it.
        room: u64,
    },
    /// The path of an artifact is not one.
    #[error("a path has 1 to 512 bytes, no empty part, no `.` and no `..`")]
    Path,
    /// The bytes are not the promised ones, are too many, or stopped coming.
    #[error("receive the bytes")]
    Write(#[from] WriteError),
    /// A piece was not taken to its end.
    #[error("{0}")]
    Piece(#[from] PieceError),
}

/// How far a file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many of its bytes are there.
    pub offset: u64,
    /// Whether it is kept: nothing more is to be sent.
    pub is_complete: bool,
}

impl From<StoreError> for OutputError {
    fn from(error: StoreError) -> Self {
        Self::Run(error.into())
    }
}

/// Keeps the result of a run, over an earlier one.
///
/// # Errors
/// If it is no JSON, too large or nested too deep.
pub async fn put_result(app: &App, caller: &Caller, json: Bytes) -> Result<(), OutputError> {
    if json.len() > MAX_RESULT_BYTES {
        return Err(OutputError::TooLarge);
    }
    let parsed: Result<IgnoredAny, _> = serde_json::from_slice(&json);
    parsed.map_err(|error| OutputError::NotJson { line: error.line(), column: error.column() })?;
    if depth(&json) > MAX_RESULT_DEPTH {
        return Err(OutputError::TooDeep);
    }
    let put = app.blobs.put(&BlobPath::result(caller.run.id), json).await;
    Ok(put.map_err(RunError::from)?)
}

/// Keeps a file that a run left, over an earlier one of the same path, as long as all of its files have
/// room together; `announced` is how many bytes the runner says it has. Files that come at the same
/// instant may pass that limit together.
///
/// # Errors
/// If the path is not one, there is no room, or the bytes are not the promised ones; nothing is kept
/// then.
pub async fn put_artifact<E>(
    app: &App,
    caller: &Caller,
    path: &str,
    digest: &Digest,
    announced: Option<u64>,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> Result<(), OutputError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    if !is_path(path) {
        return Err(OutputError::Path);
    }
    let run = caller.run.id;
    let blob = BlobPath::artifact(run, digest);
    let room = room_for(app, run, path, digest, announced.unwrap_or(0)).await?;
    let limits = Limits { bytes: room, digest };
    let written = app.blobs.write(&blob, bytes, limits).await?;
    note(app, run, path, &blob, written).await
}

/// How far a file is there that is sent in pieces; all of it, if it is kept already.
///
/// # Errors
/// If the path is not one, or the record or the object store does not answer.
pub async fn artifact_offset(
    app: &App,
    caller: &Caller,
    path: &str,
    digest: &Digest,
) -> Result<Progress, OutputError> {
    if !is_path(path) {
        return Err(OutputError::Path);
    }
    let run = caller.run.id;
    let kept = app.store.artifact_list(run).await?;
    if let Some(kept) = kept.iter().find(|kept| kept.path == path && kept.digest == *digest) {
        return Ok(Progress { offset: kept.size, is_complete: true });
    }
    let offset = app.blobs.partial_offset(&Owner::run(run), digest).await;
    Ok(Progress { offset: offset.map_err(RunError::from)?, is_complete: false })
}

/// Takes a piece of a file that a run left, of which `length` bytes are announced in all; with the last
/// one it is kept like any other.
///
/// # Errors
/// If the path is not one, there is no room, the piece is not the next one, or the whole is not the
/// promised one.
pub async fn append_artifact<E>(
    app: &App,
    caller: &Caller,
    path: &str,
    length: u64,
    piece: Piece<'_>,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Progress, OutputError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    if !is_path(path) {
        return Err(OutputError::Path);
    }
    let (run, digest) = (caller.run.id, piece.digest);
    let most = room_for(app, run, path, digest, length).await?;
    let piece = Piece { most: piece.most.min(most), ..piece };
    match app.blobs.receive_piece(&Owner::run(run), piece, bytes).await? {
        Received::UpTo(offset) => Ok(Progress { offset, is_complete: false }),
        Received::Whole(staged) => {
            let blob = BlobPath::artifact(run, digest);
            let written = app.blobs.keep(staged, &blob).await.map_err(RunError::from)?;
            let offset = written.size;
            note(app, run, path, &blob, written).await?;
            Ok(Progress { offset, is_complete: true })
        }
    }
}

async fn note(
    app: &App,
    run: RunId,
    path: &str,
    blob: &BlobPath,
    written: Written,
) -> Result<(), OutputError> {
    let Written { digest, size } = written;
    let artifact = Artifact { path: path.to_owned(), size, digest, blob: blob.to_string() };
    Ok(app.store.artifact_put(run, artifact).await?)
}

/// What is left for a file of this size beside the others and what is unfinished of them, in bytes.
async fn room_for(
    app: &App,
    run: RunId,
    path: &str,
    digest: &Digest,
    size: u64,
) -> Result<u64, OutputError> {
    let mut others = app.store.artifact_usage(run, path).await?;
    let unfinished = app.blobs.partial_usage(&Owner::run(run), digest).await;
    let unfinished = unfinished.map_err(RunError::from)?;
    others.bytes += unfinished.bytes;
    others.count += unfinished.count;
    room(others, size)
}

/// What is left for one file of this size beside the others, in bytes.
fn room(others: ArtifactUsage, size: u64) -> Result<u64, OutputError> {
    if others.count >= MAX_ARTIFACTS {
        return Err(OutputError::TooMany);
    }
    let room = MAX_ARTIFACT_BYTES.saturating_sub(others.bytes);
    if size > room { Err(OutputError::NoRoom { size, room }) } else { Ok(room) }
}

/// How deep a JSON text is nested.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn is_path(path: &str) -> bool {
    path.len() <= MAX_PATH_BYTES
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.contains(|character: char| character.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_room_that_the_others_leave() {
        let left = |count, bytes, size| room(ArtifactUsage { count, bytes }, size);
        assert!(matches!(left(0, 0, MAX_ARTIFACT_BYTES), Ok(MAX_ARTIFACT_BYTES)));
        assert!(matches!(left(2, MAX_ARTIFACT_BYTES - 2, 2), Ok(2)));
        let refused = left(2, MAX_ARTIFACT_BYTES - 2, 3);
        assert!(matches!(refused, Err(OutputError::NoRoom { size: 3, room: 2 })), "{refused:?}");
        assert!(matches!(left(1, MAX_ARTIFACT_BYTES + 9, 0), Ok(0)), "and not less");
        assert!(matches!(left(MAX_ARTIFACTS, 0, 0), Err(OutputError::TooMany)));
    }

    #[test]
    fn the_depth_of_a_result_is_that_of_its_brackets_outside_of_texts() {
        for (json, expected) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[1,[2]],"b":[{}]}"#, 3),
            (r#"["[[[", "\"[[", "\\\\", [0]]"#, 2),
        ] {
            assert_eq!(depth(json.as_bytes()), expected, "{json}");
        }
    }

    #[test]
    fn a_path_stays_below_its_folder() {
        for path in ["a", "a/b.txt", "..a/b..", ".hidden", "ü ö/#%"] {
            assert!(is_path(path), "{path}");
        }
        let long = "a".repeat(513);
        for path in ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a/./b", "a\n", "a\0", &long] {
            assert!(!is_path(path), "{path:?}");
        }
    }
}
