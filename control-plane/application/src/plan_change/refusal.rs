//! Why a change did not begin, as it is kept in the record. The codes are those of the API.

use super::ChangeError;
use crate::{
    access::AccessError,
    error::{FindError, Noun},
};
use domain::Problem;
use store::PlanChangeError;

/// What a beginning ended with in the record.
pub(crate) fn from_store(error: PlanChangeError) -> ChangeError {
    match error {
        PlanChangeError::Busy(operation) => ChangeError::Busy(operation),
        PlanChangeError::Deleting => ChangeError::Deleting,
        PlanChangeError::Outdated => ChangeError::Outdated,
        PlanChangeError::Store(error) => FindError::of_write(error, Noun::Tenant).into(),
    }
}

fn problem(code: &str, detail: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem { code: code.to_owned(), detail: detail.into(), hint: hint.into() }
}

/// A refusal as whoever asks later reads it.
pub(crate) fn kept(error: &ChangeError) -> Problem {
    use ChangeError as E;
    match error {
        E::Find(error) => of_find(error),
        E::Invalid(invalid) => {
            problem("invalid-input", invalid.to_string(), "ask for something that there is")
        }
        E::Deleting => problem("tenant-deleting", error.to_string(), "nothing is to be done"),
        E::NotReady => {
            problem("tenant-not-ready", error.to_string(), "watch the tenant's conditions")
        }
        E::Busy(open) => {
            let (code, what) = match open.node {
                Some(_) => ("node-busy", "a node of the tenant"),
                None => ("tenant-busy", "the tenant"),
            };
            let detail =
                format!("operation {} ({}) about {what} is not over", open.id, open.kind.as_str());
            problem(code, detail, "it is waited for; taking that operation back makes way")
        }
        E::Blocked(preview) => {
            let of = |part: fn(&Problem) -> &str| {
                preview.blockers.iter().map(part).collect::<Vec<_>>().join("; ")
            };
            problem("plan-change-blocked", of(|one| &one.detail), of(|one| &one.hint))
        }
        E::Waiting { .. } | E::NotBegun => {
            problem("plan-change-waiting", error.to_string(), "wait for it, or take it back")
        }
        E::Outdated => {
            let detail = "another look promises something else than the one before";
            problem("plan-change-outdated", detail, "look at a preview again")
        }
        E::Committed | E::Over => problem("plan-change-over", error.to_string(), "ask for another"),
        E::Access(AccessError::NotReady { reason }) => {
            problem("tenant-not-ready", reason.as_str(), "watch the tenant's conditions")
        }
        E::Access(AccessError::Unreachable(_)) => {
            let detail = "the cluster does not answer";
            problem("cluster-unreachable", detail, "it is asked again; warren doctor says more")
        }
        E::Access(AccessError::Internal(_)) => internal(),
    }
}

fn of_find(error: &FindError) -> Problem {
    match error {
        FindError::Missing(_) | FindError::Expired { .. } => {
            let detail = "there is no such tenant any more, or whoever asked may not see it";
            problem("not-found", detail, "nothing is to be done")
        }
        FindError::Forbidden { .. } => {
            let hint = "somebody who may asks for it again";
            problem("forbidden", format!("whoever asked may not any more: {error}"), hint)
        }
        FindError::Store(_) => internal(),
    }
}

fn internal() -> Problem {
    problem("internal", "something broke inside; it is in the log", "try again")
}
