//! What a tenant consists of on the host and inside its own cluster, and what has to change.
//!
//! Pure: objects are rendered as values, compared with observed values, and nothing is sent.
//!
//! - [`render_host_policies`]: once per host cluster;
//! - [`render_cluster`]: a tenant's host namespace and what is in it;
//! - [`render_baseline`]: what Warren puts into the tenant's own API server;
//! - [`render_run_job`]: one run of a session;
//! - [`machine`]: a tenant's own node;
//! - [`volume`]: what is made to copy a volume to another node, and what takes the place of what;
//! - [`diff()`]: what has to change, and why.
#![warn(missing_docs)]

mod accounts;
mod admission;
mod baseline;
pub mod budget;
pub mod capacity;
mod certs;
mod cidr;
mod cluster;
mod config;
mod control_plane;
pub mod diff;
pub mod exclusive;
mod host_policies;
pub mod job;
pub mod machine;
pub mod moving;
mod namespace;
pub mod network;
mod node_policies;
pub mod object;
pub mod pod;
pub mod quota;
mod rules;
pub mod saga;
#[cfg(any(test, feature = "samples"))]
pub mod sample;
mod settings;
pub mod syncer;
pub mod volume;

pub use baseline::{AGENT, render_baseline, render_project};
pub use cidr::{Cidr, ParseCidrError};
pub use cluster::{Bundle, ClusterSpec, render_cluster};
pub use config::VCLUSTER_VERSION;
pub use diff::{Action, Change, Observed, diff, diff_one, part_damage, unknown};
pub use host_policies::render_host_policies;
pub use job::{RunAccess, RunObjects, render_run_job};
pub use network::is_public;
pub use object::{Absence, Comparison, Key, Kind, Rendered};
pub use quota::usage;
pub use settings::{HostSettings, Images, KubernetesDelivery, UserNamespaces};
