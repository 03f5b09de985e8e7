//! How long things took.

use domain::Measured;
use serde::Serialize;
use utoipa::ToSchema;

/// How long something took.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Measured)]
pub(crate) struct MeasuredBody {
    median_ms: u32,
    longest_ms: u32,
    /// How often it was measured.
    count: u32,
}

impl From<Measured> for MeasuredBody {
    fn from(Measured { median_ms, longest_ms, count }: Measured) -> Self {
        Self { median_ms, longest_ms, count }
    }
}
