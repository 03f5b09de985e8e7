//! Tests that have the lab to themselves: they kill parts of it, or take something away that all need. `cargo lab test`
//! runs them after the others, one after the other.

mod configuration;
mod copied_volumes;
mod deletion;
mod doctor;
mod host_trouble;
mod log;
mod lost_node;
mod plan_change;
mod proxmox_trouble;
mod recovery;
mod steps;
mod tenant;
