use crate::mask::Secrets;
use std::{env, fs, io, net::SocketAddr, path::PathBuf};

/// Where Warren is, from the pod's environment and the Secret that is mounted into it.
pub(crate) struct Settings {
    /// The run endpoint.
    pub(crate) endpoint: SocketAddr,
    /// The address that the agent must not be able to reach.
    pub(crate) gate: SocketAddr,
    /// Which run this is; a token of another one is refused.
    pub(crate) run: String,
    /// Shown to the run endpoint; never logged.
    pub(crate) token: String,
    /// The certificate authority of the run endpoint.
    pub(crate) authority: Vec<u8>,
    /// Where the agent looks for its inputs.
    pub(crate) manifest: PathBuf,
    /// Where the agent leaves its result and its artifacts.
    pub(crate) outputs: PathBuf,
    /// What the agent's output is not to show.
    pub(crate) secrets: Secrets,
}

/// Where Warren is, for a pod that copies a volume.
pub(crate) struct CopySettings {
    /// The run endpoint.
    pub(crate) endpoint: SocketAddr,
    /// Good for one end of one copy; never logged.
    pub(crate) token: String,
    /// The certificate authority of the run endpoint.
    pub(crate) authority: Vec<u8>,
}

/// What the pod lacks; never holds the token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("the environment variable {0} is missing")]
    Missing(&'static str),
    #[error("the environment variable {0} is not of the form {1}")]
    Malformed(&'static str, &'static str),
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
}

/// Kept from the agent: where Warren is, is none of its business.
pub(crate) const ENDPOINT: &str = "WARREN_RUN_ENDPOINT";
/// Kept from the agent.
pub(crate) const GATE: &str = "WARREN_RUN_GATE";
/// Kept from the agent: the names of those of its variables whose values are secret.
pub(crate) const SECRETS: &str = "WARREN_SECRETS";
const RUN: &str = "WARREN_RUN_ID";

impl Settings {
    pub(crate) fn read() -> Result<Self, SettingsError> {
        let CopySettings { endpoint, token, authority } = CopySettings::read()?;
        let gate = variable(GATE).ok_or(SettingsError::Missing(GATE))?;
        Ok(Self {
            endpoint,
            gate: gate.parse().map_err(|_| SettingsError::Malformed(GATE, "IP:PORT"))?,
            run: variable(RUN).ok_or(SettingsError::Missing(RUN))?,
            token,
            authority,
            manifest: path("WARREN_INPUT_MANIFEST", "/warren/inputs/manifest.json"),
            outputs: path("WARREN_OUTPUT_DIR", "/warren/outputs"),
            secrets: Secrets::new(
                variable(SECRETS).iter().flat_map(|names| names.split(',')).filter_map(variable),
            ),
        })
    }
}

impl CopySettings {
    pub(crate) fn read() -> Result<Self, SettingsError> {
        const URL: &str = "https://IP:PORT";
        let endpoint = variable(ENDPOINT).ok_or(SettingsError::Missing(ENDPOINT))?;
        let endpoint = endpoint.strip_prefix("https://").and_then(|text| text.parse().ok());
        let folder = path("WARREN_RUN_DIR", "/warren/run");
        let token = String::from_utf8_lossy(&read(folder.join("token"))?).trim().to_owned();
        Ok(Self {
            endpoint: endpoint.ok_or(SettingsError::Malformed(ENDPOINT, URL))?,
            token,
            authority: read(folder.join("ca.crt"))?,
        })
    }
}

fn path(name: &str, standard: &str) -> PathBuf {
    variable(name).unwrap_or_else(|| standard.to_owned()).into()
}

#[expect(clippy::disallowed_methods, reason = "this is the runner's configuration")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn read(path: PathBuf) -> Result<Vec<u8>, SettingsError> {
    fs::read(&path).map_err(|source| SettingsError::Unreadable { path, source })
}
