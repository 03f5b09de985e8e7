//! What keeps an eye on the process.

pub(crate) mod livez;
pub(crate) mod readyz;
pub(crate) mod version;
