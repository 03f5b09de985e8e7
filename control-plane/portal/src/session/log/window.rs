//! The lines of a window.

use super::{WINDOW, Wanted, query};
use crate::{person::Person, refusal::Refusal};
use application::{
    error::FindError,
    log::{self, LogError, LogEvent, LogLine, Start},
    tenant::TenantRef,
};
use domain::{Kept, SessionId};
use futures::StreamExt as _;
use std::collections::VecDeque;

/// The most text of a window: lines can be long.
const WINDOW_BYTES: usize = 512 << 10;

/// Why there are no lines.
pub(super) enum ReadError {
    /// Their time was over.
    Gone,
    Refused(Box<Refusal>),
}

impl From<FindError> for ReadError {
    fn from(error: FindError) -> Self {
        let is_gone = matches!(error, FindError::Expired { kept: Kept::Log, .. });
        if is_gone { Self::Gone } else { Self::Refused(Box::new(error.into())) }
    }
}

/// The lines of a window: at its beginning, or at its end, those that fit.
pub(super) async fn read(
    Person { app, actor, .. }: &Person,
    tenant: &TenantRef,
    session: SessionId,
    total: u64,
    wanted: &Wanted,
) -> Result<VecDeque<LogLine>, ReadError> {
    let (start, search) = match wanted {
        Wanted::End(count) => (total.saturating_sub(*count) + 1, None),
        Wanted::From(from) => (*from, None),
        Wanted::Search(text) => (1, Some(text.clone())),
    };
    let is_end = matches!(wanted, Wanted::End(_));
    let events = log::read(app, actor, tenant, session, query(Start::From(start), search)).await?;
    let mut events = Box::pin(events);
    let (mut lines, mut bytes) = (VecDeque::new(), 0);
    while let Some(event) = events.next().await {
        let line = match event {
            Ok(LogEvent::Line(line)) => line,
            Ok(LogEvent::End { .. }) => break,
            Err(LogError::Gone) => return Err(ReadError::Gone),
            Err(error) => return Err(ReadError::Refused(Box::new(Refusal::broken(&error)))),
        };
        bytes += line.text.len();
        lines.push_back(line);
        while is_end && bytes > WINDOW_BYTES && lines.len() > 1 {
            bytes -= lines.pop_front().map_or(0, |line: LogLine| line.text.len());
        }
        if !is_end && (bytes > WINDOW_BYTES || lines.len() as u64 >= WINDOW) {
            break;
        }
    }
    Ok(lines)
}
