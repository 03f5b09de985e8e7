//! What the black-box tests and benchmarks stand on: the lab that runs, Warren's API, its command
//! line, and `kubectl` against the host and against tenants.
//!
//! Nothing here knows Warren's own crates: what is tested is what a user gets.

mod command;
mod lab;
mod tenant;

pub use command::{Output, kubectl_in, run};
pub use lab::{Lab, Node, until};
pub use tenant::TestTenant;
