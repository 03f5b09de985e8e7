//! Uploads that go on after a broken connection: what came so far waits in a file until the rest is there.
//!
//! They lie in `partial/OWNER/DIGEST`; no object is ever half there.

use super::{BlobError, BlobPath, Blobs, RemoveError, Staged, WriteError, Written};
use bytes::Bytes;
use domain::{Digest, RunId, TenantId};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use object_store::path::Path;
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    error::Error,
    fs,
    io::{self, Read as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt as _,
    sync::OwnedMutexGuard,
};
use tokio_util::sync::CancellationToken;

const FOLDER: &str = "partial";

/// Whose unfinished uploads they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(String);

/// How much the unfinished uploads of one owner hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartialUsage {
    /// Sum of what came so far.
    pub bytes: u64,
    /// Number of uploads.
    pub count: u64,
}

/// A piece of an upload.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// What the whole must have as SHA-256.
    pub digest: &'a Digest,
    /// Where it begins.
    pub offset: u64,
    /// The most bytes that the whole may have.
    pub most: u64,
    /// Whether nothing comes after it.
    pub is_last: bool,
}

/// What became of a piece.
#[derive(Debug)]
pub enum Received {
    /// More is to come, from here on.
    UpTo(u64),
    /// The whole is there and has its digest.
    Whole(Staged),
}

/// Why a piece was not taken to its end.
#[derive(Debug, thiserror::Error)]
pub enum PieceError {
    /// It does not begin where what is there ends.
    #[error("the upload goes on at {expected}, not at {offset}")]
    Offset {
        /// How much is there.
        expected: u64,
        /// Where it begins.
        offset: u64,
    },
    /// Another request goes on with the same upload.
    #[error("another request goes on with this upload")]
    TakenOver,
    /// The bytes broke off or are not the promised ones. Of the first what came is kept, of the second
    /// nothing.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Who is at which upload. The latest comer is: the one before may be a connection that is dead and does
/// not know it yet.
pub(super) type Turns = Arc<Mutex<HashMap<PathBuf, Place>>>;

#[derive(Debug, Default)]
pub(super) struct Place {
    turn: Arc<tokio::sync::Mutex<()>>,
    taken_over: CancellationToken,
}

/// The right to touch an unfinished upload.
#[derive(Debug)]
pub(super) struct Turn {
    _alone: OwnedMutexGuard<()>,
    taken_over: CancellationToken,
}

impl Owner {
    /// The artifacts of a run.
    #[must_use]
    pub fn run(run: RunId) -> Self {
        Self(format!("run-{}", run.digits()))
    }

    /// The inputs that a tenant uploads.
    #[must_use]
    pub fn tenant(tenant: TenantId) -> Self {
        Self(format!("tenant-{}", tenant.digits()))
    }
}

impl Blobs {
    /// How much of an upload is there. Whoever is sending it is stopped first.
    ///
    /// # Errors
    /// If the object store fails.
    pub async fn partial_offset(&self, owner: &Owner, digest: &Digest) -> Result<u64, BlobError> {
        let file = self.partial_file(owner, digest);
        let _turn = self.turn(file.clone()).await;
        match tokio::fs::metadata(&file).await {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(failed(owner, digest, error)),
        }
    }

    /// Takes a piece of an upload as its bytes arrive; what came stays when they stop coming.
    ///
    /// # Errors
    /// If it does not begin where what is there ends, breaks a limit or off, the whole is not what was
    /// promised, or the object store fails.
    pub async fn receive_piece<E>(
        &self,
        owner: &Owner,
        piece: Piece<'_>,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Received, PieceError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let Piece { digest, offset, most, is_last } = piece;
        let path = self.partial_file(owner, digest);
        let turn = self.turn(path.clone()).await;
        let failed = |error| PieceError::Write(failed(owner, digest, error).into());
        let mut file = open(&path).await.map_err(failed)?;
        let expected = file.metadata().await.map_err(failed)?.len();
        if expected != offset {
            return Err(PieceError::Offset { expected, offset });
        }
        let mut size = offset;
        let appended = append(&mut file, bytes, &mut size, most, &turn, failed).await;
        // What is told as received is in the file, whatever came after it.
        file.flush().await.map_err(failed)?;
        if let Err(PieceError::Write(WriteError::TooLarge { .. })) = appended {
            tokio::fs::remove_file(&path).await.map_err(failed)?;
        }
        appended?;
        if !is_last {
            return Ok(Received::UpTo(size));
        }
        file.sync_all().await.map_err(failed)?;
        drop(file);
        let actual = digest_of(path.clone()).await.map_err(failed)?;
        if actual != *digest {
            tokio::fs::remove_file(&path).await.map_err(failed)?;
            let promised = digest.clone();
            return Err(WriteError::DigestMismatch { promised, actual }.into());
        }
        let written = Written { digest: actual, size };
        Ok(Received::Whole(Staged { path: object(owner, digest), written, turn: Some(turn) }))
    }

