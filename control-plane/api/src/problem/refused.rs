//! How the refusals of use cases become problems.

use super::{Code, Problem};
use application::{
    access::AccessError,
    blob::UploadError,
    blobs::{PieceError, WriteError},
    error::{FindError, Noun},
    node, organisation, orphan, plan_batch, plan_change, session, tenant, token,
};
use domain::{Kept, Operation, OrphanProof, Plan, PlanName, PowerChange, Retention};
use jiff::Timestamp;
use std::error::Error;

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Missing(noun) => missing(noun),
            FindError::Forbidden { role } => {
                let detail = format!("The role {role} may not do this.");
                Self::with_detail(Code::Forbidden, detail)
            }
            FindError::Expired { kept, removed_at, plan } => expired(kept, removed_at, plan),
            FindError::Store(error) => internal(&error),
        }
    }
}

impl From<tenant::CreateError> for Problem {
    fn from(error: tenant::CreateError) -> Self {
        use tenant::CreateError as E;
        match error {
            E::Find(error) => error.into(),
            E::Invalid(invalid) => Self::with_fields(Code::InvalidInput, invalid),
            E::TooMany { name, most } => Self::with_detail(
                Code::QuotaExceeded,
                format!("The organisation {name} may have {most} tenants, and has them."),
            ),
            E::NameTaken(name) => {
                Self::with_detail(Code::NameTaken, format!("A tenant has the name {name}."))
            }
            E::IdempotencyMismatch => Self::new(Code::IdempotencyMismatch),
        }
    }
}

impl From<tenant::ReachError> for Problem {
    fn from(error: tenant::ReachError) -> Self {
        use tenant::ReachError as E;
        match error {
            E::Find(error) => error.into(),
            E::Deleting => Self::new(Code::TenantDeleting),
            E::Access(AccessError::NotReady { reason }) => {
                Self::with_detail(Code::TenantNotReady, reason)
            }
            E::Access(error @ AccessError::Unreachable(_)) => {
                tracing::warn!(error = &error as &dyn Error, "a cluster cannot be reached");
                Self::new(Code::ClusterUnreachable)
            }
            E::Access(error @ AccessError::Internal(_)) => internal(&error),
        }
    }
}

impl From<node::ReplaceError> for Problem {
    fn from(error: node::ReplaceError) -> Self {
        use node::ReplaceError as E;
        match error {
            E::Find(error) => error.into(),
            E::NotReady(state) => {
                let state = state.as_str();
                let detail =
                    format!("The node is {state}: only one that is ready or stopped is replaced.");
                Self::with_detail(Code::NodeNotReady, detail)
            }
            E::Invalid(invalid) => Self::with_fields(Code::InvalidInput, invalid),
            E::Volumes(claims) => {
                let claims = claims.join(", ");
                let detail = format!("They would be lost with its disk: the volumes of {claims}.");
                Self::with_detail(Code::NodeHasVolumes, detail)
            }
            E::Unread(claims) => {
                let claims = claims.join(", ");
                let detail =
                    format!("The node is stopped: the volumes of {claims} cannot be read.");
                let problem = Self::with_detail(Code::NodeHasVolumes, detail);
                problem.hint(
                    "Nothing was changed. Start the node first, or ask again with volumes: lose.",
                )
            }
            E::Uncopied(volumes) => {
                let whys = volumes.iter().map(|(claim, why)| format!("of {claim}, for {why}"));
                let whys = whys.collect::<Vec<_>>().join("; ");
                let detail = format!("Volumes on its disk cannot be copied: that {whys}.");
                let problem = Self::with_detail(Code::NodeHasVolumes, detail);
                problem.hint("Nothing was changed. Save what is needed by other means and delete the claims, or ask again with volumes: lose.")
            }
            E::Access(error) => tenant::ReachError::from(error).into(),
            E::Moving(operation) => busy(Code::TenantBusy, &operation),
            E::Busy(other) => {
                let detail =
                    format!("Node {other} of the tenant is being released: one at a time.");
                Self::with_detail(Code::TenantBusy, detail)
            }
            E::Deleting => Self::new(Code::TenantDeleting),
        }
    }
}

