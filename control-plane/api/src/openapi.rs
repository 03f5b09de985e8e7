//! The OpenAPI document, made from the handlers.

use crate::{problem::ProblemBody, state::Api};
use axum::{extract::State, http::header, response::IntoResponse};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use utoipa::{
    OpenApi,
    openapi::{
        Content, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder, Schema,
        SecurityRequirement,
        path::Operation,
        schema::AdditionalProperties,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

pub(crate) mod words;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Warren",
        version = "1",
        description = "Every tenant gets a Kubernetes API server of its own, and runs AI-agent \
                       sessions in it. Errors are problems (RFC 9457) with stable codes. What \
                       you may not know answers 404, as what does not exist.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "tenants", description = "A boundary with a virtual cluster of its own"),
        (name = "sessions", description = "Agent tasks of a tenant"),
        (name = "organisations", description = "People, and the tenants that are theirs together"),
        (name = "plans", description = "What tenants pay for, and how that changes"),
        (name = "nodes", description = "Nodes that a tenant has for itself"),
        (name = "operations", description = "What Warren is doing, step by step"),
        (name = "platform", description = "Plans, health and this document"),
    ),
)]
struct Base;

const SCHEME: &str = "token";
const PROBLEM: &str = "Problem";

/// The document without its paths.
pub(crate) fn base() -> Document {
    Base::openapi()
}

/// Adds what holds for every operation, and writes the document.
pub(crate) fn finish(mut document: Document) -> Bytes {
    let sent = sent(&document);
    let components = document.components.get_or_insert_default();
    let token = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("wrn_…")
        .description(Some("An API token."))
        .build();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(token));
    for name in sent {
        // An unknown field is refused.
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(&name) {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    components.responses.insert(PROBLEM.to_owned(), RefOr::T(problem()));

    // axum writes a part that may hold slashes as {*path}, OpenAPI as {path}.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths =
        paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    for (path, item) in &mut document.paths.paths {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.head,
            &mut item.patch,
        ];
        for operation in operations.into_iter().flatten() {
            complete(operation, path.starts_with("/api/"));
        }
    }
    document.to_json().expect("the document can be written as JSON").into()
}

/// The schemas of what callers send.
fn sent(document: &Document) -> BTreeSet<String> {
    let document = serde_json::to_value(document).expect("the document can be written as JSON");
    let paths = document["paths"].as_object().into_iter().flat_map(Map::values);
    let operations = paths.filter_map(Value::as_object).flat_map(Map::values);
    let mut sent = BTreeSet::new();
    for operation in operations {
        name_schemas(&operation["requestBody"], &document, &mut sent);
    }
    sent
}

/// Adds the names of all schemas that a part of the document consists of.
fn name_schemas(part: &Value, document: &Value, names: &mut BTreeSet<String>) {
    match part {
        Value::Array(parts) => parts.iter().for_each(|part| name_schemas(part, document, names)),
        Value::Object(parts) => {
            let reference = parts.get("$ref").and_then(Value::as_str).unwrap_or_default();
            if let Some(name) = reference.strip_prefix("#/components/schemas/")
                && names.insert(name.to_owned())
            {
                name_schemas(&document["components"]["schemas"][name], document, names);
            }
            parts.values().for_each(|part| name_schemas(part, document, names));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn complete(operation: &mut Operation, is_protected: bool) {
    if is_protected {
        let scopes: [&str; 0] = [];
        operation.security = Some(vec![SecurityRequirement::new(SCHEME, scopes)]);
    }
    let reference = Ref::from_response_name(PROBLEM);
    operation.responses.responses.insert("default".to_owned(), RefOr::Ref(reference));
}

fn problem() -> Response {
    let schema = Ref::from_schema_name(PROBLEM);
    ResponseBuilder::new()
        .description("A problem")
        .content("application/problem+json", Content::new(Some(schema)))
        .build()
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "platform",
    responses((status = OK, description = "An OpenAPI 3.1 document", content_type = "application/json", body = Object)),
)]
// public: describes what is public.
pub(crate) async fn openapi(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], api.document)
}
