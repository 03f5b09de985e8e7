//! Makes the world match the record: observes, applies and reports, by controllers that can be killed
//! and started again at any moment.

mod api_server;
mod context;
mod controller;
mod desired;
pub mod doctor;
mod hint;
mod host_policies;
mod places;
mod session;
mod start;
mod tenant;
mod watch;

pub use context::{Context, KeysError, RecordedTenants};
pub use start::{Controllers, start};
pub use tenant::{ExplainError, explain};
