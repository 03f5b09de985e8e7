//! Takes secrets out of what a process writes, however its writes cut them.

use std::collections::BTreeSet;

/// What stands for a secret.
const MASK: &[u8] = b"***";
/// Lines of secrets of several lines are masked too, unless they are as short as other words.
const SHORTEST_LINE: usize = 6;

/// What has to be masked.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    /// Longest first.
    texts: Vec<Vec<u8>>,
}

impl Secrets {
    pub(crate) fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut texts = BTreeSet::new();
        for value in values {
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
            texts.extend(lines.map(|line| line.as_bytes().to_vec()));
            texts.insert(value.into_bytes());
        }
        let mut texts: Vec<Vec<u8>> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self { texts }
    }
}

/// Masks one stream of bytes.
pub(crate) struct Masker {
    secrets: Secrets,
    /// The beginning of what may become a secret.
    held: Vec<u8>,
}

/// What is to be done about the bytes at one place.
enum Found {
    Nothing,
    /// A secret of this length.
    Secret(usize),
    /// More bytes decide.
    Perhaps,
}

impl Masker {
    pub(crate) const fn new(secrets: Secrets) -> Self {
        Self { secrets, held: Vec::new() }
    }

    /// Takes bytes, and gives those that can be told already.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.secrets.texts.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        self.release(false)
    }

    /// What is left when nothing follows.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.release(true)
    }

    fn release(&mut self, is_end: bool) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let mut told = Vec::with_capacity(held.len());
        let mut at = 0;
        while at < held.len() {
            match self.secrets.find(&held[at..], is_end) {
                Found::Nothing => {
                    told.push(held[at]);
                    at += 1;
                }
                Found::Secret(length) => {
                    told.extend_from_slice(MASK);
                    at += length;
                }
                Found::Perhaps => {
                    self.held = held[at..].to_vec();
                    break;
                }
            }
        }
        told
    }
}

impl Secrets {
    /// Whether `bytes` begin with a secret.
    fn find(&self, bytes: &[u8], is_end: bool) -> Found {
        for text in self.texts.iter().filter(|text| text.first() == bytes.first()) {
            if bytes.starts_with(text) {
                return Found::Secret(text.len());
            }
            if !is_end && text.starts_with(bytes) {
                return Found::Perhaps;
            }
        }
        Found::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(secrets: &[&str], pieces: &[&[u8]]) -> String {
        let secrets = Secrets::new(secrets.iter().map(|text| (*text).to_owned()));
        let mut masker = Masker::new(secrets);
        let mut told = Vec::new();
        for piece in pieces {
            told.extend(masker.feed(piece));
        }
        told.extend(masker.finish());
        String::from_utf8(told).expect("text")
    }

    #[test]
    fn a_secret_is_masked_wherever_the_bytes_are_cut() {
        let bytes = b"a hunter2 b hunter hunter2hunter2\nhunter";
        let expected = "a *** b hunter ******\nhunter";
        for at in 0..=bytes.len() {
            assert_eq!(
                masked(&["hunter2"], &[&bytes[..at], &bytes[at..]]),
                expected,
                "cut at {at}"
            );
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(masked(&["hunter2"], &single), expected);
    }

    #[test]
    fn what_cannot_be_a_secret_is_told_at_once() {
        let mut masker = Masker::new(Secrets::new(["hunter2".to_owned()]));
        assert_eq!(masker.feed(b"progress 10 %"), b"progress 10 %");
        assert_eq!(masker.feed(b" hunt"), b" ");
        assert_eq!(masker.feed(b"ed\n"), b"hunted\n");
    }

    #[test]
    fn the_longest_secret_counts_and_so_does_each_line_of_one() {
        assert_eq!(masked(&["secret", "secret-key"], &[b"secret-key secret"]), "*** ***");
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkq==\n-----END KEY-----\n";
        let lines = b"> MIIEvQIBADANBg\n> kq==\n";
        assert_eq!(masked(&[key], &[lines]), "> ***\n> kq==\n");
        assert_eq!(masked(&[key], &[key.as_bytes()]), "***");
        assert_eq!(masked(&[], &[b"anything"]), "anything");
    }
}
