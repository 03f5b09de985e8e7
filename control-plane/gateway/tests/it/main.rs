//! The run endpoint over real TLS, on a real record.

mod endpoint;
mod gate;
mod traces;
mod world;
