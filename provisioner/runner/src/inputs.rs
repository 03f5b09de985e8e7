use crate::{
    endpoint::{CallError, Endpoint, Input, Manifest, to_json},
    patience::Patience,
};
use ring::digest::{Context, SHA256};
use serde::Serialize;
use std::{
    fmt::Write as _,
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Why the agent cannot be given its inputs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("input {name}: {source}")]
    Call { name: String, source: CallError },
    #[error(
        "input {name} has digest {actual} and {size} bytes instead of {promised} and {expected}"
    )]
    Different { name: String, actual: String, size: u64, promised: String, expected: u64 },
    #[error("input {name:?} is not a file name")]
    Name { name: String },
    #[error("cannot write {name}: {source}")]
    Write { name: String, source: io::Error },
}

/// The file that tells the agent what it was given.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    run_id: &'a str,
    session_id: &'a str,
    inputs: Vec<Listed<'a>>,
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    name: &'a str,
    path: PathBuf,
    digest: &'a str,
    size: u64,
}

impl<'a> Listing<'a> {
    fn of(manifest: &'a Manifest, folder: &Path) -> Self {
        let listed = |input: &'a Input| Listed {
            name: &input.name,
            path: folder.join(&input.name),
            digest: &input.digest,
            size: input.size,
        };
        Self {
            run_id: &manifest.run_id,
            session_id: &manifest.session_id,
            inputs: manifest.inputs.iter().map(listed).collect(),
        }
    }
}

/// Puts all inputs beside `path`, and the list of them there.
pub(crate) fn fetch(
    endpoint: &Endpoint,
    patience: &Patience,
    manifest: &Manifest,
    path: &Path,
) -> Result<(), InputError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let failed = |source| InputError::Write { name: folder.display().to_string(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    for input in &manifest.inputs {
        fetch_one(endpoint, patience, input, folder)?;
    }
    let json = to_json(&Listing::of(manifest, folder));
    let failed = |source| InputError::Write { name: path.display().to_string(), source };
    fs::write(path, json).and_then(|()| protect(path)).map_err(failed)
}

fn fetch_one(
    endpoint: &Endpoint,
    patience: &Patience,
    input: &Input,
    folder: &Path,
) -> Result<(), InputError> {
    let name = || input.name.clone();
    if input.name.is_empty() || input.name.starts_with('.') || input.name.contains(['/', '\0']) {
        return Err(InputError::Name { name: name() });
    }
    // Under another name until its digest is known to be right.
    let staged = folder.join(format!(".{}.new", input.name));
    let received = patience.persist(|| {
        let mut bytes = endpoint.input(&input.name)?;
        receive(&mut bytes, &mut File::create(&staged)?)
    });
    let (actual, size) = received.map_err(|source| InputError::Call { name: name(), source })?;
    if actual != input.digest || size != input.size {
        drop(fs::remove_file(&staged));
        let (promised, expected) = (input.digest.clone(), input.size);
        return Err(InputError::Different { name: name(), actual, size, promised, expected });
    }
    let placed = protect(&staged).and_then(|()| fs::rename(&staged, folder.join(&input.name)));
    placed.map_err(|source| InputError::Write { name: name(), source })
}

/// Writes all bytes to a file; their digest and number.
fn receive(bytes: &mut impl Read, file: &mut File) -> Result<(String, u64), CallError> {
    let (mut hash, mut size) = (Context::new(&SHA256), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = bytes.read(&mut buffer);
        let count = count.map_err(|error| CallError::Away(error.to_string()))?;
        if count == 0 {
            return Ok((format!("sha256:{}", hex(hash)), size));
        }
        hash.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
        size += count as u64;
    }
}

fn protect(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o444))
}

/// The hexadecimal digits of a SHA-256.
pub(crate) fn hex(hash: Context) -> String {
    let mut digits = String::with_capacity(64);
    for byte in hash.finish().as_ref() {
        write!(digits, "{byte:02x}").expect("writing to a string cannot fail");
    }
    digits
}
