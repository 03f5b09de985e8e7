//! Makes the world match the record: observes, applies and reports, by controllers that can be killed
//! and started again at any moment.

mod addresses;
mod api_server;
mod backoff;
mod context;
mod controller;
mod desired;
pub mod doctor;
mod hint;
mod host_policies;
mod host_state;
mod machines;
mod node;
mod places;
mod plan_change;
mod sagas;
mod session;
mod start;
mod tenant;
mod volumes;
mod watch;

pub use addresses::Settings;
pub use backoff::Backoff;
pub use context::{Context, KeysError, RecordedTenants};
pub use host_state::Obstacle;
pub use machines::{Addresses, MachineSettings, Machines, Templates};
pub use plan_change::{CapacityError, SurveyError, capacity, survey, volumes_on};
pub use start::{Controllers, start, start_without_host};
pub use tenant::{ExplainError, explain};
