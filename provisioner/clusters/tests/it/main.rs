//! Certificates as TLS peers see them, and the pool of ways to tenants.

mod clock;
mod pool;
mod run_endpoint;
