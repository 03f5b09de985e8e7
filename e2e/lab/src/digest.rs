//! Content hashes: the cache's keys and the images' tags.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

/// Hashes a list of named things; no two lists give the same bytes.
#[derive(Debug, Default)]
pub(crate) struct Digest(Sha256);

impl Digest {
    pub(crate) fn add(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds the content of a file.
    pub(crate) fn add_file(&mut self, path: &Path) -> Result<&mut Self> {
        let content = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        Ok(self.add(content))
    }

    /// Twelve hexadecimal digits: enough to tell the things of one lab apart.
    pub(crate) fn key(&self) -> String {
        hex::encode(&self.0.clone().finalize()[..6])
    }
}

/// All files below a folder, sorted.
pub(crate) fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = next.read_dir().with_context(|| format!("list {}", next.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// SHA-256 of a whole file, in hexadecimal digits.
pub(crate) fn sha256_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut sink = Hashing::new(io::sink());
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(sink.finish().0);
        }
        sink.write_all(&buffer[..count])?;
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Passes bytes on and hashes them on the way.
#[derive(Debug)]
pub(crate) struct Hashing<W> {
    inner: W,
    hash: Sha256,
    length: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), length: 0 }
    }

    /// The hash in hexadecimal digits, and the number of bytes.
    pub(crate) fn finish(self) -> (String, u64) {
        (hex::encode(self.hash.finalize()), self.length)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_from_one_part_to_the_next_changes_the_key() {
        let mut first = Digest::default();
        let mut second = Digest::default();
        first.add("ab").add("c");
        second.add("a").add("bc");
        assert_ne!(first.key(), second.key());
    }

    #[test]
    fn a_hash_on_the_way_is_the_hash_of_the_whole() {
        let mut sink = Hashing::new(Vec::new());
        sink.write_all(b"war").expect("memory takes everything");
        sink.write_all(b"ren").expect("memory takes everything");
        assert_eq!(sink.finish(), (sha256(b"warren"), 6));
    }
}
