//! The bytes that are too big for the record: inputs, logs, results, artifacts.
//!
//! Objects appear whole or not at all: what is being written lies in `staging/` until its digest
//! is known to be right.

mod partial;
mod path;

pub use partial::{Owner, PartialUsage, Piece, PieceError, Received};
pub use path::BlobPath;

use bytes::Bytes;
use domain::{Digest, IdGen, RunId, TenantId};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart,
    local::LocalFileSystem, path::Path,
};
use sha2::{Digest as _, Sha256};
use std::{error::Error, fmt, io, ops::Range, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::{Mutex, MutexGuard};

/// Where finished objects are and how they get there. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    objects: Arc<dyn ObjectStore>,
    folder: PathBuf,
    ids: Arc<dyn IdGen>,
    inputs: Arc<Mutex<()>>,
    turns: partial::Turns,
}

/// Bytes that were received and are kept nowhere yet.
#[derive(Debug)]
#[must_use = "it is kept or discarded"]
pub struct Staged {
    path: Path,
    /// What was received.
    pub written: Written,
    /// Of an upload in pieces: nobody else goes on with it until it is kept.
    turn: Option<partial::Turn>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// What a stream of bytes has to keep to.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// The most bytes that are taken.
    pub bytes: u64,
    /// What the bytes must have as SHA-256.
    pub digest: &'a Digest,
}

/// An object that is being read.
pub struct Reading {
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes, in order.
    pub bytes: BoxStream<'static, Result<Bytes, BlobError>>,
}

