//! Lists in pages.

use crate::extract::Parameters;
use application::Page;
use axum::{
    Json,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use std::{fmt::Display, str::FromStr};
use utoipa::{IntoParams, ToSchema};

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List<T> {
    /// The items, in the order of the list.
    pub(crate) items: Vec<T>,
    /// The cursor of the next page; missing on the last one. Also in the header `link`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

/// Which page of a list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes to the OpenAPI document what PageQuery takes")]
pub(crate) struct PageParams {
    /// The most items on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// The parameters of a page, read.
#[derive(Debug)]
pub(crate) struct PageQuery<C> {
    pub(crate) limit: u64,
    pub(crate) after: Option<C>,
    path: String,
}

impl<C: FromStr + Display> PageQuery<C> {
    const LIMIT: u64 = 50;
    const MAX_LIMIT: u64 = 200;

    pub(crate) fn take(parameters: &mut Parameters) -> Self {
        let limit = parameters.number("limit", 1..=Self::MAX_LIMIT).unwrap_or(Self::LIMIT);
        let rule = "nextCursor of an earlier page of this list";
        let after = parameters.take("cursor", rule, decode);
        Self { limit, after, path: parameters.path.clone() }
    }

    /// The answer; `filter` is the rest of the query, e.g. `&state=running`.
    pub(crate) fn answer<T, B: Serialize>(
        &self,
        page: Page<T, C>,
        filter: &str,
        body: impl Fn(T) -> B,
    ) -> Response {
        let next_cursor = page.next.as_ref().map(encode);
        let mut headers = HeaderMap::new();
        if let Some(cursor) = &next_cursor {
            let Self { path, limit, .. } = self;
            let link = format!("<{path}?limit={limit}{filter}&cursor={cursor}>; rel=\"next\"");
            let link = HeaderValue::from_str(&link).expect("a path that was a path is one");
            headers.insert(header::LINK, link);
        }
        let items = page.items.into_iter().map(body).collect();
        (headers, Json(List { items, next_cursor })).into_response()
    }
}

fn encode(id: &impl Display) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(id.to_string())
}

fn decode<C: FromStr>(cursor: &str) -> Option<C> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    String::from_utf8(bytes).ok()?.parse().ok()
}
