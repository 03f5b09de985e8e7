use super::{
    CopyError, of,
    wire::{Attributes, Kind, write_number, write_path, write_text},
    xattrs,
};
use nix::{
    errno::Errno,
    unistd::{Whence, lseek},
};
use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, Metadata},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

/// How much of a file is in memory at a time, in bytes.
const BUFFER: usize = 256 << 10;
/// Of what an entry is counted as that has no contents, in bytes.
const ENTRY: u64 = 128;
/// How many bytes a block has (`stat(2)`).
const BLOCK: u64 = 512;

/// About how many bytes there are to send.
pub(super) fn size(folder: &Path) -> Result<u64, CopyError> {
    size_of(folder, &mut HashSet::new())
}

fn size_of(folder: &Path, seen: &mut HashSet<(u64, u64)>) -> Result<u64, CopyError> {
    let mut size = ENTRY;
    for path in listed(folder)? {
        let known = of("look at", &path, fs::symlink_metadata(&path))?;
        // Itself included.
        size += if known.is_dir() { size_of(&path, seen)? } else { ENTRY };
        if known.is_file() && seen.insert((known.dev(), known.ino())) {
            // Holes are not sent.
            size += known.len().min(known.blocks() * BLOCK);
        }
    }
    Ok(size)
}

/// Sends all that is in a folder.
pub(super) fn send(folder: &Path, to: &mut impl Write) -> Result<(), CopyError> {
    let mut names = HashMap::new();
    let known = of("look at", folder, fs::symlink_metadata(folder))?;
    entry((folder, Path::new("")), &known, to, &mut names)?;
    Kind::End.write(to)
}

/// Files with several names, by device and number: the name that was sent first.
type Names = HashMap<(u64, u64), PathBuf>;

fn entry(
    (path, name): (&Path, &Path),
    known: &Metadata,
    to: &mut impl Write,
    names: &mut Names,
) -> Result<(), CopyError> {
    let kind = known.file_type();
    if kind.is_socket() {
        // Whoever listens there makes it anew.
        return Ok(());
    }
    if kind.is_block_device() || kind.is_char_device() {
        return Err(CopyError::Device { path: path.to_owned() });
    }
    if !kind.is_dir() && known.nlink() > 1 {
        if let Some(first) = names.get(&(known.dev(), known.ino())) {
            Kind::Name.write(to)?;
            write_path(to, name)?;
            return write_path(to, first);
        }
        names.insert((known.dev(), known.ino()), name.to_owned());
    }
    let kind = if kind.is_dir() {
        Kind::Folder
    } else if kind.is_symlink() {
        Kind::Link
    } else if kind.is_fifo() {
        Kind::Pipe
    } else {
        Kind::File
    };
    kind.write(to)?;
    write_path(to, name)?;
    attributes(path, known)?.write(to)?;
    match kind {
        Kind::Folder => {
            for path in listed(path)? {
                let known = of("look at", &path, fs::symlink_metadata(&path))?;
                let name = path.file_name().map(|last| name.join(last)).unwrap_or_default();
                entry((&path, &name), &known, to, names)?;
            }
            Ok(())
        }
        Kind::Link => {
            let target = of("read", path, fs::read_link(path))?;
            write_text(to, target.as_os_str().as_bytes())
        }
        Kind::File => contents(path, known.len(), to),
        Kind::Name | Kind::Pipe | Kind::End => Ok(()),
    }
}

fn attributes(path: &Path, known: &Metadata) -> Result<Attributes, CopyError> {
    Ok(Attributes {
        mode: known.mode() & 0o7777,
        user: known.uid(),
        group: known.gid(),
        time: (known.mtime(), u32::try_from(known.mtime_nsec()).unwrap_or_default()),
        extended: xattrs::read(path)?,
    })
}

/// What is in a folder, in the order of names.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, CopyError> {
    let mut paths = Vec::new();
    for entry in of("list", folder, fs::read_dir(folder))? {
        paths.push(of("list", folder, entry)?.path());
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Sends the size of a file and its stretches of bytes; none of no bytes ends them.
fn contents(path: &Path, size: u64, to: &mut impl Write) -> Result<(), CopyError> {
    write_number(to, size)?;
    let mut file = of("open", path, File::open(path))?;
    let mut at = 0;
    while let Some((from, until)) = stretch(&file, path, at, size)? {
        of("read", path, file.seek(SeekFrom::Start(from)))?;
        write_number(to, until - from)?;
        write_number(to, from)?;
        let mut left = until - from;
        let mut buffer = vec![0; BUFFER];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
            let count = of("read", path, file.read(&mut buffer[..most]))?;
            if count == 0 {
                return Err(CopyError::Changed { path: path.to_owned() });
            }
            to.write_all(&buffer[..count]).map_err(CopyError::Stream)?;
            left -= count as u64;
        }
        at = until;
    }
    if of("look at", path, file.metadata())?.len() != size {
        return Err(CopyError::Changed { path: path.to_owned() });
    }
    write_number(to, 0)
}

/// The next bytes of a file that are no hole: from where, and until where.
fn stretch(file: &File, path: &Path, at: u64, size: u64) -> Result<Option<(u64, u64)>, CopyError> {
    let seek = |at: u64, whence| {
        let found = lseek(file, i64::try_from(at).unwrap_or(i64::MAX), whence);
        found.map(|found| u64::try_from(found).unwrap_or_default())
    };
    if at >= size {
        return Ok(None);
    }
    match seek(at, Whence::SeekData) {
        // Only holes are left.
        Err(Errno::ENXIO) => Ok(None),
        // This file system has no holes.
        Err(Errno::EINVAL) => Ok(Some((at, size))),
        found => {
            let from = super::of_number("read", path, found)?;
            let until = super::of_number("read", path, seek(from, Whence::SeekHole))?;
            let (from, until) = (from.min(size), until.min(size));
            Ok((from < until).then_some((from, until)))
        }
    }
}
