//! Tests of Warren from outside, on a real host cluster. Without the lab they say that they were skipped.

mod alone;
mod command_line;
mod deadline;
mod dedicated;
mod deletion;
mod drain;
mod failure;
mod host;
mod hostile_node;
mod isolation;
mod kubectl;
mod log;
mod main_job;
mod names;
mod nodes;
mod plan_change;
mod plan_change_batch;
mod project;
mod refusal;
mod rights;
mod session;
mod stop;
mod store;
mod structure;
mod tenant;
mod volumes;
