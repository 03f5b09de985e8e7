use super::{
    CopyError, of, of_number,
    wire::{Attributes, Kind, read_number, read_path, read_text},
    xattrs,
};
use nix::{
    fcntl::AT_FDCWD,
    sys::{
        stat::{Mode, UtimensatFlags, utimensat},
        time::TimeSpec,
    },
    unistd::{mkfifo, syncfs},
};
use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, PermissionsExt, lchown, symlink},
    },
    path::{Path, PathBuf},
};

/// How much of a file is in memory at a time, in bytes.
const BUFFER: usize = 256 << 10;
/// Nobody else looks at a file before it is whole.
const PRIVATE: u32 = 0o600;

/// Fills a folder with what comes, and keeps it: it is on the disk at the end.
pub(super) fn receive(folder: &Path, from: &mut impl Read) -> Result<(), CopyError> {
    empty(folder)?;
    // What is put into a folder changes its time, and its mode may forbid it.
    let mut folders = Vec::new();
    loop {
        let kind = Kind::read(from)?;
        if kind == Kind::End {
            break;
        }
        let path = below(folder, &read_path(from)?);
        if kind == Kind::Name {
            let first = below(folder, &read_path(from)?);
            of("make", &path, fs::hard_link(first, &path))?;
            continue;
        }
        let attributes = Attributes::read(from)?;
        match kind {
            Kind::Folder => {
                if path != folder {
                    of("make", &path, fs::create_dir(&path))?;
                }
                folders.push((path, attributes));
                continue;
            }
            Kind::Link => {
                let target = read_text(from)?;
                of("make", &path, symlink(OsStr::from_bytes(&target), &path))?;
            }
            Kind::Pipe => {
                of_number("make", &path, mkfifo(&path, Mode::from_bits_truncate(PRIVATE)))?;
            }
            Kind::File => contents(&path, from)?,
            Kind::Name | Kind::End => {}
        }
        settle(&path, &attributes, kind)?;
    }
    for (path, attributes) in folders.iter().rev() {
        settle(path, attributes, Kind::Folder)?;
    }
    let root = of("open", folder, File::open(folder))?;
    of_number("keep", folder, syncfs(&root))
}

fn below(folder: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { folder.to_owned() } else { folder.join(path) }
}

/// Removes what another attempt has left.
fn empty(folder: &Path) -> Result<(), CopyError> {
    for entry in of("list", folder, fs::read_dir(folder))? {
        let entry = of("list", folder, entry)?;
        let path = entry.path();
        let is_folder = of("look at", &path, entry.file_type())?.is_dir();
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        of("remove", &path, removed)?;
    }
    Ok(())
}

fn contents(path: &Path, from: &mut impl Read) -> Result<(), CopyError> {
    let size = read_number(from)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path);
    let mut file = of("make", path, file)?;
    of("write", path, file.set_len(size))?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut left = read_number(from)?;
        if left == 0 {
            return Ok(());
        }
        let at = read_number(from)?;
        if at.checked_add(left).is_none_or(|end| end > size) {
            return Err(CopyError::Form("bytes beyond the end of a file"));
        }
        of("write", path, file.seek(SeekFrom::Start(at)))?;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
            from.read_exact(&mut buffer[..most]).map_err(CopyError::Stream)?;
            of("write", path, file.write_all(&buffer[..most]))?;
            left -= most as u64;
        }
    }
}

/// Gives an entry its owner, its mode and its time, in this order: each takes something of the one before it.
fn settle(path: &Path, attributes: &Attributes, kind: Kind) -> Result<(), CopyError> {
    let Attributes { mode, user, group, time, extended } = attributes;
    of("give away", path, lchown(path, Some(*user), Some(*group)))?;
    if kind != Kind::Link {
        of("change the mode of", path, fs::set_permissions(path, Permissions::from_mode(*mode)))?;
    }
    xattrs::write(path, extended)?;
    let time = TimeSpec::new(time.0, i64::from(time.1));
    let set = utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink);
    of_number("change the time of", path, set)
}
