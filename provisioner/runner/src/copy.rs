//! Carries what is in a volume to another node. Two of these run at the same time, one where the volume is and one where
//! it is to be; each connects to Warren, which passes the bytes on. See `wire` for what they are.

mod pieces;
mod receive;
mod send;
mod wire;
mod xattrs;

use crate::{
    endpoint::{CallError, Pieces, Whole},
    patience::Patience,
    settings::{CopySettings, SettingsError},
};
use pieces::{Reader, Writer};
use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// How long Warren may be away. One that was started anew does not know the token any more.
const PATIENCE: Duration = Duration::from_mins(2);

/// Which end of a copy this is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    /// Bytes come from here.
    Out,
    /// Bytes go here.
    In,
}

/// Why a copy did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the certificate authority of the run endpoint cannot be used: {0}")]
    Authority(#[from] ureq::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("cannot {verb} {path}: {source}")]
    File { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} changed while it was read")]
    Changed { path: PathBuf },
    #[error("{path} is a device, which is not copied")]
    Device { path: PathBuf },
    #[error("what came is not what a copy sends: {0}")]
    Form(&'static str),
    #[error("what came has digest {got} and {bytes} bytes, not {sent} and {of}")]
    Different { got: String, bytes: u64, sent: String, of: u64 },
    /// The connection, as a stream of bytes has it.
    #[error("{0}")]
    Stream(#[source] io::Error),
}

impl Side {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "out" => Some(Self::Out),
            "in" => Some(Self::In),
            _ => None,
        }
    }
}

/// Names what was done about which file.
fn of<T>(verb: &'static str, path: &Path, outcome: io::Result<T>) -> Result<T, CopyError> {
    outcome.map_err(|source| CopyError::File { verb, path: path.to_owned(), source })
}

/// The same for what answers with an error number.
fn of_number<T, E: Into<io::Error>>(
    verb: &'static str,
    path: &Path,
    outcome: Result<T, E>,
) -> Result<T, CopyError> {
    of(verb, path, outcome.map_err(Into::into))
}

/// Copies a folder out of this pod, or into it. What was in the latter before is removed.
pub(crate) fn copy(side: Side, folder: &Path) -> ExitCode {
    let outcome = CopySettings::read().map_err(CopyError::from).and_then(|settings| {
        let endpoint = Pieces::new(&settings)?;
        let patience = Patience::default();
        patience.end_in(PATIENCE);
        let done = match side {
            Side::Out => send(&endpoint, &patience, folder),
            Side::In => receive(&endpoint, &patience, folder),
        };
        if let Err(error) = &done {
            // It is said once more below, for whoever reads the pod's last words.
            let _ = endpoint.fail(&error.to_string());
        }
        done
    });
    match outcome {
        Ok(Whole { bytes, digest }) => {
            eprintln!("warren-runner: {bytes} bytes, {digest}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("warren-runner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn send(endpoint: &Pieces, patience: &Patience, folder: &Path) -> Result<Whole, CopyError> {
    let mut writer = Writer::new(endpoint, patience, send::size(folder)?);
    send::send(folder, &mut writer)?;
    let whole = writer.finish()?;
    patience.persist(|| endpoint.end(&whole))?;
    Ok(whole)
}

fn receive(endpoint: &Pieces, patience: &Patience, folder: &Path) -> Result<Whole, CopyError> {
    let mut reader = Reader::new(endpoint, patience);
    receive::receive(folder, &mut reader)?;
    let (sent, got) = reader.finish()?;
    if sent != got {
        let (Whole { bytes, digest }, Whole { bytes: of, digest: sent }) = (got, sent);
        return Err(CopyError::Different { got: digest, bytes, sent, of });
    }
    patience.persist(|| endpoint.end(&got))?;
    Ok(got)
}
