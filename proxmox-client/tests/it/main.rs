//! The client on the wire: against a server that behaves like the real one, in and out of order.

mod answers;
mod certificate;
mod fakepve;
mod faults;
mod hosts;
mod opinion;
mod quirks;
mod server;
mod tasks;
mod token;
mod tour;
mod trust;
mod wire;
