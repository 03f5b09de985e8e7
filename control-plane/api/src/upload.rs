//! Uploads that come in pieces: draft-ietf-httpbis-resumable-upload-12, but for their creation. What is sent is
//! named by its digest, so its address is known before anything is there.

use application::run::Progress;
use axum::http::{HeaderName, header};

pub(crate) mod head;
pub(crate) mod patch;

/// How many bytes are there.
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// How many the whole has.
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// Whether it is or will be whole: `?1` or `?0`.
const COMPLETE: HeaderName = HeaderName::from_static("upload-complete");

fn headers(Progress { offset, is_complete }: Progress) -> [(HeaderName, String); 3] {
    let is_complete = if is_complete { "?1" } else { "?0" };
    [
        (OFFSET, offset.to_string()),
        (COMPLETE, is_complete.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ]
}
