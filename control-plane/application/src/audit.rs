//! The audit log: who did what, and the chain of seals that shows whether it is still as it was.

use crate::{
    App, Page,
    error::{FindError, Noun, permit},
    organisation::{self, OrganisationRef},
    tenant::{self, TenantRef},
};
use domain::{Actor, AuditId, ReadAudit, Scope, Seal, Subject};
use futures::{Stream, TryStreamExt as _, stream};
use std::{collections::VecDeque, error::Error, time::Duration};
use store::{AuditEntry, AuditFilter, SealedEntry, StoreError};

/// Entries that come close together are sealed together.
const GATHER: Duration = Duration::from_millis(100);
/// When it is looked although nothing has happened: another process may have left something.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Entries that are read at once for a file.
const AT_ONCE: u64 = 500;

/// Whose audit log.
#[derive(Debug, Clone)]
pub enum Of {
    /// All of it.
    Platform,
    /// What was done to a tenant and in it.
    Tenant(TenantRef),
    /// What was done to an organisation.
    Organisation(OrganisationRef),
}

/// What is looked for; everything by default.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Done by whom.
    pub subject: Option<Subject>,
    /// What: an action or the first words of several; see [`is_action`].
    pub action: Option<String>,
}

/// An entry, and what people call whoever did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditView {
    /// What stands in the record.
    pub entry: AuditEntry,
    /// The name of the account or the token; nothing if it is gone, or Warren did it by itself.
    pub who: Option<String>,
}

/// Whether a text can be an action, or the first words of several.
#[must_use]
pub fn is_action(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_letter)
}

/// One page of entries, newest first.
///
/// # Errors
/// If the caller may not see them.
pub async fn read(
    app: &App,
    actor: &Actor,
    of: &Of,
    wanted: Wanted,
    after: Option<AuditId>,
    limit: u64,
) -> Result<Page<AuditView, AuditId>, FindError> {
    let Wanted { subject, action } = wanted;
    let filter = AuditFilter { subject, action, ..filter(app, actor, of).await? };
    let entries = app.store.audit_list(filter, after, limit + 1).await?;
    let Page { items, next } = Page::cut(entries, limit, |entry| entry.id);
    let names = app.store.audit_names(items.iter().filter_map(|entry| entry.subject)).await?;
    let view = |entry: AuditEntry| {
        let who = entry.subject.and_then(|subject| names.get(&subject).cloned());
        AuditView { entry, who }
    };
    Ok(Page { items: items.into_iter().map(view).collect(), next })
}

/// All that is sealed now, oldest first, as lines of JSON that anybody can check without Warren.
///
/// # Errors
/// If the caller may not see it.
pub async fn export(
    app: &App,
    actor: &Actor,
    of: &Of,
) -> Result<impl Stream<Item = Result<String, StoreError>> + Send + use<>, FindError> {
    let filter = filter(app, actor, of).await?;
    let (last, seal) = app.store.audit_head().await?.unwrap_or((0, Seal::BEFORE_ALL));
    let head = matches!(of, Of::Platform).then_some(AuditLine::Head(last, seal));
    let reader = Reader { app: app.clone(), filter, read: VecDeque::new(), after: 0, last, head };
    let lines = stream::try_unfold(reader, |mut reader| async move {
        Ok(reader.line().await?.map(|line| (line.text(), reader)))
    });
    Ok(lines.inspect_err(|error| {
        tracing::error!(error = error as &dyn Error, "sending the audit log broke off");
    }))
}

/// Seals entries as they are written, for as long as it is polled; may be dropped at any moment.
pub async fn run(app: &App) {
    loop {
        match app.store.audit_seal().await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(error, "the audit log could not be sealed up to its end");
            }
        }
        if tokio::time::timeout(LOOK_EVERY, app.store.audited()).await.is_ok() {
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// The entries that are the caller's to see.
async fn filter(app: &App, actor: &Actor, of: &Of) -> Result<AuditFilter, FindError> {
    Ok(match of {
        Of::Platform => {
            permit::<ReadAudit>(actor, Scope::Platform, Noun::Page)?;
            AuditFilter::default()
        }
        Of::Tenant(tenant) => {
            let (tenant, _) = tenant::find::<ReadAudit>(app, actor, tenant).await?;
            AuditFilter::from(Some(tenant.id))
        }
        Of::Organisation(organisation) => {
            let (found, _) = organisation::find::<ReadAudit>(app, actor, organisation).await?;
            AuditFilter { organisation: Some(found.id), ..AuditFilter::default() }
        }
    })
}

/// One line of the file that proves itself.
enum AuditLine {
    /// An entry with its seal.
    Entry(SealedEntry),
    /// The last line of the whole log: the number and the seal of its last entry.
    Head(i64, Seal),
}

/// What reads the log piece by piece.
struct Reader {
    app: App,
    filter: AuditFilter,
    read: VecDeque<SealedEntry>,
    after: i64,
    /// What was sealed later is not in the file.
    last: i64,
    head: Option<AuditLine>,
}

impl Reader {
    async fn line(&mut self) -> Result<Option<AuditLine>, StoreError> {
        if self.read.is_empty() && self.after < self.last {
            self.read =
                self.app.store.audit_sealed(&self.filter, self.after, AT_ONCE).await?.into();
        }
        let entry = self.read.pop_front().filter(|entry| entry.sequence <= self.last);
        let Some(entry) = entry else {
            self.read.clear();
            self.after = self.last;
            return Ok(self.head.take());
        };
        self.after = entry.sequence;
        Ok(Some(AuditLine::Entry(entry)))
    }
}

impl AuditLine {
    /// The line as JSON, with its end.
    fn text(&self) -> String {
        match self {
            Self::Entry(SealedEntry { text, previous, seal, .. }) => {
                format!("{{\"entry\":{text},\"previous\":\"{previous}\",\"seal\":\"{seal}\"}}\n")
            }
            Self::Head(sequence, seal) => {
                format!("{{\"head\":{{\"sequence\":{sequence},\"seal\":\"{seal}\"}}}}\n")
            }
        }
    }
}
