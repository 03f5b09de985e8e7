use crate::problem::Problem;
use application::{App, run};
use axum::{
    extract::FromRequestParts,
    http::{header::AUTHORIZATION, request::Parts},
};

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
        let named = parts.headers.get(RUN).map(|value| value.as_bytes());
        if named.is_some_and(|named| named != caller.run().to_string().as_bytes()) {
            return Err(Problem::unauthorized());
        }
        tracing::debug!(run.id = %caller.run(), method = %parts.method, path = parts.uri.path());
        Ok(Self(caller))
    }
}
