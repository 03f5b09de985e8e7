//! Files that pages need beside themselves. Their addresses name their content, so that a browser may keep them for ever.

use crate::{Portal, refusal::Refusal};
use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    sync::LazyLock,
};

/// Name, type and content.
type File = (&'static str, &'static str, &'static [u8]);

const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [File; 6] = [
    ("app.css", "text/css; charset=utf-8", include_bytes!("../assets/app.css")),
    ("app.js", SCRIPT, include_bytes!("../assets/app.js")),
    ("log.js", SCRIPT, include_bytes!("../assets/log.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("../assets/icon.svg")),
    ("htmx-4.0.1.min.js", SCRIPT, include_bytes!("../assets/vendor/htmx-4.0.1.min.js")),
    ("hx-sse-4.0.1.min.js", SCRIPT, include_bytes!("../assets/vendor/hx-sse-4.0.1.min.js")),
];

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| FILES.iter().map(Asset::new).collect());

/// One file as it is served.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    /// The last part of its address.
    file: String,
    content_type: &'static str,
    plain: &'static [u8],
    /// The same, made small once; nothing if that failed.
    small: Option<Bytes>,
}

pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/assets/{file}", get(serve))
}

/// The address of a file.
pub(crate) fn url(name: &str) -> String {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    format!("/assets/{}", found.map_or(name, |asset| &asset.file))
}

// public: they are the same for everybody.
async fn serve(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let asset = ASSETS.iter().find(|asset| asset.file == file);
    let asset = asset.ok_or_else(Refusal::no_such_page)?;
    let kept = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
    ];
    let takes = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let takes_gzip = takes.is_some_and(|takes| takes.contains("gzip"));
    Ok(match asset.small.clone().filter(|_| takes_gzip) {
        Some(small) => (kept, [GZIP], small).into_response(),
        None => (kept, asset.plain).into_response(),
    })
}

const GZIP: (HeaderName, &str) = (header::CONTENT_ENCODING, "gzip");

impl Asset {
    fn new(&(name, content_type, plain): &File) -> Self {
        let mut hash = String::new();
        for byte in &Sha256::digest(plain)[..6] {
            write!(hash, "{byte:02x}").expect("a text takes everything");
        }
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let file = format!("{stem}.{hash}.{extension}");
        Self { name, file, content_type, plain, small: small(plain).ok() }
    }
}

#[cfg(test)]
mod contrast;

fn small(plain: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?.into())
}