/// The folder could not be used.
#[derive(Debug, thiserror::Error)]
#[error("open the folder of blobs {folder}")]
pub struct OpenBlobsError {
    folder: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

/// What runs or tenants left could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("remove the objects below {path}")]
pub struct RemoveError {
    path: String,
    #[source]
    source: io::Error,
}

/// The object store failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} object {path}")]
pub struct BlobError {
    action: &'static str,
    path: String,
    #[source]
    source: object_store::Error,
}

/// Why a stream was not kept. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The bytes are not the promised ones.
    #[error("the bytes have digest {actual}")]
    DigestMismatch {
        /// What was promised.
        promised: Digest,
        /// What they have.
        actual: Digest,
    },
    /// There are more bytes than allowed.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// The most bytes that are taken.
        limit: u64,
    },
    /// The sender broke off.
    #[error("the sender broke off")]
    Interrupted(#[source] Box<dyn Error + Send + Sync>),
    /// The sender was silent for too long.
    #[error("the sender was silent for {seconds} s")]
    Stalled {
        /// How long.
        seconds: u64,
    },
    /// The object store failed.
    #[error("write the object")]
    Blob(#[from] BlobError),
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Blobs {
    /// How long a sender may be silent.
    pub const SILENCE: Duration = Duration::from_secs(30);
    const PART_BYTES: usize = 1 << 20;
    const STAGING: &'static str = "staging";

    /// Uses a folder, which is made if it is missing. What is written is on the disk before a
    /// method returns.
    ///
    /// # Errors
    /// If the folder cannot be made or used.
    pub fn open(folder: &std::path::Path, ids: Arc<dyn IdGen>) -> Result<Self, OpenBlobsError> {
        let failed = |source: Box<dyn Error + Send + Sync>| OpenBlobsError {
            folder: folder.display().to_string(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(|error| failed(error.into()))?;
        let objects =
            LocalFileSystem::new_with_prefix(folder).map_err(|error| failed(error.into()))?;
        Ok(Self {
            objects: Arc::new(objects.with_fsync(true)),
            folder: folder.to_owned(),
            ids,
            inputs: Arc::default(),
            turns: Arc::default(),
        })
    }

    /// Removes what was being written before `before` and was never finished; says how much.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub async fn sweep(&self, before: Timestamp) -> io::Result<u64> {
        let staging = self.folder.join(Self::STAGING);
        let mut entries = match tokio::fs::read_dir(staging).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut count = 0;
        while let Some(entry) = entries.next_entry().await? {
            let modified = Timestamp::try_from(entry.metadata().await?.modified()?);
            if modified.is_ok_and(|modified| modified < before) {
                tokio::fs::remove_file(entry.path()).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Whether objects can be written.
    ///
    /// # Errors
    /// If not.
    pub async fn check(&self) -> Result<(), BlobError> {
        let path = BlobPath(self.staged());
        self.put(&path, Bytes::from_static(b"check")).await?;
        self.delete(&path).await
    }

    /// Writes a small object at once, over an older one.
    ///
    /// # Errors
    /// If the object store fails.
    pub async fn put(&self, path: &BlobPath, bytes: Bytes) -> Result<(), BlobError> {
        let put = self.objects.put(&path.0, PutPayload::from_bytes(bytes)).await;
        put.map(drop).map_err(|error| BlobError::new("write", &path.0, error))
    }

    /// Writes an object as its bytes arrive, within limits.
    ///
    /// # Errors
    /// If the bytes break a limit or stop coming, or the object store fails; nothing is kept then.
    pub async fn write<E>(
        &self,
        path: &BlobPath,
        bytes: impl Stream<Item = Result<Bytes, E>>,
        limits: Limits<'_>,
    ) -> Result<Written, WriteError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let staged = self.receive(bytes, limits).await?;
        Ok(self.keep(staged, path).await?)
    }

    /// Takes bytes as they arrive, within limits. They are on the disk, and not yet an object.
    ///
    /// # Errors
    /// If the bytes break a limit or stop coming, or the object store fails; nothing is kept then.
    pub async fn receive<E>(
        &self,
        bytes: impl Stream<Item = Result<Bytes, E>>,
        limits: Limits<'_>,
    ) -> Result<Staged, WriteError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let path = self.staged();
        let failed = |error| BlobError::new("write", &path, error);
        let upload = self.objects.put_multipart(&path).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, Self::PART_BYTES);
        match receive(bytes, limits, &mut upload, failed).await {
            Ok(written) => {
                upload.finish().await.map_err(failed)?;
                Ok(Staged { path, written, turn: None })
            }
            Err(error) => {
                upload.abort().await.map_err(failed)?;
                Err(error)
            }
        }
    }

    /// Makes an object of what was received, over an older one.
    ///
    /// # Errors
    /// If the object store fails.
    pub async fn keep(&self, staged: Staged, path: &BlobPath) -> Result<Written, BlobError> {
        let Staged { path: from, written, turn: _turn } = staged;
        let renamed = self.objects.rename(&from, &path.0).await;
        renamed.map(|()| written).map_err(|error| BlobError::new("write", &path.0, error))
    }

    /// The right to make or remove the object of an uploaded input together with its row. Whoever
    /// has it is alone, because there is one process at a time that serves a record.
    pub(crate) async fn inputs(&self) -> MutexGuard<'_, ()> {
        self.inputs.lock().await
    }

    /// Removes everything that a run left: its log, its result, its artifacts. Nothing is no error.
    ///
    /// # Errors
    /// If a file or folder cannot be removed.
    pub async fn remove_run(&self, run: RunId) -> Result<(), RemoveError> {
        self.remove(&BlobPath::run(run)).await
    }

    /// Removes the log of a run. Nothing is no error.
    ///
    /// # Errors
    /// If a file or folder cannot be removed.
    pub async fn remove_log(&self, run: RunId) -> Result<(), RemoveError> {
        self.remove(&BlobPath::log(run)).await
    }

    /// Removes the result and the artifacts of a run. Nothing is no error.
    ///
    /// # Errors
    /// If a file or folder cannot be removed.
    pub async fn remove_files(&self, run: RunId) -> Result<(), RemoveError> {
        self.remove(&BlobPath::artifacts(run)).await?;
        let path = BlobPath::result(run);
        path.removed(tokio::fs::remove_file(self.folder.join(path.0.as_ref())).await)
    }

    /// Removes everything that a tenant uploaded. Nothing is no error.
    ///
    /// # Errors
    /// If a file or folder cannot be removed.
    pub async fn remove_inputs(&self, tenant: TenantId) -> Result<(), RemoveError> {
        self.remove(&BlobPath::inputs(tenant)).await
    }

    /// Removes a folder with all that is in it, half-written objects included.
    async fn remove(&self, path: &BlobPath) -> Result<(), RemoveError> {
        path.removed(tokio::fs::remove_dir_all(self.folder.join(path.0.as_ref())).await)
    }

    /// All bytes of a small object; nothing if there is none.
    ///
    /// # Errors
    /// If the object store fails.
    pub async fn get(&self, path: &BlobPath) -> Result<Option<Bytes>, BlobError> {
        let Some(found) = self.find(path, None).await? else { return Ok(None) };
        let bytes = found.bytes().await;
        bytes.map(Some).map_err(|error| BlobError::new("read", &path.0, error))
    }

    /// The bytes of an object as they are read; nothing if there is none.
    ///
    /// # Errors
    /// If the object store fails.
    pub async fn read(&self, path: &BlobPath) -> Result<Option<Reading>, BlobError> {
        self.read_part(path, None).await
    }

    /// Opens a part of an object for reading, or all of it; nothing if there is none.
    ///
    /// # Errors
    /// If the object store fails, or the part is not in it.
    pub async fn read_part(
        &self,
        path: &BlobPath,
        part: Option<Range<u64>>,
    ) -> Result<Option<Reading>, BlobError> {
        let Some(found) = self.find(path, part).await? else { return Ok(None) };
        let size = found.range.end - found.range.start;
        let path = path.0.clone();
        let bytes = found.into_stream().map_err(move |error| BlobError::new("read", &path, error));
        Ok(Some(Reading { size, bytes: bytes.boxed() }))
    }

    /// Removes an object; it is no error if there is none.
    ///
    /// # Errors
    /// If the object store fails.
    pub async fn delete(&self, path: &BlobPath) -> Result<(), BlobError> {
        match self.objects.delete(&path.0).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(BlobError::new("delete", &path.0, error)),
        }
    }

    async fn find(
        &self,
        path: &BlobPath,
        part: Option<Range<u64>>,
    ) -> Result<Option<object_store::GetResult>, BlobError> {
        let options = GetOptions { range: part.map(GetRange::Bounded), ..GetOptions::default() };
        match self.objects.get_opts(&path.0, options).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(BlobError::new("read", &path.0, error)),
        }
    }

    fn staged(&self) -> Path {
        Path::from(format!("{}/{}", Self::STAGING, self.ids.uuid().as_simple()))
    }
}

