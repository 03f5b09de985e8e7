//! Options that many commands share, and how their values are read.

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};

use super::problem::{Exit, Failure};

const HEADING: &str = "Connection and output";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(super) connection: Connection,
    /// How the answer is written; errors follow it on stderr
    #[arg(short, long, global = true, value_enum, default_value_t, help_heading = HEADING)]
    pub(super) output: Format,
}

/// Where the server is and who asks.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// Address of the server
    #[arg(
        long, global = true, env = "WARREN_URL", value_name = "URL",
        default_value = "http://127.0.0.1:7080", value_parser = server_url, help_heading = HEADING
    )]
    pub(super) server: Url,
    /// File with the API token
    #[arg(
        long, global = true, value_name = "FILE", help_heading = HEADING,
        help = "File with the API token [env: WARREN_TOKEN, WARREN_TOKEN_FILE]"
    )]
    pub(super) token_file: Option<PathBuf>,
    /// File with certificates to trust beside the system's
    #[arg(long, global = true, env = "WARREN_CA_FILE", value_name = "FILE", help_heading = HEADING)]
    pub(super) ca_file: Option<PathBuf>,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// As the API says it
    Json,
    /// The same as YAML
    Yaml,
    /// One KIND/NAME a line
    Name,
}

/// Which tenant a command is about.
#[derive(Debug, Args)]
pub(crate) struct TenantOption {
    /// The tenant, by name or id
    #[arg(short, long, env = "WARREN_TENANT", value_parser = reference)]
    pub(super) tenant: String,
}

impl Connection {
    /// The token: `--token-file`, else `WARREN_TOKEN`, else the file that `WARREN_TOKEN_FILE` names.
    pub(super) fn token(&self) -> Result<Option<SecretString>, Failure> {
        let Some(path) = self.token_path() else {
            return Ok(variable("WARREN_TOKEN").map(|token| token.trim().into()));
        };
        match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Ok(Some(text.trim().into())),
            Ok(_) => Err(Failure::new(Exit::Denied, "The token file is empty")
                .detail(path.display().to_string())),
            Err(error) => Err(Failure::new(Exit::Denied, "The token file cannot be read")
                .detail(format!("{}: {error}", path.display()))),
        }
    }

    /// The file that has the token, if one has.
    pub(super) fn token_path(&self) -> Option<PathBuf> {
        let named = || std::env::var_os("WARREN_TOKEN_FILE").filter(|path| !path.is_empty());
        match &self.token_file {
            Some(path) => Some(path.clone()),
            None if variable("WARREN_TOKEN").is_some() => None,
            None => named().map(PathBuf::from),
        }
    }
}

/// A variable of the environment that the caller named in `--env`, or one of ours.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// Whether stderr can be drawn on.
pub(super) fn is_drawable() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
        && variable("TERM").is_none_or(|term| term != "dumb")
}

/// A name or an identifier: nothing that could change the meaning of an address.
pub(super) fn reference(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("a name or an id: 1 to 64 letters, digits, '-' and '_'".to_owned())
    }
}

/// A length of time such as `30s`, `5m` or `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "a length of time such as 30s, 5m or 1h30m".to_owned())
}

/// A point in time, in RFC 3339.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "a time in RFC 3339 such as 2026-12-01T02:00:00Z".to_owned())
}

/// A length of time that may be none: what [`duration`] reads, or `0s`.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    if text == "0" || text == "0s" { Ok(Duration::ZERO) } else { duration(text) }
}

/// `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE".to_owned()),
    }
}

/// `KEY=VALUE`, or `KEY` alone for the value that it has in the caller's own environment, which
/// keeps secrets out of argument lists.
pub(super) fn environment_pair(text: &str) -> Result<(String, String), String> {
    if text.contains('=') {
        return pair(text);
    }
    variable(text)
        .map(|value| (text.to_owned(), value))
        .ok_or_else(|| "KEY=VALUE, or KEY alone when it is set in your environment".to_owned())
}

/// A variable of the environment with its value; nothing that could stand in an argument list.
pub(super) fn environment_value(text: &str) -> Result<(String, String), String> {
    if text.contains('=') {
        return Err("NAME alone: the value is taken from your environment".to_owned());
    }
    environment_pair(text)
}

fn server_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; e.g. https://warren.example"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("an address that starts with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("no user or password in the address; set WARREN_TOKEN_FILE".to_owned());
    }
    Ok(url)
}
