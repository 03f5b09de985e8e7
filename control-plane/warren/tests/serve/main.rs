//! The server as a process of its own, with a host cluster that never answers.
#![expect(clippy::unwrap_used, reason = "what a test sets up works, or the test has failed")]

mod command_line;
mod lifetime;
mod proxmox;
mod server;
mod tls;
mod tokens;
mod traces;
