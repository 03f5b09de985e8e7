use super::{Caller, RunError};
use crate::{
    App,
    blobs::{BlobPath, Limits, WriteError},
};
use bytes::Bytes;
use domain::Digest;
use futures::Stream;
use serde::de::IgnoredAny;
use std::error::Error;
use store::{Artifact, StoreError};

/// The largest result, in bytes.
pub const MAX_RESULT_BYTES: usize = 1 << 20;
/// The largest artifact, and what all artifacts of a run may have together, in bytes.
pub const MAX_ARTIFACT_BYTES: u64 = 1 << 30;
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
    /// The path of an artifact is not one.
    #[error("a path has 1 to 512 bytes, no empty part, no `.` and no `..`")]
    Path,
    /// The bytes are not the promised ones, are too many, or stopped coming.
    #[error("receive the bytes")]
    Write(#[from] WriteError),
}

impl From<StoreError> for OutputError {
    fn from(error: StoreError) -> Self {
        Self::Run(error.into())
    }
}

/// Keeps the result of a run, over an earlier one.
///
/// # Errors
/// If it is no JSON or too large.
pub async fn put_result(app: &App, caller: &Caller, json: Bytes) -> Result<(), OutputError> {
    if json.len() > MAX_RESULT_BYTES {
        return Err(OutputError::TooLarge);
    }
    let parsed: Result<IgnoredAny, _> = serde_json::from_slice(&json);
    parsed.map_err(|error| OutputError::NotJson { line: error.line(), column: error.column() })?;
    let put = app.blobs.put(&BlobPath::result(caller.run.id), json).await;
    Ok(put.map_err(RunError::from)?)
}

/// Keeps a file that a run left, over an earlier one of the same path, as long as all of its files have
/// room together. Files that come at the same instant may pass that limit together.
///
/// # Errors
/// If the path is not one, there is no room, or the bytes are not the promised ones; nothing is kept
/// then.
pub async fn put_artifact<E>(
    app: &App,
    caller: &Caller,
    path: &str,
    digest: &Digest,
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
    let limits = Limits { bytes: room(&app.store.artifact_list(run).await?, path), digest };
    let written = app.blobs.write(&blob, bytes, limits).await?;
    let (digest, size) = (written.digest, written.size);
    let artifact = Artifact { path: path.to_owned(), size, digest, blob: blob.to_string() };
    Ok(app.store.artifact_put(run, artifact).await?)
}

/// What is left for one file beside the others, in bytes.
fn room(others: &[Artifact], path: &str) -> u64 {
    let others = others.iter().filter(|other| other.path != path);
    others.fold(MAX_ARTIFACT_BYTES, |left, other| left.saturating_sub(other.size))
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
    fn a_file_has_the_room_that_the_others_leave_and_that_of_the_one_it_replaces() {
        let left = |path: &str, size| {
            let digest = Digest::of_sha256([0; 32]);
            Artifact { path: path.to_owned(), size, digest, blob: String::new() }
        };
        assert_eq!(room(&[], "a"), MAX_ARTIFACT_BYTES);
        let both = [left("a", MAX_ARTIFACT_BYTES - 7), left("b", 5)];
        assert_eq!((room(&both, "c"), room(&both, "b")), (2, 7));
        assert_eq!(room(&both, "a"), MAX_ARTIFACT_BYTES - 5);
        assert_eq!(room(&[left("a", MAX_ARTIFACT_BYTES), left("b", 1)], "c"), 0, "and not less");
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