impl From<orphan::RemoveError> for Problem {
    fn from(error: orphan::RemoveError) -> Self {
        use orphan::RemoveError as E;
        match error {
            E::Find(error) => error.into(),
            E::NotOurs { proof: OrphanProof::Foreign, reason } => {
                let problem = Self::with_detail(
                    Code::OrphanNotOurs,
                    format!("It is somebody else's: {reason}."),
                );
                problem.hint("Nothing was changed. Whoever runs that installation can remove it.")
            }
            E::NotOurs { proof: OrphanProof::Unproven | OrphanProof::Ours, reason } => {
                let detail = format!("It is not proven to be Warren's: {reason}.");
                Self::with_detail(Code::OrphanNotOurs, detail)
            }
            E::Over(state) => {
                let detail = format!("It is {} already.", state.as_str());
                Self::with_detail(Code::OrphanOver, detail)
            }
        }
    }
}

impl From<node::PowerError> for Problem {
    fn from(error: node::PowerError) -> Self {
        use node::PowerError as E;
        match error {
            E::Find(error) => error.into(),
            E::NotSo { change, state } => {
                let (code, verb) = match change {
                    PowerChange::Stop => (Code::NodeNotReady, "stopped"),
                    PowerChange::Reboot => (Code::NodeNotReady, "rebooted"),
                    PowerChange::Start => (Code::NodeNotStopped, "started"),
                };
                let (state, needs) = (state.as_str(), change.needs().as_str());
                let detail = format!("The node is {state}: only one that is {needs} is {verb}.");
                Self::with_detail(code, detail)
            }
            E::Busy(operation) if operation.node.is_some() => busy(Code::NodeBusy, &operation),
            E::Busy(operation) => busy(Code::TenantBusy, &operation),
            E::Deleting => Self::new(Code::TenantDeleting),
        }
    }
}

impl From<plan_change::ChangeError> for Problem {
    fn from(error: plan_change::ChangeError) -> Self {
        use plan_change::ChangeError as E;
        match error {
            E::Find(error) => error.into(),
            E::Invalid(invalid) => Self::with_fields(Code::InvalidInput, invalid),
            E::Deleting => Self::new(Code::TenantDeleting),
            E::NotReady => Self::new(Code::TenantNotReady),
            E::Busy(operation) => busy(Code::TenantBusy, &operation),
            E::Blocked(preview) => {
                let blockers = preview.blockers.iter();
                let details: Vec<&str> = blockers.clone().map(|one| one.detail.as_str()).collect();
                let hints: Vec<&str> = blockers.map(|one| one.hint.as_str()).collect();
                let problem = Self::with_detail(Code::PlanChangeBlocked, details.join("; "));
                problem.hint(format!("Nothing was changed. Way out: {}", hints.join("; ")))
            }
            E::Waiting { line, start_at } => {
                let at = start_at.map_or_else(String::new, |at| format!(" for {at:.0}"));
                let detail = format!("Change {} of the tenant waits{at}.", line.operation);
                Self::with_detail(Code::PlanChangeWaiting, detail)
            }
            E::NotBegun => {
                let problem =
                    Self::with_detail(Code::PlanChangeWaiting, "The change has not begun.");
                problem.hint("It can be taken back with cancel; only what moves is halted.")
            }
            E::Outdated => Self::new(Code::PlanChangeOutdated),
            E::Committed => {
                let detail = "The tenant has the new plan already: from here on the change only goes forward.";
                Self::with_detail(Code::PlanChangeOver, detail)
            }
            E::Over => Self::new(Code::PlanChangeOver),
            E::Access(error) => tenant::ReachError::Access(error).into(),
        }
    }
}

