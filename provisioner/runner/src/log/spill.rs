//! What does not fit into memory: bytes in a file without a name, first in, first out.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

/// A queue of bytes in a file of bounded size, which is written round and round.
#[derive(Debug)]
pub(super) struct Spill {
    /// Nothing if it could not be made.
    file: Option<File>,
    max_bytes: u64,
    /// How many bytes were ever taken; where the oldest one is, but for the rounds.
    head: u64,
    /// How many bytes were ever added.
    tail: u64,
    /// How many lines wait.
    lines: u64,
    /// Why nothing is added any more.
    trouble: Option<String>,
}

impl Spill {
    /// A file in `folder` for at most `max_bytes`. It loses its name at once: nobody comes across it, and
    /// nothing is left of it when this process ends, however it ends.
    pub(super) fn new(folder: &Path, max_bytes: u64) -> Self {
        let path = folder.join(format!(".warren-log-{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).and_then(|file| fs::remove_file(&path).map(|()| file));
        let (file, trouble) = match file {
            Ok(file) => (Some(file), None),
            Err(error) => (None, Some(format!("cannot make {}: {error}", path.display()))),
        };
        Self { file, max_bytes, head: 0, tail: 0, lines: 0, trouble }
    }

    /// How many bytes wait.
    pub(super) const fn bytes(&self) -> u64 {
        self.tail - self.head
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// How many bytes can be added.
    pub(super) const fn room(&self) -> u64 {
        if self.trouble.is_some() { 0 } else { self.max_bytes - self.bytes() }
    }

    /// Why there is no room at all, if that is not for the bytes that wait.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Adds so many lines, for which there is room; whether they are kept.
    pub(super) fn add(&mut self, bytes: &[u8], lines: u64) -> bool {
        let Some(file) = &self.file else { return false };
        let at = self.tail % self.max_bytes;
        let before_the_end = usize::try_from(self.max_bytes - at).unwrap_or(usize::MAX);
        let (first, second) = bytes.split_at(before_the_end.min(bytes.len()));
        match file.write_all_at(first, at).and_then(|()| file.write_all_at(second, 0)) {
            Ok(()) => {
                self.tail += bytes.len() as u64;
                self.lines += lines;
                true
            }
            Err(error) => {
                self.trouble = Some(error.to_string());
                false
            }
        }
    }

    /// The oldest bytes, at most `max_bytes`.
    pub(super) fn peek(&self, max_bytes: usize) -> io::Result<Vec<u8>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let length = usize::try_from(self.bytes()).unwrap_or(usize::MAX).min(max_bytes);
        let mut bytes = vec![0; length];
        let at = self.head % self.max_bytes;
        let before_the_end = usize::try_from(self.max_bytes - at).unwrap_or(usize::MAX);
        let (first, second) = bytes.split_at_mut(before_the_end.min(length));
        file.read_exact_at(first, at)?;
        file.read_exact_at(second, 0)?;
        Ok(bytes)
    }

    /// Forgets the oldest bytes, which are so many lines.
    pub(super) fn forget(&mut self, bytes: u64, lines: u64) {
        self.head += bytes;
        self.lines -= lines;
    }

    /// Gives the place of an empty file back. What kept it from being written may have passed.
    pub(super) fn renew(&mut self) {
        if self.is_empty() && (self.tail > 0 || self.trouble.is_some()) {
            self.clear();
        }
    }

    /// Forgets everything, after it could not be read; how many lines that were.
    pub(super) fn lose(&mut self, error: &io::Error) -> u64 {
        let lines = self.lines;
        self.clear();
        self.trouble = Some(error.to_string());
        lines
    }

    fn clear(&mut self) {
        (self.head, self.tail, self.lines) = (0, 0, 0);
        if let Some(file) = &self.file {
            self.trouble = file.set_len(0).err().map(|error| error.to_string());
        }
    }

    #[cfg(test)]
    pub(super) fn break_for_writing(&mut self) {
        let read_only = File::open("/dev/null").expect("it is everywhere");
        self.file = Some(read_only);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_in_order_over_many_rounds_and_the_file_stays_within_its_bound() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut spill = Spill::new(folder.path(), 10);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "it has no name");
        let mut sent = (0..=u8::MAX).cycle();
        let mut received = (0..=u8::MAX).cycle();
        assert!(spill.add(&[sent.next().expect("endless")], 1));
        for round in 0..100 {
            let count = usize::try_from(spill.room()).expect("small").min(1 + round % 9);
            let bytes: Vec<u8> = sent.by_ref().take(count).collect();
            assert!(spill.add(&bytes, 1));
            let bytes = spill.peek(count).expect("it can be read");
            let expected: Vec<u8> = received.by_ref().take(count).collect();
            assert_eq!(bytes, expected);
            spill.forget(count as u64, 1);
            spill.renew();
            let length = spill.file.as_ref().expect("it was made").metadata().expect("open").len();
            assert!(length <= 10);
        }
        assert_eq!((spill.bytes(), spill.lines), (1, 1));
        spill.forget(1, 1);
        spill.renew();
        let length = spill.file.as_ref().expect("it was made").metadata().expect("open").len();
        assert_eq!(length, 0, "the place is given back");
    }

    #[test]
    fn a_file_that_cannot_be_made_or_written_has_no_room_and_says_why() {
        let spill = Spill::new(Path::new("/nowhere"), 10);
        assert_eq!(spill.room(), 0);
        assert!(spill.trouble().is_some_and(|reason| reason.contains("/nowhere")));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut spill = Spill::new(folder.path(), 10);
        spill.break_for_writing();
        assert!(!spill.add(b"x", 1));
        assert_eq!((spill.room(), spill.bytes()), (0, 0));
        assert!(spill.trouble().is_some());
    }
}
