//! `GET /api/v1/tenants/{tenant}/sessions/{session}/artifacts/{*path}`

use crate::{
    caller::Caller,
    extract::{ArtifactPath, SessionPath},
    problem::Problem,
};
use application::session;
use axum::{
    body::Body,
    http::{HeaderName, header},
    response::IntoResponse,
};
use std::fmt::Write as _;

const DIGEST: HeaderName = HeaderName::from_static("x-content-sha256");

/// One file that a session left. Whatever it is, browsers save it and do not run it.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/sessions/{session}/artifacts/{*path}", tag = "sessions", operation_id = "getArtifact",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("session" = String, Path, description = "Its id"),
        ("path" = String, Path, description = "Its path, with slashes"),
    ),
    responses((status = OK, description = "Its bytes", content_type = "application/octet-stream", body = String)),
)]
#[tracing::instrument(name = "http.session.artifact", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn artifact(
    Caller { app, actor, .. }: Caller,
    SessionPath { tenant, session }: SessionPath,
    ArtifactPath(path): ArtifactPath,
) -> Result<impl IntoResponse, Problem> {
    let (artifact, reading) = session::artifact(&app, &actor, &tenant, session, &path).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, reading.size.to_string()),
        (header::CONTENT_DISPOSITION, disposition(&artifact.path)),
        (header::CONTENT_SECURITY_POLICY, "sandbox".to_owned()),
        (DIGEST, artifact.digest.digits().to_owned()),
    ];
    Ok((headers, Body::from_stream(reading.bytes)))
}

/// Names the file as RFC 6266 and RFC 8187 say: a plain name for old programs, the true one beside.
fn disposition(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut text = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        text += "; filename*=UTF-8''";
        for byte in name.bytes() {
            if is_plain(char::from(byte)) {
                text.push(char::from(byte));
            } else {
                write!(text, "%{byte:02X}").expect("a text can grow");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn a_file_name_cannot_break_out_of_its_header() {
        assert_eq!(disposition("a/report.html"), "attachment; filename=\"report.html\"");
        assert_eq!(
            disposition("x/é\"\r\n"),
            "attachment; filename=\"____\"; filename*=UTF-8''%C3%A9%22%0D%0A"
        );
    }
}
