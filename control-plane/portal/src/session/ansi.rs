//! Text that was meant for a terminal, as text with classes: colours stay, everything else that a terminal would obey
//! goes.
//!
//! Source: ECMA-48, 5th edition, sections 5.4 and 8.3.117; the control sequences of `XTerm` for colours beyond the first eight.

use std::collections::BTreeSet;

/// Text that looks the same throughout. It is escaped where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Names of our own only, with blanks between them; may be empty.
    pub(super) class: String,
    pub(super) text: String,
}

/// How what follows looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Look {
    /// Of the text and behind it, 0 to 15.
    front: Option<u8>,
    back: Option<u8>,
    /// The classes of everything else.
    words: BTreeSet<&'static str>,
}

/// Text and what is behind it change places.
const INVERSE: &str = "inverse";

/// The sixteen colours of `XTerm`, to find the one that is nearest to any other.
const COLOURS: [[u8; 3]; 16] = [
    [0, 0, 0],
    [205, 0, 0],
    [0, 205, 0],
    [205, 205, 0],
    [0, 0, 238],
    [205, 0, 205],
    [0, 205, 205],
    [229, 229, 229],
    [127, 127, 127],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [92, 92, 255],
    [255, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];

/// A line as it looked on a terminal. What a carriage return let be written over is not shown; the raw log has it.
pub(super) fn pieces(line: &str) -> Vec<Piece> {
    let line = line.trim_end_matches('\r');
    let mut pieces: Vec<Piece> = Vec::new();
    let mut look = Look::default();
    let mut letters = line.chars().peekable();
    let mut class = look.class();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => {
                if let Some(parameters) = sequence(&mut letters) {
                    look.apply(&parameters);
                    class = look.class();
                }
            }
            '\u{9b}' => {
                if let Some(parameters) = control(&mut letters) {
                    look.apply(&parameters);
                    class = look.class();
                }
            }
            '\r' => pieces.clear(),
            letter if is_dropped(letter) => {}
            letter => match pieces.last_mut() {
                Some(last) if last.class == class => last.text.push(letter),
                _ => pieces.push(Piece { class: class.clone(), text: letter.into() }),
            },
        }
    }
    pieces
}

