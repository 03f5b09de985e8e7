//! What the black-box tests and benchmarks stand on: the lab that runs, Warren's API, its command
//! line, and `kubectl` against the host and against tenants.
//!
//! Nothing here knows Warren's own crates: what is tested is what a user gets.

mod audit;
mod command;
mod configured;
mod lab;
mod node;
pub mod pods;
mod tenant;
mod time;
mod web;

pub use audit::Audit;
pub use command::{Output, kubectl_in, program_in, run};
pub use configured::Configured;
pub use lab::{Frozen, Lab, Restart, stays, until};
pub use node::{Cordoned, Node, Unplugged};
pub use tenant::TestTenant;
pub use time::time;
pub use web::{Look, Web};
