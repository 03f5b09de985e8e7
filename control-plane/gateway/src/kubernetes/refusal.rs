use application::{error::FindError, tenant::ReachError};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::sync::Arc;

/// Why a request does not pass, as clients of Kubernetes read it.
///
/// Source: Kubernetes API, `meta/v1` `Status`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    /// A word of `StatusReason`.
    reason: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn unauthorized() -> Self {
        let message = "Warren does not know this token; get another kubeconfig";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    /// There is none, or the caller may not know that there is.
    pub(super) fn no_tenant() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "Warren has no such tenant")
    }

    /// The connection cannot become what the API server wants it to be.
    pub(super) fn no_upgrade() -> Self {
        let message =
            "this connection cannot be upgraded: ask by HTTP/1.1, without a proxy that ends it";
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(super) fn unreachable() -> Self {
        let message =
            "the tenant's API server does not answer now; Warren shows the tenant's conditions";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    pub(super) fn late() -> Self {
        let message = "the tenant's API server did not answer in time";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
    }

    /// This process ends, or the caller's token is nobody's any more: whoever tries again hears which.
    pub(super) fn cut_short() -> Self {
        let message = "Warren is starting again, or the token was taken back; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }

    /// Something of ours failed.
    fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request to a tenant's API server does not pass");
        let message = "Warren could not do it now; try again";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }
}

impl From<FindError> for Refusal {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Missing(_) => Self::no_tenant(),
            FindError::Forbidden { role } => {
                let message = format!("the role {role} may not use the tenant's API server");
                Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
            }
            FindError::Expired { .. } | FindError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<ReachError> for Refusal {
    fn from(error: ReachError) -> Self {
        match error {
            ReachError::Find(error) => error.into(),
            ReachError::Deleting => {
                Self::new(StatusCode::NOT_FOUND, "NotFound", "the tenant is being deleted")
            }
            ReachError::Access(_) => Self::internal(&error),
        }
    }
}

impl From<Arc<clusters::ReachError>> for Refusal {
    fn from(error: Arc<clusters::ReachError>) -> Self {
        use clusters::ReachError as E;
        match &*error {
            E::Unknown | E::NoService => {
                let message =
                    "the tenant's API server is not there yet; Warren shows how far it is";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
            }
            E::Host(_) => {
                tracing::info!(
                    error = &*error as &dyn std::error::Error,
                    "no way to a tenant's API server"
                );
                Self::unreachable()
            }
            E::Source(_) | E::Credential(_) | E::Client(_) => Self::internal(&*error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.status.as_u16(),
        });
        let json = HeaderValue::from_static("application/json");
        (self.status, [(header::CONTENT_TYPE, json)], status.to_string()).into_response()
    }
}
