use crate::{places::Place, problem::Problem};
use application::{App, run};
use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header::AUTHORIZATION, request::Parts},
};
use tracing::{Span, field::display};

/// The header in which a run says which one it is.
const RUN: &str = "warren-run";

/// The run whose token a request shows. What a handler does, it does for this run. A request that
/// names another run than its token does is refused: a mixed-up token reports for nobody.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) run::Caller);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(Problem::unauthorized)?;
        let caller = run::authenticate(app, token).await?;
        let named = parts.headers.get(RUN).map(HeaderValue::as_bytes);
        if named.is_some_and(|named| named != caller.run().to_string().as_bytes()) {
            return Err(Problem::unauthorized());
        }
        let place = parts.extensions.get::<Place>();
        if place.is_some_and(|place| !place.show(caller.run())) {
            return Err(Problem::too_many_connections());
        }
        let span = Span::current();
        span.record("run.id", display(caller.run()));
        span.record("session.id", display(caller.session()));
        span.record("tenant.id", display(caller.tenant()));
        tracing::debug!(path = parts.uri.path(), "a run reports");
        Ok(Self(caller))
    }
}
