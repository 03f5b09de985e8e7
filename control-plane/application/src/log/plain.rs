use super::{LinePart, LogStream};

/// Writes lines as plain text, the pieces of a long line as one line.
///
/// A piece ends without a line feed, so that whoever follows a log sees it at once. What comes next and is
/// not the next piece of the same stream begins a new line.
#[derive(Debug, Default)]
pub struct PlainText {
    /// The stream of a line whose next piece has not come.
    open: Option<LogStream>,
}

impl PlainText {
    /// Adds a line, or a piece of one, to `written`.
    pub fn add(&mut self, stream: LogStream, part: LinePart, text: &str, written: &mut String) {
        let is_continued = matches!(part, LinePart::Middle | LinePart::Last);
        if !(is_continued && self.open == Some(stream)) {
            self.close(written);
        }
        written.push_str(text);
        if matches!(part, LinePart::First | LinePart::Middle) {
            self.open = Some(stream);
        } else {
            self.open = None;
            written.push('\n');
        }
    }

    /// Ends a line whose next piece will not come.
    pub fn close(&mut self, written: &mut String) {
        if self.open.take().is_some() {
            written.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LinePart::*, LogStream::*, *};

    fn plain(lines: &[(LogStream, LinePart, &str)]) -> String {
        let (mut text, mut written) = (PlainText::default(), String::new());
        for (stream, part, line) in lines {
            text.add(*stream, *part, line, &mut written);
        }
        text.close(&mut written);
        written
    }

    #[test]
    fn pieces_become_one_line_and_nothing_else_is_added_to_it() {
        let whole = [(Out, Whole, "a"), (Err, Whole, ""), (Out, Whole, "b")];
        assert_eq!(plain(&whole), "a\n\nb\n");
        let pieces = [(Out, First, "a"), (Out, Middle, "b"), (Out, Last, "c"), (Out, Whole, "d")];
        assert_eq!(plain(&pieces), "abc\nd\n");
        let two = [(Out, First, "a"), (Out, Last, "b"), (Out, First, "c"), (Out, Last, "d")];
        assert_eq!(plain(&two), "ab\ncd\n");
        let mixed = [(Out, First, "a"), (Err, Whole, "e"), (Out, Last, "b"), (Err, Whole, "f")];
        assert_eq!(plain(&mixed), "a\ne\nb\nf\n");
        let both = [(Out, First, "a"), (Err, First, "e"), (Err, Last, "f"), (Out, Last, "b")];
        assert_eq!(plain(&both), "a\nef\nb\n");
        let each = [(Out, First, "a"), (Err, First, "e"), (Out, Last, "b"), (Err, Last, "f")];
        assert_eq!(plain(&each), "a\ne\nb\nf\n");
        let lost = [(Err, First, "a"), (Err, Whole, "3 lines are missing"), (Err, First, "b")];
        assert_eq!(plain(&lost), "a\n3 lines are missing\nb\n");
        let begun = [(Out, Middle, "a"), (Out, Last, "b"), (Out, Whole, "c")];
        assert_eq!(plain(&begun), "ab\nc\n");
    }
}
