//! What a copy is as bytes: entries, folders before what is in them, and an end. Not an archive: nobody keeps it, both
//! ends are the same program, and of the files it says all that Linux knows of them.
//!
//! Numbers have their lowest byte first. An entry is a letter, its path, and unless it is another name of a file that
//! was there before: mode, owner, group, time, attributes. Then comes what a link points to, or the contents of a file:
//! its size, and stretches of bytes with their places, so that holes stay holes.

use super::CopyError;
use std::{
    ffi::OsStr,
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// The longest text, in bytes: more than a path or an attribute may have.
const LONGEST: u32 = 1 << 20;
/// The most attributes of a file.
const MOST_ATTRIBUTES: u32 = 1 << 12;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Link,
    /// Another name of a file.
    Name,
    Pipe,
    End,
}

/// Extended attributes: names and values.
pub(super) type Extended = Vec<(Vec<u8>, Vec<u8>)>;

/// What holds for every entry but other names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) user: u32,
    pub(super) group: u32,
    /// When it was changed: seconds and nanoseconds.
    pub(super) time: (i64, u32),
    pub(super) extended: Extended,
}

const LETTERS: [(Kind, u8); 6] = [
    (Kind::Folder, b'd'),
    (Kind::File, b'f'),
    (Kind::Link, b'l'),
    (Kind::Name, b'h'),
    (Kind::Pipe, b'p'),
    (Kind::End, b'e'),
];

impl Kind {
    pub(super) fn write(self, to: &mut impl Write) -> Result<(), CopyError> {
        let letter =
            LETTERS.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, letter)| *letter);
        write(to, &[letter])
    }

    pub(super) fn read(from: &mut impl Read) -> Result<Self, CopyError> {
        let [letter] = read(from)?;
        let found = LETTERS.iter().find(|(_, known)| *known == letter);
        found.map(|(kind, _)| *kind).ok_or(CopyError::Form("an unknown kind of entry"))
    }
}

impl Attributes {
    pub(super) fn write(&self, to: &mut impl Write) -> Result<(), CopyError> {
        for number in [self.mode, self.user, self.group, self.time.1] {
            write(to, &number.to_le_bytes())?;
        }
        write(to, &self.time.0.to_le_bytes())?;
        let count = u32::try_from(self.extended.len()).unwrap_or(u32::MAX);
        write(to, &count.to_le_bytes())?;
        for (name, value) in &self.extended {
            write_text(to, name)?;
            write_text(to, value)?;
        }
        Ok(())
    }

    pub(super) fn read(from: &mut impl Read) -> Result<Self, CopyError> {
        let mut number = || read(from).map(u32::from_le_bytes);
        let (mode, user, group, nanoseconds) = (number()?, number()?, number()?, number()?);
        let time = (read(from).map(i64::from_le_bytes)?, nanoseconds);
        let count = read(from).map(u32::from_le_bytes)?;
        if count > MOST_ATTRIBUTES {
            return Err(CopyError::Form("too many attributes"));
        }
        let extended = (0..count).map(|_| Ok((read_text(from)?, read_text(from)?)));
        let extended = extended.collect::<Result<_, CopyError>>()?;
        Ok(Self { mode, user, group, time, extended })
    }
}

/// Writes a path below the folder that is copied.
pub(super) fn write_path(to: &mut impl Write, path: &Path) -> Result<(), CopyError> {
    write_text(to, path.as_os_str().as_bytes())
}

/// Reads a path, which leads nowhere but down.
pub(super) fn read_path(from: &mut impl Read) -> Result<PathBuf, CopyError> {
    let path = PathBuf::from(OsStr::from_bytes(&read_text(from)?));
    let leads_down = path.components().all(|part| matches!(part, Component::Normal(_)));
    if leads_down { Ok(path) } else { Err(CopyError::Form("a path that leads elsewhere")) }
}

pub(super) fn write_number(to: &mut impl Write, number: u64) -> Result<(), CopyError> {
    write(to, &number.to_le_bytes())
}

pub(super) fn read_number(from: &mut impl Read) -> Result<u64, CopyError> {
    read(from).map(u64::from_le_bytes)
}

pub(super) fn write_text(to: &mut impl Write, text: &[u8]) -> Result<(), CopyError> {
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or(CopyError::Form("a text that is too long"))?;
    write(to, &length.to_le_bytes())?;
    write(to, text)
}

pub(super) fn read_text(from: &mut impl Read) -> Result<Vec<u8>, CopyError> {
    let length = read(from).map(u32::from_le_bytes)?;
    if length > LONGEST {
        return Err(CopyError::Form("a text that is too long"));
    }
    let mut text = vec![0; length as usize];
    from.read_exact(&mut text).map_err(CopyError::Stream)?;
    Ok(text)
}

fn write(to: &mut impl Write, bytes: &[u8]) -> Result<(), CopyError> {
    to.write_all(bytes).map_err(CopyError::Stream)
}

fn read<const N: usize>(from: &mut impl Read) -> Result<[u8; N], CopyError> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map_err(CopyError::Stream)?;
    Ok(bytes)
}
