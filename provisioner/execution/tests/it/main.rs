//! The controllers against API servers that live in this process and can be made to fail.

mod drain;
mod fake;
mod grants;
mod host;
mod proxmox;
mod removal;
mod session;
mod tenant;
mod world;
