//! The portal: what tenants and operators see in a browser.
//!
//! Pages are made on the server, and work without scripts. A handler extracts, calls one use case, and renders: what
//! holds is decided in `application`, as for the API.

mod account;
mod assets;
mod audit;
mod extract;
mod faults;
mod frame;
mod join;
mod links;
mod live;
mod operation;
mod overview;
mod part;
mod people;
mod person;
mod plan;
mod refusal;
mod security;
mod session;
mod sign_in;
mod tenant;
mod time;
mod words;

use crate::refusal::Refusal;
use application::App;
use axum::{Router, middleware, response::IntoResponse as _, routing::get};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower_http::{csrf::CsrfLayer, timeout::RequestBodyTimeoutLayer};

/// How long a form may stop coming.
const FORM: Duration = Duration::from_secs(30);

/// What handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Portal {
    pub(crate) app: App,
    /// Cancelled when the server begins to shut down.
    pub(crate) stop: CancellationToken,
}

/// The router of all pages. `stop` ends streams that would otherwise go on for ever.
pub fn router(app: App, stop: CancellationToken) -> Router {
    let refuse = |_| Refusal::cross_site().into_response();
    Router::new()
        .route("/", get(overview::show))
        .route("/plans", get(plan::show))
        .route("/operations/{operation}", get(operation::show))
        .merge(tenant::routes())
        .merge(session::routes())
        .merge(sign_in::routes())
        .merge(join::routes())
        .merge(account::routes())
        .merge(people::routes())
        .merge(audit::routes())
        .fallback(async || Refusal::no_such_page())
        .layer(RequestBodyTimeoutLayer::new(FORM))
        .layer(CsrfLayer::new().with_rejection_response(refuse))
        .merge(assets::routes())
        .layer(middleware::from_fn(security::finish))
        .with_state(Portal { app, stop })
}
