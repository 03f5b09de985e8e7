//! Tests of Warren from outside, on a real host cluster. Without the lab they say that they were skipped.

mod isolation;
mod recovery;
mod refusal;
mod session;
mod structure;
mod tenant;
