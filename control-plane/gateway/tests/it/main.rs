//! The run endpoint over real TLS, and the way of kubectl, on a real record.

mod bombs;
mod endpoint;
mod gate;
mod kubernetes;
mod log_limit;
mod pieces;
mod places;
mod speed;
mod traces;
mod world;