    /// How much unfinished uploads of one owner hold, beside that of one digest.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub async fn partial_usage(
        &self,
        owner: &Owner,
        beside: &Digest,
    ) -> Result<PartialUsage, BlobError> {
        let (folder, name) = (self.partial_folder(owner), beside.digits().to_owned());
        let sum = tokio::task::spawn_blocking(move || {
            let mut usage = PartialUsage::default();
            for entry in entries(&folder)? {
                if entry.file_name() != name.as_str() {
                    usage.bytes += entry.metadata()?.len();
                    usage.count += 1;
                }
            }
            Ok(usage)
        });
        let sum = sum.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        sum.map_err(|error| failed(owner, beside, error))
    }

    /// Forgets all unfinished uploads of one owner. Nothing is no error.
    ///
    /// # Errors
    /// If a file or folder cannot be removed.
    pub async fn remove_partials(&self, owner: &Owner) -> Result<(), RemoveError> {
        self.remove(&BlobPath(folder_of(owner))).await
    }

    /// Removes unfinished uploads to which nothing came since `before`; says how many.
    ///
    /// # Errors
    /// If a file or folder cannot be read or removed.
    pub async fn sweep_partials(&self, before: Timestamp) -> Result<u64, RemoveError> {
        let folder = self.folder.join(FOLDER);
        let swept = tokio::task::spawn_blocking(move || {
            let mut count = 0;
            for owner in entries(&folder)? {
                for entry in entries(&owner.path())? {
                    let modified = Timestamp::try_from(entry.metadata()?.modified()?);
                    if modified.is_ok_and(|modified| modified < before) {
                        fs::remove_file(entry.path())?;
                        count += 1;
                    }
                }
                // It stays if something is in it.
                let _ = fs::remove_dir(owner.path());
            }
            Ok(count)
        });
        let swept = swept.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        swept.map_err(|source| RemoveError { path: FOLDER.to_owned(), source })
    }

    /// Stops whoever is at an upload, and waits until nobody is.
    async fn turn(&self, path: PathBuf) -> Turn {
        let (turn, taken_over) = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, place| Arc::strong_count(&place.turn) > 1);
            let place = turns.entry(path).or_default();
            place.taken_over.cancel();
            place.taken_over = CancellationToken::new();
            (Arc::clone(&place.turn), place.taken_over.clone())
        };
        Turn { _alone: turn.lock_owned().await, taken_over }
    }

    fn partial_folder(&self, owner: &Owner) -> PathBuf {
        self.folder.join(folder_of(owner).as_ref())
    }

    fn partial_file(&self, owner: &Owner, digest: &Digest) -> PathBuf {
        self.partial_folder(owner).join(digest.digits())
    }
}

fn folder_of(owner: &Owner) -> Path {
    Path::from(format!("{FOLDER}/{}", owner.0))
}

fn object(owner: &Owner, digest: &Digest) -> Path {
    folder_of(owner).join(digest.digits())
}

fn failed(owner: &Owner, digest: &Digest, error: io::Error) -> BlobError {
    let source = object_store::Error::Generic { store: "LocalFileSystem", source: error.into() };
    BlobError::new("append to", &object(owner, digest), source)
}

/// Opens what is there of an upload; an empty file if that is nothing.
async fn open(path: &std::path::Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    OpenOptions::new().append(true).create(true).open(path).await
}

/// Adds bytes as they arrive, to the limit, until they end or somebody else goes on.
async fn append<E>(
    file: &mut File,
    bytes: impl Stream<Item = Result<Bytes, E>>,
    size: &mut u64,
    most: u64,
    turn: &Turn,
    failed: impl Fn(io::Error) -> PieceError,
) -> Result<(), PieceError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut bytes = std::pin::pin!(bytes);
    loop {
        let next = tokio::time::timeout(Blobs::SILENCE, bytes.next());
        let next = turn.taken_over.run_until_cancelled(next).await;
        let next = next.ok_or(PieceError::TakenOver)?;
        let next = next.map_err(|_| WriteError::Stalled { seconds: Blobs::SILENCE.as_secs() })?;
        let Some(chunk) = next else { return Ok(()) };
        let chunk = chunk.map_err(|error| WriteError::Interrupted(error.into()))?;
        if *size + chunk.len() as u64 > most {
            return Err(WriteError::TooLarge { limit: most }.into());
        }
        file.write_all(&chunk).await.map_err(&failed)?;
        *size += chunk.len() as u64;
    }
}

async fn digest_of(path: PathBuf) -> io::Result<Digest> {
    let read = tokio::task::spawn_blocking(move || {
        let (mut file, mut hash) = (fs::File::open(path)?, Sha256::new());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Digest::of_sha256(hash.finalize().into())),
                count => hash.update(&buffer[..count]),
            }
        }
    });
    read.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// What is in a folder; nothing if there is none.
fn entries(folder: &std::path::Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
