use crate::api_server::ApiError;

/// What keeps Warren from making anything on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// One word in `CamelCase` for conditions.
    pub reason: String,
    /// What was tried, with verb and resource, and what came of it.
    pub message: String,
    /// Whether the host said no. If not, nobody knows how it is.
    pub is_refusal: bool,
}

/// Whether anything may be made on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostState {
    /// It was not asked yet.
    Asking,
    /// Its policies hold.
    Ready,
    /// Nothing is made on it.
    Blocked(Obstacle),
}

impl From<&ApiError> for Obstacle {
    fn from(error: &ApiError) -> Self {
        Self {
            reason: error.reason().to_owned(),
            message: error.to_string(),
            is_refusal: error.refusal().is_some(),
        }
    }
}
