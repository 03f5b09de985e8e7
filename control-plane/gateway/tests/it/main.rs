//! The run endpoint over real TLS, on a real record.

mod bombs;
mod endpoint;
mod gate;
mod log_limit;
mod pieces;
mod places;
mod speed;
mod traces;
mod world;
