use crate::{
    StoreError, column,
    entity::sessions,
    secret::{Cell, Vault},
};
use domain::{InputSource, RunId, Session, SessionId, SessionSpec, TenantId};
use secrecy::{ExposeSecret as _, SecretBox};

const COLUMN: &str = "sessions.spec";

/// What a session is to do as it is stored: callers put passwords into environments and texts.
pub(super) fn seal(
    vault: &Vault,
    id: SessionId,
    spec: &SessionSpec,
) -> Result<Vec<u8>, StoreError> {
    let plain: SecretBox<String> = SecretBox::new(Box::new(column::json(spec)));
    let cell = Cell { column: COLUMN, row: &id.digits() };
    vault.seal(cell, plain.expose_secret().as_bytes())
}

/// The uploads that a session names, which are looked for in the table.
pub(super) fn uploads(spec: &SessionSpec) -> String {
    let mut text = String::new();
    for input in &spec.inputs {
        if let InputSource::Blob(digest) = &input.source {
            text.push(' ');
            text.push_str(&digest.to_string());
        }
    }
    text
}

/// A session as it was accepted, with where it now is.
pub(crate) fn opened(vault: &Vault, row: &sessions::Model) -> Result<Session, StoreError> {
    let time = column::to_optional_time;
    let id = SessionId::new(row.id);
    let cell = Cell { column: COLUMN, row: &id.digits() };
    let spec = vault.open(cell, &row.spec_key, &row.spec)?;
    let spec = serde_json::from_slice(spec.expose_secret());
    Ok(Session {
        id,
        tenant: TenantId::new(row.tenant),
        spec: spec.map_err(|error| StoreError::corrupt(COLUMN, error))?,
        state: column::to_word("sessions.state", &row.state)?,
        cause: column::to_optional_json("sessions.cause", row.cause.as_deref())?,
        revision: row.revision,
        run: row.run.map(RunId::new),
        retry_at: time("sessions.retry_at", row.retry_at)?,
        created_at: column::to_time("sessions.created_at", row.created_at)?,
        starting_at: time("sessions.starting_at", row.starting_at)?,
        running_at: time("sessions.running_at", row.running_at)?,
        stop_requested_at: time("sessions.stop_requested_at", row.stop_requested_at)?,
        finished_at: time("sessions.finished_at", row.finished_at)?,
        log_removed_at: time("sessions.log_removed_at", row.log_removed_at)?,
        files_removed_at: time("sessions.files_removed_at", row.files_removed_at)?,
    })
}
