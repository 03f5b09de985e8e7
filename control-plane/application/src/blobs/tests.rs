use super::*;
use futures::stream;
use std::io;
use uuid::Uuid;

#[derive(Debug)]
struct Ids;

impl IdGen for Ids {
    fn uuid(&self) -> Uuid {
        Uuid::from_u128(7)
    }

    fn secret(&self) -> [u8; 32] {
        [0; 32]
    }
}

fn blobs() -> (tempfile::TempDir, Blobs) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blobs = Blobs::open(folder.path(), Arc::new(Ids)).expect("an empty folder can be used");
    (folder, blobs)
}

fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of_sha256(Sha256::digest(bytes).into())
}

fn chunks(texts: &[&'static str]) -> Vec<io::Result<Bytes>> {
    texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect()
}

#[tokio::test]
async fn what_was_written_in_pieces_is_read_whole() {
    let (_folder, blobs) = blobs();
    let digest = digest(b"hello, world");
    let path = BlobPath::input(TenantId::new(Uuid::nil()), &digest);
    let limits = Limits { bytes: 12, digest: &digest };
    let written = blobs.write(&path, stream::iter(chunks(&["hello, ", "world"])), limits).await;
    assert_eq!(written.expect("within limits"), Written { digest, size: 12 });
    assert_eq!(blobs.get(&path).await.expect("readable"), Some(Bytes::from("hello, world")));
    let reading = blobs.read(&path).await.expect("readable").expect("there");
    assert_eq!(reading.size, 12);
    let parts: Vec<Bytes> = reading.bytes.try_collect().await.expect("readable");
    assert_eq!(parts.concat(), b"hello, world");
}

#[tokio::test]
async fn nothing_is_kept_of_wrong_or_too_many_bytes_or_of_a_sender_that_breaks_off() {
    let (folder, blobs) = blobs();
    let digest = digest(b"right");
    let path = BlobPath::input(TenantId::new(Uuid::nil()), &digest);
    let limits = Limits { bytes: 6, digest: &digest };
    let write = async |chunks: Vec<io::Result<Bytes>>| {
        blobs.write(&path, stream::iter(chunks), limits).await.expect_err("refused")
    };
    assert!(matches!(write(chunks(&["wrong"])).await, WriteError::DigestMismatch { .. }));
    assert!(matches!(write(chunks(&["right", "more"])).await, WriteError::TooLarge { limit: 6 }));
    let broken = vec![Ok(Bytes::from("ri")), Err(io::Error::other("gone"))];
    assert!(matches!(write(broken).await, WriteError::Interrupted(_)));
    assert_eq!(files(folder.path()), Vec::<String>::new());
    assert_eq!(blobs.get(&path).await.expect("readable"), None);
}

#[tokio::test(start_paused = true)]
async fn a_silent_sender_is_given_up() {
    let (folder, blobs) = blobs();
    let digest = digest(b"right");
    let path = BlobPath::input(TenantId::new(Uuid::nil()), &digest);
    let silent = stream::pending::<io::Result<Bytes>>();
    let error = blobs.write(&path, silent, Limits { bytes: 6, digest: &digest }).await;
    assert!(matches!(error, Err(WriteError::Stalled { seconds: 30 })));
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_swept_away_once_it_is_old() {
    let (folder, blobs) = blobs();
    let staged = folder.path().join("staging/00#1");
    std::fs::create_dir_all(folder.path().join("staging")).expect("a folder");
    std::fs::write(&staged, "half").expect("a file");
    let distant = |second| Timestamp::from_second(second).expect("a timestamp");
    assert_eq!(blobs.sweep(distant(0)).await.expect("swept"), 0);
    assert!(staged.exists());
    assert_eq!(blobs.sweep(distant(100_000_000_000)).await.expect("swept"), 1);
    assert_eq!(files(folder.path()), Vec::<String>::new());
}
