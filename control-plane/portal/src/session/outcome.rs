//! What a session left: its result and its files.

use super::summary::size;
use crate::{links::Url, part::Code, person::Person, refusal::Refusal};
use application::{
    error::{FindError, Noun},
    session::{self, OutputError, SessionView},
    tenant::TenantRef,
};
use askama::{Template, filters::HtmlSafe};
use domain::{Kept, TenantName};
use serde_json::Value;

/// The largest result that is shown on the page.
const SHOWN_BYTES: usize = 64 << 10;

/// The result and the files.
#[derive(Debug, Template)]
#[template(path = "session/outcome.html")]
pub(super) struct Outcome {
    result: Shown,
    /// Where the result is downloaded.
    result_url: String,
    files: Vec<File>,
    /// In words, with the sum of their sizes.
    files_told: String,
    /// When they were removed, or until when they are kept; in words.
    kept: String,
    is_over: bool,
}

/// What can be shown of a result.
#[derive(Debug)]
enum Shown {
    Nothing,
    Here(Code),
    TooLong(String),
}

#[derive(Debug)]
struct File {
    path: String,
    url: String,
    size: String,
    digest: String,
}

impl HtmlSafe for Outcome {}

impl Outcome {
    pub(super) async fn load(
        person: &Person,
        reference: &TenantRef,
        name: &TenantName,
        view: &SessionView,
    ) -> Result<Self, Refusal> {
        let Person { app, actor, .. } = person;
        let SessionView { session, retention, .. } = view;
        let result = match session::result(app, actor, reference, session.id).await {
            Ok(bytes) if bytes.len() > SHOWN_BYTES => Shown::TooLong(size(bytes.len() as u64)),
            Ok(bytes) => Shown::Here(Code::new("Result", pretty(&bytes))),
            Err(OutputError::Find(
                FindError::Missing(Noun::Result) | FindError::Expired { .. },
            )) => Shown::Nothing,
            Err(error) => return Err(error.into()),
        };
        let artifacts = match session::artifacts(app, actor, reference, session.id).await {
            Err(FindError::Expired { .. }) => Vec::new(),
            other => other?,
        };
        let sum = artifacts.iter().map(|artifact| artifact.size).sum();
        let files_told = match artifacts.len() {
            0 => String::new(),
            1 => format!("1 file, {}", size(sum)),
            count => format!("{count} files, {}", size(sum)),
        };
        let file = |artifact: application::Artifact| File {
            url: Url::Artifact(name, session.id, &artifact.path).to_string(),
            size: size(artifact.size),
            digest: artifact.digest.to_string(),
            path: artifact.path,
        };
        let kept = match (session.files_removed_at, session.kept_until(Kept::Files, *retention)) {
            (Some(at), _) => format!("Removed at {at:.0}: their time was over."),
            (None, Some(until)) => format!("Kept until {until:.0}."),
            (None, None) => String::new(),
        };
        Ok(Self {
            result,
            result_url: Url::SessionPart(name, session.id, "result.json").to_string(),
            files: artifacts.into_iter().map(file).collect(),
            files_told,
            kept,
            is_over: session.state.is_final(),
        })
    }
}

/// JSON with a line for each value; what is none stays as it is.
fn pretty(bytes: &[u8]) -> String {
    let value = serde_json::from_slice::<Value>(bytes);
    let text = value.and_then(|value| serde_json::to_string_pretty(&value));
    text.unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned())
}
