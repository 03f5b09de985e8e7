//! `GET /api/v1/tenants/{tenant}/sessions/{session}/artifacts`

use crate::{caller::Caller, extract::SessionPath, page::List, problem::Problem};
use application::{Artifact, session};
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// A file that a session left.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Artifact)]
pub(crate) struct ArtifactBody {
    #[schema(examples("report/index.html"))]
    path: String,
    /// Bytes.
    size: u64,
    /// `sha256:` and 64 hexadecimal digits.
    digest: String,
}

/// The files that a session left.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/sessions/{session}/artifacts", tag = "sessions", operation_id = "listArtifacts",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("session" = String, Path, description = "Its id"),
    ),
    responses((status = OK, description = "All files, by path", body = List<ArtifactBody>)),
)]
#[tracing::instrument(name = "http.session.artifacts", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn artifacts(
    Caller { app, actor, .. }: Caller,
    SessionPath { tenant, session }: SessionPath,
) -> Result<Json<List<ArtifactBody>>, Problem> {
    let artifacts = session::artifacts(&app, &actor, &tenant, session).await?;
    let items = artifacts.into_iter().map(ArtifactBody::from).collect();
    Ok(Json(List { items, next_cursor: None }))
}

impl From<Artifact> for ArtifactBody {
    fn from(Artifact { path, size, digest, .. }: Artifact) -> Self {
        Self { path, size, digest: digest.to_string() }
    }
}
