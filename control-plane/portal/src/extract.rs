//! What handlers take out of a request. What cannot be read is refused with a page.

use crate::refusal::Refusal;
use application::{
    error::{FindError, Noun},
    organisation::OrganisationRef,
    tenant::TenantRef,
};
use axum::{
    extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request},
    http::request::Parts,
};
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// The tenant of the path; a text that names none is one that is not there.
#[derive(Debug)]
pub(crate) struct TenantPath(pub(crate) TenantRef);

/// The organisation of the path; nothing where the path is about the platform.
#[derive(Debug)]
pub(crate) struct OrganisationPath(pub(crate) Option<OrganisationRef>);

/// The part of the path that is in braces as `id`, e.g. `{operation}`; it is the last one.
#[derive(Debug)]
pub(crate) struct LastPath<T>(pub(crate) T);

/// The fields of a form.
#[derive(Debug)]
pub(crate) struct Form<T>(pub(crate) T);

/// The parameters of the address, all of them optional: what cannot be read is as if it was left out.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Send + Sync> FromRequestParts<S> for TenantPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let missing = || Refusal::from(FindError::Missing(Noun::Tenant));
        let parameters = RawPathParams::from_request_parts(parts, state).await;
        let parameters = parameters.map_err(|_| missing())?;
        let text = parameters.iter().find(|(name, _)| *name == "tenant").map(|(_, text)| text);
        text.and_then(|text| text.parse().ok()).map(Self).ok_or_else(missing)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OrganisationPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let missing = || Refusal::from(FindError::Missing(Noun::Organisation));
        let parameters = RawPathParams::from_request_parts(parts, state).await;
        let parameters = parameters.map_err(|_| missing())?;
        let text = parameters.iter().find(|(name, _)| *name == "organisation");
        let named = text.map(|(_, text)| text.parse().map_err(|_| missing())).transpose()?;
        Ok(Self(named))
    }
}

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for LastPath<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let parameters = RawPathParams::from_request_parts(parts, state).await;
        let parameters = parameters.map_err(|_| Refusal::no_such_page())?;
        let last = parameters.iter().last();
        last.and_then(|(_, text)| text.parse().ok()).map(Self).ok_or_else(Refusal::no_such_page)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let form = axum::Form::from_request(request, state).await;
        form.map(|axum::Form(form)| Self(form)).map_err(|_| Refusal::unreadable_form())
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::from_request_parts(parts, state).await;
        Ok(Self(query.map(|Query(query)| query).unwrap_or_default()))
    }
}
