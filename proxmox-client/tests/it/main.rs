//! The client on the wire: against a server that behaves like the real one, in and out of order.

mod answers;
mod certificate;
mod faults;
mod hosts;
mod quirks;
mod server;
mod tasks;
mod token;
mod tour;
mod trust;
mod wire;