/// What a reader could be deceived by: controls, and what turns the direction of text around.
fn is_dropped(letter: char) -> bool {
    (letter.is_control() && letter != '\t')
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Reads what follows an escape character; gives the parameters if they are about how text looks.
fn sequence(letters: &mut Letters<'_>) -> Option<String> {
    match letters.next()? {
        '[' => control(letters),
        // Texts for the terminal, e.g. its title or a link's address, up to their end.
        ']' | 'P' | 'X' | '^' | '_' => {
            while let Some(letter) = letters.next() {
                let is_end = letter == '\u{1b}' && letters.next_if_eq(&'\\').is_some();
                if is_end || matches!(letter, '\u{7}' | '\u{9c}') {
                    break;
                }
            }
            None
        }
        // Of two characters and more: the rest has one that ends it.
        ' '..='/' => {
            while letters.next_if(|letter| matches!(letter, ' '..='/')).is_some() {}
            letters.next();
            None
        }
        _ => None,
    }
}

/// Reads a control sequence up to its last byte; gives its parameters if that is `m`.
fn control(letters: &mut Letters<'_>) -> Option<String> {
    let mut parameters = String::new();
    while let Some(letter) = letters.next_if(|letter| matches!(letter, ' '..='?')) {
        parameters.push(letter);
    }
    let last = letters.next_if(|letter| matches!(letter, '@'..='~'))?;
    (last == 'm' && parameters.bytes().all(|byte| b"0123456789;:".contains(&byte)))
        .then_some(parameters)
}

impl Look {
    fn apply(&mut self, parameters: &str) {
        let mut numbers = parameters.split([';', ':']).map(|text| text.parse::<u16>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.set("bold"),
                2 => self.set("dim"),
                3 => self.set("italic"),
                4 => self.set("under"),
                7 => self.set(INVERSE),
                9 => self.set("struck"),
                22 => self.words.retain(|word| !matches!(*word, "bold" | "dim")),
                23 => self.unset("italic"),
                24 => self.unset("under"),
                27 => self.unset(INVERSE),
                29 => self.unset("struck"),
                38 => self.front = further(&mut numbers).or(self.front),
                39 => self.front = None,
                48 => self.back = further(&mut numbers).or(self.back),
                49 => self.back = None,
                _ => self.colour(number),
            }
        }
    }

    fn colour(&mut self, number: u16) {
        let of = |first: u16, base: u8| {
            let offset = number.checked_sub(first).and_then(|offset| u8::try_from(offset).ok());
            offset.filter(|offset| *offset < 8).map(|offset| base + offset)
        };
        self.front = of(30, 0).or(of(90, 8)).or(self.front);
        self.back = of(40, 0).or(of(100, 8)).or(self.back);
    }

    fn set(&mut self, word: &'static str) {
        self.words.insert(word);
    }

    fn unset(&mut self, word: &'static str) {
        self.words.remove(word);
    }

    fn class(&self) -> String {
        let Self { front, back, words } = self;
        let (front, back) = if words.contains(INVERSE) { (back, front) } else { (front, back) };
        let colours = [("fg", front), ("bg", back)].into_iter();
        let colours = colours.filter_map(|(name, colour)| Some(format!("{name}-{}", (*colour)?)));
        let words = words.iter().map(|word| (*word).to_owned());
        colours.chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// A colour by its number of 256, or by its parts: the nearest of those that there are.
fn further(numbers: &mut impl Iterator<Item = u16>) -> Option<u8> {
    let mut part = || u8::try_from(numbers.next()?).ok();
    match part()? {
        5 => Some(match part()? {
            number @ 0..=15 => number,
            number @ 16..=231 => {
                let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
                let cube = number - 16;
                nearest([level(cube / 36), level(cube / 6 % 6), level(cube % 6)])
            }
            number @ 232.. => nearest([8 + 10 * (number - 232); 3]),
        }),
        2 => {
            let (red, green, blue) = (part()?, part()?, part()?);
            Some(nearest([red, green, blue]))
        }
        _ => None,
    }
}

fn nearest(colour: [u8; 3]) -> u8 {
    let distance = |known: &[u8; 3]| -> u32 {
        let parts = known.iter().zip(colour);
        parts.map(|(one, other)| u32::from(one.abs_diff(other)).pow(2)).sum()
    };
    (0..16).min_by_key(|index| distance(&COLOURS[usize::from(*index)])).unwrap_or(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let piece = |piece: Piece| match piece.class.as_str() {
            "" => piece.text,
            class => format!("<{class}>{}", piece.text),
        };
        pieces(line).into_iter().map(piece).collect()
    }

    #[test]
    fn colours_become_classes_and_end_where_they_are_ended() {
        assert_eq!(shown("a \u{1b}[31mb\u{1b}[0m c"), "a <fg-1>b c");
        assert_eq!(shown("\u{1b}[1;92;40mb\u{1b}[22;49mc"), "<fg-10 bg-0 bold>b<fg-10>c");
        assert_eq!(shown("\u{1b}[38;5;196mx"), "<fg-9>x");
        assert_eq!(shown("\u{1b}[38;5;12mx\u{1b}[48;2;0;250;0my"), "<fg-12>x<fg-12 bg-10>y");
        assert_eq!(shown("\u{1b}[38:5:1mx"), "<fg-1>x");
        assert_eq!(shown("\u{1b}[7;31mx"), "<bg-1 inverse>x");
        assert_eq!(shown("\u{1b}[mx"), "x");
        assert_eq!(shown("\u{9b}34mx"), "<fg-4>x");
    }

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        assert_eq!(shown("a\u{1b}[2J\u{1b}[10;20Hb\u{7}\u{8}"), "ab");
        assert_eq!(shown("\u{1b}]0;title\u{7}a\u{1b}]8;;https://x\u{1b}\\b"), "ab");
        assert_eq!(shown("\u{1b}(Ba\u{1b}=b\u{1b}Pq#\u{1b}\\c"), "abc");
        assert_eq!(shown("a\u{202e}b\u{2066}c\u{0}d"), "abcd");
        assert_eq!(shown("10%\r 50%\r100%\r"), "100%");
        assert_eq!(shown("a\tb"), "a\tb");
        for cut in ["\u{1b}", "\u{1b}[", "\u{1b}[31", "\u{1b}]0;", "\u{1b}[38;5", "\u{9b}"] {
            assert_eq!(shown(&format!("a{cut}")), "a", "{cut:?}");
        }
        assert_eq!(shown("\u{1b}[38;5mx\u{1b}[99999;1my"), "x<bold>y");
    }

    #[test]
    fn what_looks_like_a_page_stays_text() {
        let pieces = pieces("<script>\u{1b}[31malert(1)</script>");
        let classes: Vec<_> = pieces.iter().map(|piece| piece.class.as_str()).collect();
        assert_eq!(classes, ["", "fg-1"], "a class is never made of what was written");
    }
}