impl From<plan_batch::BatchError> for Problem {
    fn from(error: plan_batch::BatchError) -> Self {
        use plan_batch::BatchError as E;
        match error {
            E::Find(error) => error.into(),
            E::Invalid(invalid) => Self::with_fields(Code::InvalidInput, invalid),
            E::Waiting(lines) => {
                let named = lines.iter().map(|line| format!("{} ({})", line.name, line.operation));
                let named: Vec<_> = named.collect();
                let detail = format!("A change waits already of: {}.", named.join(", "));
                Self::with_detail(Code::PlanChangeWaiting, detail)
            }
            E::IdempotencyMismatch => Self::new(Code::IdempotencyMismatch),
            E::Over => Self::new(Code::PlanBatchOver),
        }
    }
}

impl From<token::CreateError> for Problem {
    fn from(error: token::CreateError) -> Self {
        match error {
            token::CreateError::Find(error) => error.into(),
            token::CreateError::Invalid(invalid) => Self::with_fields(Code::InvalidInput, invalid),
        }
    }
}

impl From<token::RevokeError> for Problem {
    fn from(error: token::RevokeError) -> Self {
        match error {
            token::RevokeError::Find(error) => error.into(),
            token::RevokeError::LastOperator => Self::new(Code::LastOperator),
        }
    }
}

impl From<organisation::CreateError> for Problem {
    fn from(error: organisation::CreateError) -> Self {
        use organisation::CreateError as E;
        match error {
            E::Find(error) => error.into(),
            E::Invalid(invalid) => Self::with_fields(Code::InvalidInput, invalid),
            E::NameTaken(name) => {
                Self::with_detail(Code::NameTaken, format!("An organisation has the name {name}."))
            }
        }
    }
}

impl From<organisation::ManageError> for Problem {
    fn from(error: organisation::ManageError) -> Self {
        use organisation::ManageError as E;
        match error {
            E::Find(error) => error.into(),
            E::Invalid(invalid) => Self::with_fields(Code::InvalidInput, invalid),
            E::Last => Self::new(Code::LastOwner),
        }
    }
}

impl From<session::CreateError> for Problem {
    fn from(error: session::CreateError) -> Self {
        use session::CreateError as E;
        match error {
            E::Find(error) => error.into(),
            E::Invalid(invalid) => Self::with_fields(Code::InvalidInput, invalid),
            E::TooManyWaiting(invalid) => Self::with_fields(Code::QuotaExceeded, invalid),
            E::TenantDeleting => Self::new(Code::TenantDeleting),
            E::IdempotencyMismatch => Self::new(Code::IdempotencyMismatch),
        }
    }
}

impl From<session::RerunError> for Problem {
    fn from(error: session::RerunError) -> Self {
        match error {
            session::RerunError::Create(error) => error.into(),
            session::RerunError::NotOver { id, state } => {
                let detail =
                    format!("The session {id} is {state}: only one that is over is run again.");
                Self::with_detail(Code::SessionNotOver, detail)
            }
        }
    }
}

impl From<session::OutputError> for Problem {
    fn from(error: session::OutputError) -> Self {
        match error {
            session::OutputError::Find(error) => error.into(),
            session::OutputError::Blob(error) => internal(&error),
            session::OutputError::NoSuchPart { size } => {
                let detail = format!("The file has {size} bytes and ends before the range begins.");
                Self { detail, ..Self::new(Code::RangeNotSatisfiable) }
            }
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Find(error) => error.into(),
            UploadError::TenantDeleting => Self::new(Code::TenantDeleting),
            UploadError::Full(invalid) => Self::with_fields(Code::QuotaExceeded, invalid),
            UploadError::Write(error) | UploadError::Piece(PieceError::Write(error)) => {
                error.into()
            }
            UploadError::Piece(PieceError::Offset { expected, offset }) => {
                let detail = format!("The upload goes on at byte {expected}.");
                let problem = Self::with_detail(Code::UploadOffset, detail);
                problem.field("Upload-Offset", offset, format!("{expected}, what is there"))
            }
            UploadError::Piece(PieceError::TakenOver) => Self::new(Code::UploadTakenOver),
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::DigestMismatch { promised, actual } => {
                let detail = format!("The bytes have the digest {actual}.");
                let rule = format!("the SHA-256 of the bytes that were sent, {actual}");
                Self::with_detail(Code::DigestMismatch, detail).field("{digest}", promised, rule)
            }
            WriteError::TooLarge { limit } => too_large(None, limit),
            WriteError::Interrupted(_) => Self::new(Code::BodyInterrupted),
            WriteError::Stalled { seconds } => {
                let detail = format!("No bytes came for {seconds} s.");
                Self::with_detail(Code::RequestTimeout, detail)
            }
            WriteError::Blob(error) => internal(&error),
        }
    }
}

