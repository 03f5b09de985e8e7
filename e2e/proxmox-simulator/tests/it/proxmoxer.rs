//! The Python client proxmoxer against the simulated cluster.
