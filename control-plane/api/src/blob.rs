//! Uploaded inputs.

use application::Blob;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod head;
pub(crate) mod put;

/// An uploaded input.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Blob)]
pub(crate) struct BlobBody {
    /// `sha256:` and 64 hexadecimal digits; sessions name their inputs by it.
    digest: String,
    /// Bytes.
    size: u64,
}

impl From<Blob> for BlobBody {
    fn from(Blob { digest, size }: Blob) -> Self {
        Self { digest: digest.to_string(), size }
    }
}
