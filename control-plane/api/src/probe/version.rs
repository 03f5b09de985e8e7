//! `GET /version`

use crate::state::Api;
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

/// Which program answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub(crate) struct VersionBody {
    #[schema(examples("0.1.0"))]
    version: &'static str,
    /// Empty if it is not known.
    commit: &'static str,
}

/// Which program answers.
#[utoipa::path(
    get, path = "/version", tag = "platform", operation_id = "getVersion",
    responses((status = OK, description = "Its version", body = VersionBody)),
)]
// public: the same for everybody.
pub(crate) async fn version(State(api): State<Api>) -> Json<VersionBody> {
    let about = api.metrics.about();
    Json(VersionBody { version: about.version, commit: about.commit })
}
