//! Tests of Warren from outside, on a real host cluster. Without the lab they say that they were skipped.

mod command_line;
mod configuration;
mod deletion;
mod doctor;
mod host;
mod host_trouble;
mod isolation;
mod names;
mod nodes;
mod project;
mod recovery;
mod refusal;
mod rights;
mod session;
mod store;
mod structure;
mod tenant;
