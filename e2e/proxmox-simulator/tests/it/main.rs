//! The simulated cluster, as a client meets it. Time stands still in most of these tests and jumps to whatever
//! happens next.

mod agent;
mod asking;
mod clones;
mod configurations;
mod errors;
mod faults;
mod image;
mod machines;
mod namespaces;
mod orders;
mod persistence;
mod proxmoxer;
mod releases;
mod rights;
mod storages;
mod tasks;
mod tls;
mod wire;
