//! What passes between tenants' clusters and Warren: here, the reports of runs.
//!
//! [`serve_run_endpoint`] answers runners; [`serve_gate`] is the address that a runner must not be
//! able to reach before it starts an agent.

mod caller;
mod connections;
mod endpoint;
mod gate;
mod problem;

pub use connections::serve_run_endpoint;
pub use gate::serve_gate;