/// Something else is being done first.
fn busy(code: Code, operation: &Operation) -> Problem {
    let (id, kind) = (operation.id, operation.kind.as_str());
    let what = if operation.node.is_some() { "a node of the tenant" } else { "the tenant" };
    Problem::with_detail(code, format!("Operation {id} ({kind}) about {what} is not over."))
}

/// `announced` is how many bytes the caller said there are, if it did.
pub(crate) fn too_large(announced: Option<u64>, limit: u64) -> Problem {
    let detail = format!("The body may have at most {limit} bytes.");
    let value = announced.map_or_else(|| format!("more than {limit}"), |size| size.to_string());
    let rule = format!("at most {limit} bytes");
    Problem::with_detail(Code::BodyTooLarge, detail).field("Content-Length", value, rule)
}

/// Logs what broke, and tells only that something did.
fn internal(error: &(dyn Error + 'static)) -> Problem {
    tracing::error!(error, "a request failed");
    Problem::new(Code::Internal)
}

fn expired(kept: Kept, removed_at: Timestamp, plan: PlanName) -> Problem {
    let Retention { log_days, file_days } = Plan::current(plan).retention;
    let (what, days) = match kept {
        Kept::Log => ("log of the session was", log_days),
        Kept::Files => ("result and the artifacts of the session were", file_days),
    };
    let detail = format!(
        "The {what} removed at {removed_at:.0}: plan {plan} keeps this for {days} days after a \
         session's end."
    );
    Problem::with_detail(Code::Expired, detail)
}

fn missing(noun: Noun) -> Problem {
    let (detail, hint) = match noun {
        Noun::Tenant => ("There is no such tenant, or you may not see it.", None),
        Noun::Session => ("There is no such session in this tenant.", None),
        Noun::Operation => ("There is no such operation, or you may not see it.", None),
        Noun::Node => {
            ("There is no such node of this tenant.", Some("The list of nodes has all ids."))
        }
        Noun::Orphan => {
            ("Nothing like it was reported.", Some("warren node orphans shows what was."))
        }
        Noun::PlanBatch => {
            ("There is no such batch.", Some("warren plan batch list shows those that there are."))
        }
        Noun::PlanChange => ("There is no such change of plan in this tenant.", None),
        Noun::Token => ("There is no such token.", Some("The list of tokens has all ids.")),
        Noun::Blob => ("There is no such input.", Some("Upload it with PUT.")),
        Noun::Result => (
            "The session has left no result (yet).",
            Some("An agent leaves it as result.json in the folder WARREN_OUTPUT_DIR."),
        ),
        Noun::Artifact => (
            "The session has left no file of that path (yet).",
            Some("The list of artifacts has all paths."),
        ),
        Noun::Organisation => ("There is no such organisation, or you are not in it.", None),
        Noun::Member => ("There is nobody like that in it.", None),
        Noun::Invite => {
            ("There is no such invite: it was followed, taken back, or is too old.", None)
        }
        Noun::SignIn => ("You are not signed in there.", None),
        Noun::Page => return Problem::new(Code::NotFound),
    };
    let problem = Problem::with_detail(Code::NotFound, detail);
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}
