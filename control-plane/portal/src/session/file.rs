//! `GET …/sessions/{session}/artifacts/{path}` and `…/result.json`: whatever they are, browsers save them and do not
//! run them.

use super::{FilePath, SessionPath};
use crate::{person::Person, refusal::Refusal};
use application::session;
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse as _, Response},
};
use std::fmt::Write as _;

pub(super) async fn artifact(
    Person { app, actor, .. }: Person,
    SessionPath { tenant, session }: SessionPath,
    FilePath(path): FilePath,
) -> Result<Response, Refusal> {
    let found = session::artifact(&app, &actor, &tenant, session, &path, |_| None).await?;
    let (artifact, _, reading) = found;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, reading.size.to_string()),
        (header::CONTENT_DISPOSITION, disposition(&artifact.path)),
    ];
    Ok((headers, Body::from_stream(reading.bytes)).into_response())
}

pub(super) async fn result(
    Person { app, actor, .. }: Person,
    SessionPath { tenant, session }: SessionPath,
) -> Result<Response, Refusal> {
    let bytes = session::result(&app, &actor, &tenant, session).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, disposition("result.json")),
    ];
    Ok((headers, bytes).into_response())
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
        let odd = "attachment; filename=\"____\"; filename*=UTF-8''%C3%A9%22%0D%0A";
        assert_eq!(disposition("x/é\"\r\n"), odd);
    }
}
