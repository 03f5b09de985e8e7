//! What the design has and nobody has built yet. It says so, instead of pretending or of looking like
//! a misspelt address; `README.md` lists the same.

use crate::{
    problem::{Code, Problem},
    state::Api,
};
use axum::{Router, routing::any};

/// The paths, and what will be there.
pub(crate) const PLANNED: [(&str, &str); 2] = [
    ("/api/v1/tenants/{tenant}/workflows", "workflows"),
    ("/api/v1/tenants/{tenant}/schedules", "schedules"),
];

/// Routes that answer 501 to every method.
pub(crate) fn router() -> Router<Api> {
    PLANNED.into_iter().fold(Router::new(), |router, (path, what)| {
        // public: whether a thing is built is no secret.
        let answer = async move || {
            Problem::with_detail(Code::NotImplemented, format!("Not built yet: {what}."))
        };
        router.route(path, any(answer))
    })
}
