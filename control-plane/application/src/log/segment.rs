//! The form of a log segment in the object store: lines of JSON, compressed with Zstandard (RFC 8878).

use super::LogLine;
use std::io;

/// How the paths of compressed segments end.
pub(crate) const COMPRESSED: &str = ".ndjson.zst";
/// Fast: lines come in at the speed of programs that print.
const LEVEL: i32 = 1;

pub(crate) fn packed(lines: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(lines, LEVEL)
}

/// The lines of a segment, as their run counts them. Those of earlier releases are not compressed.
///
/// # Errors
/// If it is not in the form that its path says.
pub fn lines(path: &str, bytes: &[u8]) -> io::Result<Vec<LogLine>> {
    let unpacked;
    let bytes = if path.ends_with(COMPRESSED) {
        unpacked = zstd::stream::decode_all(bytes)?;
        &unpacked
    } else {
        bytes
    };
    Ok(serde_json::Deserializer::from_slice(bytes).into_iter().collect::<Result<_, _>>()?)
}
