//! `GET /livez`

/// Whether the process answers.
#[utoipa::path(
    get, path = "/livez", tag = "platform", operation_id = "isAlive",
    responses((status = OK, description = "It does", content_type = "text/plain", body = String)),
)]
// public: says nothing.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}
