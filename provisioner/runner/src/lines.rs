/// The longest line that is kept in one piece, in bytes.
pub(crate) const MAX_LINE_BYTES: usize = 16 << 10;

/// Makes lines of what a process writes: longer ones are cut, what is not UTF-8 is replaced.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    pending: Vec<u8>,
}

impl Splitter {
    /// Takes bytes and hands out the lines that they complete, without line feeds.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(String)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, is_end) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            self.pending.extend_from_slice(piece);
            self.cut(&mut emit);
            if is_end {
                emit(text(&self.pending));
                self.pending.clear();
            }
        }
    }

    /// Hands out what is left, when no line feed will follow.
    pub(crate) fn finish(&mut self, emit: impl FnOnce(String)) {
        if !self.pending.is_empty() {
            emit(text(&self.pending));
            self.pending.clear();
        }
    }

    fn cut(&mut self, emit: &mut impl FnMut(String)) {
        let mut start = 0;
        while self.pending.len() - start > MAX_LINE_BYTES {
            let end = start + boundary(&self.pending[start..]);
            emit(text(&self.pending[start..end]));
            start = end;
        }
        self.pending.drain(..start);
    }
}

/// Where to cut: at most [`MAX_LINE_BYTES`], and not inside a character.
fn boundary(bytes: &[u8]) -> usize {
    let is_inside = |at: &usize| bytes[*at] & 0b1100_0000 == 0b1000_0000;
    (MAX_LINE_BYTES - 3..=MAX_LINE_BYTES).rev().find(|at| !is_inside(at)).unwrap_or(MAX_LINE_BYTES)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut splitter = Splitter::default();
        for piece in pieces {
            splitter.feed(piece, |line| lines.push(line));
        }
        splitter.finish(|line| lines.push(line));
        lines
    }

    #[test]
    fn lines_are_the_same_however_the_pipe_cuts_the_bytes() {
        let bytes = "one\n\nthrée\r\n\u{1f407} tail".as_bytes();
        let expected = ["one", "", "thrée\r", "\u{1f407} tail"];
        for at in 0..=bytes.len() {
            assert_eq!(split(&[&bytes[..at], &bytes[at..]]), expected, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(split(&bytes), expected);
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_nothing_is_lost() {
        let line = "ab\u{20ac}".repeat(MAX_LINE_BYTES);
        let parts = split(&[line.as_bytes(), b"\nnext"]);
        assert!(parts.iter().all(|part| part.len() <= MAX_LINE_BYTES));
        assert!(parts.iter().all(|part| !part.contains('\u{fffd}')));
        assert_eq!(parts[..parts.len() - 1].concat(), line);
        assert_eq!(parts.last().map(String::as_str), Some("next"));
    }

    #[test]
    fn a_line_of_exactly_the_longest_length_has_no_empty_rest() {
        let line = vec![b'x'; 2 * MAX_LINE_BYTES];
        let lengths: Vec<usize> = split(&[&line, b"\n"]).iter().map(String::len).collect();
        assert_eq!(lengths, [MAX_LINE_BYTES, MAX_LINE_BYTES]);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let lines = split(&[&[0xff, b'a', 0, 0xc3, b'\n'], &vec![0x80; MAX_LINE_BYTES + 1]]);
        assert_eq!(lines[0], "\u{fffd}a\0\u{fffd}");
        let replaced: usize = lines[1..].iter().map(|line| line.chars().count()).sum();
        assert_eq!(replaced, MAX_LINE_BYTES + 1);
    }
}
