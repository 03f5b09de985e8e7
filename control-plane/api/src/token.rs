//! API tokens.

pub(crate) mod create;
