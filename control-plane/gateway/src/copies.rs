//! The paths by which volumes go from node to node. None of them names a copy: the token does.

use crate::{endpoint::parse, problem::Problem};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequestParts, Query, State},
    http::{
        StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE},
        request::Parts,
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use clusters::{End, RelayError, Relays, Taken, Whole};
use domain::Digest;
use serde::{Deserialize, Serialize};

/// The largest piece, in bytes.
const MAX_PIECE_BYTES: usize = 1 << 20;

/// What copies call.
pub(crate) fn router(relays: Relays) -> Router {
    Router::new()
        .route("/copy/v1/pieces", get(take).post(put))
        .route("/copy/v1/end", post(end))
        .layer(DefaultBodyLimit::max(MAX_PIECE_BYTES))
        .with_state(relays)
}

/// The end of a relay whose token a request shows.
struct Shown(End);

#[derive(Debug, Deserialize)]
struct From {
    at: u64,
}

#[derive(Debug, Deserialize)]
struct Place {
    at: u64,
    of: u64,
}

#[derive(Debug, Serialize)]
struct Next {
    next: u64,
}

/// All that a side has sent or got, or what went wrong there.
#[derive(Debug, Deserialize)]
struct Said {
    bytes: Option<u64>,
    digest: Option<Digest>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct All {
    bytes: u64,
    digest: Digest,
}

impl FromRequestParts<Relays> for Shown {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, relays: &Relays) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        token.and_then(|token| relays.end(token)).map(Self).ok_or_else(Problem::unauthorized)
    }
}

async fn put(
    State(_): State<Relays>,
    Shown(end): Shown,
    Query(Place { at, of }): Query<Place>,
    bytes: Bytes,
) -> Result<Json<Next>, Problem> {
    Ok(Json(Next { next: end.put(at, of, bytes).await? }))
}

async fn take(Shown(end): Shown, Query(From { at }): Query<From>) -> Result<Response, Problem> {
    Ok(match end.take(at).await? {
        Taken::Piece(bytes) => {
            ([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
        }
        Taken::Nothing => StatusCode::NO_CONTENT.into_response(),
        Taken::End(Whole { bytes, digest }) => Json(All { bytes, digest }).into_response(),
    })
}

async fn end(Shown(end): Shown, body: Bytes) -> Result<StatusCode, Problem> {
    let said = match parse(&body)? {
        Said { problem: Some(problem), .. } => Err(problem),
        Said { bytes: Some(bytes), digest: Some(digest), problem: None } => {
            Ok(Whole { bytes, digest })
        }
        Said { .. } => return Err(Problem::invalid("bytes and digest, or problem")),
    };
    end.finish(said);
    Ok(StatusCode::NO_CONTENT)
}

impl std::convert::From<RelayError> for Problem {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::Gap { next } => Self::gap(next, error.to_string()),
            RelayError::WrongSide => Self::invalid(error.to_string()),
        }
    }
}
