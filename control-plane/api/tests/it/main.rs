//! The API in process, on a real database.
#![expect(clippy::panic, reason = "helpers of tests fail by panicking, too")]

mod access;
mod audit;
mod blobs;
mod harness;
mod housekeeping;
mod logs;
mod metrics;
mod nodes;
mod openapi;
mod organisations;
mod orphans;
mod plan_batches;
mod plan_changes;
mod problems;
mod reruns;
mod retention;
mod sessions;
mod tenants;
mod tokens;
mod traces;
mod uploads;
