//! What traces say about a request.

use std::fmt;
use tracing::{Span, field::display};

/// Adds an identifier to the span of the request, which has an empty field for it.
pub(crate) fn note(field: &'static str, id: impl fmt::Display) {
    Span::current().record(field, display(id));
}
