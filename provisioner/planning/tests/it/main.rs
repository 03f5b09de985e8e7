//! Tests of what is rendered and of what is found to have changed.
#![expect(clippy::wildcard_enum_match_arm, reason = "tests name the cases that they are about")]

mod diff;
mod fixture;
mod isolation;
mod machine;
mod rendered;
mod run;
