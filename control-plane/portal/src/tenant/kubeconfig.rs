//! `GET /tenants/{tenant}/kubeconfig`: a file with a short-lived credential.

use crate::{extract::TenantPath, person::Person, refusal::Refusal};
use application::tenant;
use axum::{http::header, response::IntoResponse};
use secrecy::ExposeSecret as _;

pub(super) async fn download(
    person: Person,
    TenantPath(reference): TenantPath,
) -> Result<impl IntoResponse, Refusal> {
    let Person { app, actor, .. } = &person;
    let name = tenant::get(app, actor, &reference).await?.tenant.name;
    let kubeconfig = tenant::kubeconfig(app, actor, &reference).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/yaml".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.kubeconfig\"")),
    ];
    Ok((headers, kubeconfig.expose_secret().to_owned()))
}