impl BlobError {
    fn new(action: &'static str, path: &Path, source: object_store::Error) -> Self {
        Self { action, path: path.to_string(), source }
    }
}

/// Takes all bytes, counting and hashing them on the way.
async fn receive<E>(
    bytes: impl Stream<Item = Result<Bytes, E>>,
    limits: Limits<'_>,
    upload: &mut WriteMultipart,
    failed: impl Fn(object_store::Error) -> BlobError,
) -> Result<Written, WriteError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut bytes = std::pin::pin!(bytes);
    let mut hash = Sha256::new();
    let mut size = 0;
    loop {
        let next = tokio::time::timeout(Blobs::SILENCE, bytes.next()).await;
        let next = next.map_err(|_| WriteError::Stalled { seconds: Blobs::SILENCE.as_secs() })?;
        let Some(chunk) = next else { break };
        let chunk = chunk.map_err(|error| WriteError::Interrupted(error.into()))?;
        size += chunk.len() as u64;
        if size > limits.bytes {
            return Err(WriteError::TooLarge { limit: limits.bytes });
        }
        hash.update(&chunk);
        upload.wait_for_capacity(1).await.map_err(&failed)?;
        upload.put(chunk);
    }
    let digest = Digest::of_sha256(hash.finalize().into());
    if digest == *limits.digest {
        Ok(Written { digest, size })
    } else {
        Err(WriteError::DigestMismatch { promised: limits.digest.clone(), actual: digest })
    }
}

#[cfg(test)]
mod tests;
