//! A Proxmox VE cluster without Proxmox VE: the API with its quirks, tasks that take time and go wrong, rights,
//! storages, and machines that can be real nodes of Kubernetes. Automation can be rehearsed against it.
//!
//! The README beside this crate says how to start it and what it leaves out.

mod access;
mod act;
mod api;
mod clock;
mod cluster;
mod config;
pub mod control;
mod failure;
mod fault;
mod http;
#[cfg(test)]
#[path = "../tests/it/image.rs"]
mod image;
mod images;
pub mod iso;
mod locks;
pub mod machines;
pub mod nocloud;
mod option;
mod params;
mod plan;
mod release;
mod simulator;
mod task;
mod tls;
mod world;

pub use act::{Act, ActError};
pub use clock::Clock;
pub use config::{
    Config, EntryConfig, NodeConfig, StorageConfig, TemplateConfig, Times, TokenConfig, UserConfig,
};
pub use fault::{Effect, Fault, Lock, Moment};
pub use release::Release;
pub use simulator::Simulator;
