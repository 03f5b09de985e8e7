use std::borrow::Cow;

/// The longest line that is sent in one piece, in bytes.
pub(crate) const MAX_LINE_BYTES: usize = 16 << 10;
/// So far before that, in bytes, a place between two words is looked for.
const WORD_BYTES: usize = 64;

/// What a piece is of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    First,
    Middle,
    Last,
}

/// Makes lines of what a process writes: longer ones are cut, what is not UTF-8 is replaced.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// Of the current line, what was not handed out.
    pending: Vec<u8>,
    /// Pieces of the current line were handed out.
    is_cut: bool,
}

impl Splitter {
    /// Takes bytes and hands out the lines that they complete, without line feeds.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(Part, &str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                // Most lines come whole. A line that was cut has a rest that is pending.
                Some(line) if self.pending.is_empty() && line.len() <= MAX_LINE_BYTES => {
                    emit(Part::Whole, &text(line));
                }
                Some(rest) => {
                    self.add(rest, &mut emit);
                    self.end(&mut emit);
                }
                None => self.add(piece, &mut emit),
            }
        }
    }

    /// Hands out what is left, when no line feed will follow.
    pub(crate) fn finish(&mut self, mut emit: impl FnMut(Part, &str)) {
        if !self.pending.is_empty() {
            self.end(&mut emit);
        }
    }

    fn end(&mut self, emit: &mut impl FnMut(Part, &str)) {
        emit(if self.is_cut { Part::Last } else { Part::Whole }, &text(&self.pending));
        self.pending.clear();
        self.is_cut = false;
    }

    fn add(&mut self, bytes: &[u8], emit: &mut impl FnMut(Part, &str)) {
        self.pending.extend_from_slice(bytes);
        let mut start = 0;
        // Something is always left, to be the last piece.
        while self.pending.len() - start > MAX_LINE_BYTES {
            let end = start + boundary(&self.pending[start..]);
            let part = if self.is_cut { Part::Middle } else { Part::First };
            emit(part, &text(&self.pending[start..end]));
            self.is_cut = true;
            start = end;
        }
        self.pending.drain(..start);
    }
}

/// Where to cut: after at most [`MAX_LINE_BYTES`], not inside a character, and not inside a word if it is
/// not too long: Warren takes its own tokens out of the pieces that it gets.
fn boundary(bytes: &[u8]) -> usize {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_between = |at: &usize| bytes[*at - 1].is_ascii() && !is_word(bytes[*at - 1]);
    let is_start = |at: &usize| bytes[*at] & 0b1100_0000 != 0b1000_0000;
    let between = (MAX_LINE_BYTES - WORD_BYTES..=MAX_LINE_BYTES).rev().find(is_between);
    between.unwrap_or_else(|| {
        (MAX_LINE_BYTES - 3..=MAX_LINE_BYTES).rev().find(is_start).unwrap_or(MAX_LINE_BYTES)
    })
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<(Part, String)> {
        let mut lines = Vec::new();
        let mut splitter = Splitter::default();
        for piece in pieces {
            splitter.feed(piece, |part, text| lines.push((part, text.to_owned())));
        }
        splitter.finish(|part, text| lines.push((part, text.to_owned())));
        lines
    }

    fn whole(lines: &[(Part, String)]) -> Vec<&str> {
        assert!(lines.iter().all(|(part, _)| *part == Part::Whole), "{lines:?}");
        lines.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The lines again, each with the number of its pieces.
    fn joined(pieces: &[(Part, String)]) -> Vec<(String, usize)> {
        let mut lines: Vec<(String, usize)> = Vec::new();
        let mut is_open = false;
        for (part, text) in pieces {
            assert_eq!(is_open, matches!(part, Part::Middle | Part::Last), "{part:?}");
            is_open = matches!(part, Part::First | Part::Middle);
            assert!(text.len() <= 3 * MAX_LINE_BYTES);
            match lines.last_mut() {
                Some((line, pieces)) if matches!(part, Part::Middle | Part::Last) => {
                    line.push_str(text);
                    *pieces += 1;
                }
                _ => lines.push((text.clone(), 1)),
            }
        }
        assert!(!is_open, "the last line has no end");
        lines
    }

    #[test]
    fn lines_are_the_same_however_the_pipe_cuts_the_bytes() {
        let bytes = "one\n\nthrée\r\n\u{1f407} tail".as_bytes();
        let expected = ["one", "", "thrée\r", "\u{1f407} tail"];
        for at in 0..=bytes.len() {
            assert_eq!(whole(&split(&[&bytes[..at], &bytes[at..]])), expected, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(whole(&split(&bytes)), expected);
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_nothing_is_lost() {
        let line = "ab\u{20ac}".repeat(MAX_LINE_BYTES);
        let pieces = split(&[line.as_bytes(), b"\nnext\n", line.as_bytes()]);
        assert!(pieces.iter().all(|(_, text)| text.len() <= MAX_LINE_BYTES));
        assert!(pieces.iter().all(|(_, text)| !text.contains('\u{fffd}')));
        let lines = joined(&pieces);
        let texts: Vec<&str> = lines.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(texts, [&line, "next", &line]);
    }

    #[test]
    fn a_line_of_exactly_the_longest_length_has_no_empty_rest() {
        for (length, expected) in [(1, vec![Part::Whole]), (2, vec![Part::First, Part::Last])]
            .map(|(n, parts)| (n * MAX_LINE_BYTES, parts))
        {
            let line = vec![b'x'; length];
            let halves = line.split_at(length / 2);
            for pieces in [split(&[&line, b"\n"]), split(&[halves.0, halves.1]), {
                let line = [&line[..], b"\n"].concat();
                split(&[&line])
            }] {
                let parts: Vec<Part> = pieces.iter().map(|(part, _)| *part).collect();
                assert_eq!(parts, expected);
                assert!(pieces.iter().all(|(_, text)| text.len() == MAX_LINE_BYTES));
            }
        }
    }

    #[test]
    fn a_long_line_is_not_cut_inside_a_token() {
        let token = format!("wrr_{}", "a".repeat(43));
        for before in MAX_LINE_BYTES - 60..MAX_LINE_BYTES + 2 {
            let line = format!("{}: {token} {}", "x".repeat(before - 2), "y".repeat(100));
            let pieces = split(&[line.as_bytes()]);
            assert_eq!(joined(&pieces), [(line, 2)]);
            assert!(pieces.iter().any(|(_, text)| text.contains(&token)), "{before}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let lines = split(&[&[0xff, b'a', 0, 0xc3, b'\n'], &vec![0x80; MAX_LINE_BYTES + 1]]);
        assert_eq!(lines[0], (Part::Whole, "\u{fffd}a\0\u{fffd}".to_owned()));
        let lines = joined(&lines[1..]);
        assert_eq!(lines, [("\u{fffd}".repeat(MAX_LINE_BYTES + 1), 2)]);
    }
}
