//! What a tenant consists of on the host and inside its own cluster, and what has to change.
//!
//! Pure: objects are rendered as values, compared with observed values, and nothing is sent.
#![warn(missing_docs)]

pub mod diff;
pub mod object;

pub use diff::{Action, Change, Observed, diff, diff_one, unknown};
pub use object::{Absence, Comparison, Key, Kind, Rendered};
