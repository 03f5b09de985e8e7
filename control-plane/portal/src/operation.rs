//! `GET /operations/{operation}`: what was or is being done.

use crate::{
    extract::LastPath,
    frame::{Frame, Section, html},
    part::{Code, Id, OperationPart},
    person::Person,
    refusal::Refusal,
};
use application::{
    operation,
    tenant::{self, TenantRef},
};
use askama::Template;
use axum::response::Response;
use domain::OperationId;

#[derive(Template)]
#[template(path = "operation.html")]
struct OperationPage {
    frame: Frame,
    id: Id,
    operation: OperationPart,
    command: Code,
}

pub(crate) async fn show(
    person: Person,
    LastPath(id): LastPath<OperationId>,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let operation = operation::get(app, actor, id).await?;
    let typicals = operation::typicals(app, [operation.kind]).await?;
    let part = OperationPart::new(&operation, &typicals, app.clock.now());
    // The tenant may be gone by now; what was done to it stays to be seen.
    let tenant = tenant::get(app, actor, &TenantRef::Id(operation.tenant)).await.ok();
    let frame = match tenant {
        Some(view) => Frame::tenant(&person, &view.tenant, Section::Overview, part.name),
        None => Frame::platform(&person, part.name),
    };
    let command = Code::command(format!("warren operation get {id}"));
    Ok(html(&OperationPage { frame, id: Id::new(id), operation: part, command }))
}
