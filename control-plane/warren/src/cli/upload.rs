//! Inputs: small texts travel in the request, everything else is uploaded first, by its digest.

use domain::Digest;
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_util::io::ReaderStream;

use super::{
    Context,
    format::bytes,
    problem::{Failure, chain},
};

/// A larger text is uploaded.
const MAX_INLINE_BYTES: u64 = 64 << 10;
/// What the API takes in one request, all inline inputs together.
const MAX_INLINE_SUM: u64 = domain::SessionSpec::MAX_INLINE_BYTES as u64;
/// What the API takes as one upload.
const MAX_UPLOAD_BYTES: u64 = 100 << 20;
/// Smaller uploads are sent again as a whole when the connection broke.
const PIECES_FROM_BYTES: u64 = 1 << 20;
/// An upload has a minute, and time for its bytes at this speed.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;
const SHORTEST_LIMIT: Duration = Duration::from_mins(1);
const UPLOAD_ATTEMPTS: u32 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// `FILE` or `FILE=NAME`, as given to `--input`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InputFile {
    path: PathBuf,
    name: String,
}

/// Where the bytes of an input go.
#[derive(Debug)]
enum Source {
    Inline(String),
    Upload { digest: Digest, size: u64, file: File },
}

impl InputFile {
    /// A name has no slash, so a part after `=` that has one belongs to the path.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (path, name) = match text.rsplit_once('=') {
            Some((path, name)) if !name.contains('/') => (path, Some(name)),
            _ => (text, None),
        };
        let path = PathBuf::from(path);
        let own_name = || path.file_name().and_then(|name| name.to_str()).map(ToOwned::to_owned);
        match name.map(ToOwned::to_owned).or_else(own_name) {
            Some(name) if !name.is_empty() && !path.as_os_str().is_empty() => {
                Ok(Self { path, name })
            }
            _ => Err("FILE, or FILE=NAME for another name in the session".to_owned()),
        }
    }
}

/// The `inputs` of a request; uploads what does not travel in it.
pub(super) async fn inputs(
    cx: &Context,
    tenant: &str,
    files: &[InputFile],
) -> Result<Vec<Value>, Failure> {
    let mut inputs = Vec::new();
    let mut room = MAX_INLINE_SUM;
    for InputFile { path, name } in files {
        let unreadable = |error: &io::Error| {
            Failure::usage(format!("The input {} cannot be used", path.display()))
                .detail(chain(error))
        };
        let path = path.clone();
        let source = tokio::task::spawn_blocking(move || look(&path, room.min(MAX_INLINE_BYTES)))
            .await
            .expect("looking at a file does not panic");
        match source.map_err(|error| unreadable(&error))? {
            Source::Inline(content) => {
                room -= content.len() as u64;
                inputs.push(json!({ "name": name, "content": content }));
            }
            Source::Upload { digest, size, file } => {
                upload(cx, tenant, name, &digest, size, &file).await?;
                inputs.push(json!({ "name": name, "digest": digest }));
            }
        }
    }
    Ok(inputs)
}

/// Reads a file to decide how it travels. What is uploaded is hashed here and read again later;
/// the server compares.
fn look(path: &Path, max_inline: u64) -> io::Result<Source> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut start = Vec::new();
    (&mut file).take(max_inline + 1).read_to_end(&mut start)?;
    if start.len() as u64 <= max_inline {
        match String::from_utf8(start) {
            Ok(text) if !text.contains('\0') => return Ok(Source::Inline(text)),
            _ => {}
        }
    }
    file.rewind()?;
    let mut hash = Sha256::new();
    let size = io::copy(&mut (&mut file).take(MAX_UPLOAD_BYTES + 1), &mut hash)?;
    if size > MAX_UPLOAD_BYTES {
        return Err(io::Error::other(format!("larger than {}", bytes(MAX_UPLOAD_BYTES))));
    }
    Ok(Source::Upload { digest: Digest::of_sha256(hash.finalize().into()), size, file })
}

async fn upload(
    cx: &Context,
    tenant: &str,
    name: &str,
    digest: &Digest,
    size: u64,
    file: &File,
) -> Result<(), Failure> {
    let digest_text = digest.to_string();
    let path = ["api", "v1", "tenants", tenant, "blobs", &digest_text];
    if cx.client.exists(&path).await? {
        return Ok(());
    }
    let limit = SHORTEST_LIMIT + Duration::from_secs(size / SLOWEST_BYTES_PER_SECOND);
    let pieces = ["api", "v1", "tenants", tenant, "uploads", &digest_text];
    let mut offset = 0;
    let mut attempt = 1;
    loop {
        let sent = Arc::new(AtomicU64::new(offset));
        let body = body(file, offset, Arc::clone(&sent))
            .map_err(|error| Failure::local(format!("The input {name} cannot be read"), &error))?;
        let work = async {
            if size < PIECES_FROM_BYTES {
                cx.client.put(&path, size, body, limit).await
            } else {
                cx.client.send_rest(&pieces, offset, size, body, limit).await
            }
        };
        match watched(cx, name, size, &sent, work).await {
            Err(failure) if may_go_on(&failure) && attempt < UPLOAD_ATTEMPTS => {
                cx.messages.note(&format!("Uploading {name} broke off; going on"));
                // The last bytes may have arrived although the answer did not.
                if cx.client.exists(&path).await? {
                    return Ok(());
                }
                if size >= PIECES_FROM_BYTES {
                    let Some(there) = cx.client.upload_offset(&pieces).await? else {
                        return Ok(());
                    };
                    // As long as it gets on there is no end of attempts.
                    attempt = if there > offset { 0 } else { attempt };
                    offset = there.min(size);
                }
            }
            outcome => return outcome,
        }
        attempt += 1;
    }
}

/// Whether it is worth asking how far an upload is.
fn may_go_on(failure: &Failure) -> bool {
    failure.is_unreachable || failure.problem.code.as_deref() == Some("upload-offset")
}

fn body(file: &File, offset: u64, sent: Arc<AtomicU64>) -> io::Result<reqwest::Body> {
    let mut file = file.try_clone()?;
    file.seek(io::SeekFrom::Start(offset))?;
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), 64 << 10);
    let counted = stream.inspect_ok(move |chunk| {
        sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    });
    Ok(reqwest::Body::wrap_stream(counted))
}

/// Shows how far `work` is until it is done.
async fn watched<T>(
    cx: &Context,
    name: &str,
    size: u64,
    sent: &AtomicU64,
    work: impl Future<Output = T>,
) -> T {
    let mut transfer = cx.messages.transfer(format!("Uploading {name}"), size);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            _ = ticks.tick() => transfer.at(sent.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_called_like_its_file_unless_told_otherwise() {
        let parse = |text| InputFile::parse(text).map(|file| (file.path, file.name));
        let expected = |path: &str, name: &str| Ok((PathBuf::from(path), name.to_owned()));
        assert_eq!(parse("a/b.txt"), expected("a/b.txt", "b.txt"));
        assert_eq!(parse("a/b.txt=c"), expected("a/b.txt", "c"));
        assert_eq!(parse("a=1/b.txt"), expected("a=1/b.txt", "b.txt"));
        for text in ["", "=x", "/", "a=", ".."] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
