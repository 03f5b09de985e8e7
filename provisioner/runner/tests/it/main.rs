//! The runner as a process of its own, against the real run endpoint.

// One package cannot be had under two names.
extern crate rustls_ring as rustls;

mod bench;
mod copy;
mod end;
mod output;
mod road;
mod size;
mod speed;
mod start;
#[path = "../../../../control-plane/gateway/tests/it/world.rs"]
mod world;
