//! Plans.

pub(crate) mod list;
