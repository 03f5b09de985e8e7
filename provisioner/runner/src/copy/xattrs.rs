//! Extended attributes that belong to whoever owns a file. Those of the kernel's security modules are the node's.

use super::{CopyError, of_number, wire::Extended};
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};
use rustix::io::Errno;
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// The longest list of names, and the longest value (`xattr(7)`).
const LONGEST: usize = 64 << 10;

fn is_copied(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_")
}

/// All of a file, by name.
pub(super) fn read(path: &Path) -> Result<Extended, CopyError> {
    let mut names = vec![0; LONGEST];
    let length = match llistxattr(path, names.as_mut_slice()) {
        // There are none here.
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        listed => of_number("read the attributes of", path, listed)?,
    };
    let names = names[..length].split(|byte| *byte == 0);
    let mut found = Vec::new();
    for name in names.filter(|name| is_copied(name)) {
        let mut value = vec![0; LONGEST];
        let got = lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice());
        let length = of_number("read an attribute of", path, got)?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    Ok(found)
}

/// Gives a file its attributes.
pub(super) fn write(path: &Path, all: &[(Vec<u8>, Vec<u8>)]) -> Result<(), CopyError> {
    for (name, value) in all.iter().filter(|(name, _)| is_copied(name)) {
        let set = lsetxattr(path, OsStr::from_bytes(name), value, XattrFlags::empty());
        of_number("write an attribute of", path, set)?;
    }
    Ok(())
}
