//! Sessions of a tenant.

use crate::Portal;
use axum::Router;

pub(crate) fn routes() -> Router<Portal> {
    Router::new()
}
