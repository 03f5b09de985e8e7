//! The REST API: `/api/v1`, with its OpenAPI document made from the code.
//!
//! One endpoint, one file. A handler extracts, calls one use case, and maps; every error is a
//! problem (RFC 9457).

mod audit;
mod blob;
mod caller;
mod doctor;
mod extract;
mod linger;
mod measured;
mod metrics;
mod node;
mod observe;
mod openapi;
mod operation;
mod organisation;
mod orphan;
mod page;
mod plan;
mod plan_batch;
mod plan_change;
mod planned;
mod probe;
mod problem;
mod session;
mod state;
mod tenant;
mod token;
mod upload;

pub use crate::{
    metrics::{Metrics, metrics_router},
    problem::{Code, FieldProblem, Problem},
    state::About,
};

use crate::{linger::linger, observe::observe, problem::of_panic, state::Api};
use application::App;
use axum::{Router, http::Uri, middleware};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The router of the REST API and its probes.
///
/// Routes of `beside` are named, measured and logged in the same way, and answer for themselves. `shutdown` ends streams
/// that would otherwise go on for ever; cancel it when the server begins to shut down, so that it can finish.
pub fn router(app: App, metrics: &Metrics, beside: Router, shutdown: CancellationToken) -> Router {
    let (router, document) = routes().split_for_parts();
    let api = Api::new(app, metrics.clone(), openapi::finish(document), shutdown);
    router
        .merge(planned::router())
        .with_state(api.clone())
        .merge(beside)
        .fallback(async |uri: Uri| Problem::no_such_route(uri.path()))
        .method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed))
        .layer(CatchPanicLayer::custom(of_panic))
        .layer(middleware::from_fn(linger))
        .layer(middleware::from_fn_with_state(api, observe))
}

fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(tenant::create::create, tenant::list::list))
        .routes(routes!(tenant::get::get, tenant::delete::delete))
        .routes(routes!(tenant::kubeconfig::kubeconfig))
        .routes(routes!(tenant::explanation::explanation))
        .routes(routes!(tenant::operations::operations))
        .routes(routes!(node::list::list))
        .routes(routes!(node::exclusivity::exclusivity))
        .routes(routes!(node::replace::replace))
        .routes(routes!(orphan::list::list))
        .routes(routes!(orphan::looks::looks))
        .routes(routes!(orphan::remove::remove))
        .routes(routes!(node::stop::stop))
        .routes(routes!(node::start::start))
        .routes(routes!(node::reboot::reboot))
        .routes(routes!(token::create::create, token::list::list))
        .routes(routes!(token::revoke::revoke))
        .routes(routes!(token::operator::create, token::operator::list))
        .routes(routes!(token::operator::revoke))
        .routes(routes!(blob::put::put, blob::head::head))
        .routes(routes!(upload::head::head, upload::patch::patch))
        .routes(routes!(session::create::create, session::list::list))
        .routes(routes!(session::get::get))
        .routes(routes!(session::runs::runs))
        .routes(routes!(session::stop::stop))
        .routes(routes!(session::rerun::rerun))
        .routes(routes!(session::logs::logs))
        .routes(routes!(session::result::result))
        .routes(routes!(session::artifacts::artifacts))
        .routes(routes!(session::artifact::artifact))
        .routes(routes!(organisation::create::create, organisation::list::list))
        .routes(routes!(organisation::get::get))
        .routes(routes!(organisation::audit::list))
        .routes(routes!(organisation::member::list))
        .routes(routes!(organisation::member::change, organisation::member::remove))
        .routes(routes!(organisation::invite::create, organisation::invite::list))
        .routes(routes!(organisation::invite::revoke))
        .routes(routes!(audit::list::list))
        .routes(routes!(audit::export::export))
        .routes(routes!(audit::tenant::list))
        .routes(routes!(audit::tenant::export))
        .routes(routes!(operation::get::get))
        .routes(routes!(plan::list::list))
        .routes(routes!(plan_change::create::create, plan_change::list::list))
        .routes(routes!(plan_change::get::get))
        .routes(routes!(plan_change::cancel::cancel))
        .routes(routes!(plan_change::pause::pause))
        .routes(routes!(plan_change::resume::resume))
        .routes(routes!(plan_batch::create::create, plan_batch::list::list))
        .routes(routes!(plan_batch::get::get))
        .routes(routes!(plan_batch::pause::pause))
        .routes(routes!(plan_batch::resume::resume))
        .routes(routes!(plan_batch::cancel::cancel))
        .routes(routes!(plan_batch::retry::retry))
        .routes(routes!(doctor::doctor))
        .routes(routes!(doctor::proxmox::proxmox))
        .routes(routes!(probe::livez::livez))
        .routes(routes!(probe::readyz::readyz))
        .routes(routes!(probe::version::version))
        .routes(routes!(openapi::openapi))
}
