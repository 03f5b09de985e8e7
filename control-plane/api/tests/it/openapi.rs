use crate::harness::TestApp;
use serde_json::Value;
use std::collections::BTreeSet;

#[tokio::test]
async fn the_openapi_document_is_this() {
    let server = TestApp::new().await;
    let document = server.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let text = serde_json::to_string_pretty(&document).expect("JSON");
    insta::assert_snapshot!("openapi", text);
}

#[tokio::test]
async fn every_operation_has_a_summary_an_id_of_its_own_and_a_problem() {
    let server = TestApp::new().await;
    let document = server.get("/openapi.json").await.json();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let what = format!("{method} {path}");
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{what}: {id} is taken");
            assert!(operation["summary"].is_string(), "{what}");
            assert!(operation["responses"]["default"].is_object(), "{what}");
            let is_protected = operation["security"].is_array();
            assert_eq!(is_protected, path.starts_with("/api/"), "{what}");
            for name in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                let name = name.trim_end_matches('}');
                let parameters = operation["parameters"].as_array().expect("parameters");
                let is_there = parameters.iter().any(|known| known["name"] == name);
                assert!(is_there, "{what}: {name} is not described");
            }
        }
    }
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                    let target = document.pointer(reference.trim_start_matches('#'));
                    assert!(target.is_some(), "{reference}");
                }
                object.values().for_each(|value| walk(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let server = TestApp::new().await;
    let document = server.get("/openapi.json").await.json();
    walk(&document, &document);
}

/// Bodies are read by hand, so that nothing holds them to their schemas but this.
#[tokio::test]
async fn every_field_of_a_described_body_is_known_and_every_known_one_described() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let document = server.get("/openapi.json").await.json();
    for (path, schema) in [
        ("/api/v1/tenants".to_owned(), "CreateTenant"),
        (format!("{}/tokens", tenant.path), "CreateToken"),
        ("/api/v1/tokens".to_owned(), "CreateOperatorToken"),
        (format!("{}/sessions", tenant.path), "CreateSession"),
        ("/api/v1/plan-change-batches".to_owned(), "CreatePlanChangeBatch"),
    ] {
        let schema = &document["components"]["schemas"][schema];
        let described: BTreeSet<_> =
            schema["properties"].as_object().expect("properties").keys().cloned().collect();
        let refused = server.post(&path, serde_json::json!({ "~": 1 })).await.json();
        let errors = refused["errors"].as_array().expect("errors").clone();
        let (unknown, missing): (Vec<_>, Vec<_>) =
            errors.iter().partition(|error| error["field"] == "/~0");
        let rule = unknown[0]["rule"].as_str().expect("a rule");
        let known = rule.strip_prefix("unknown field; known are: ").expect("the list of fields");
        let known: BTreeSet<_> = known.split(", ").map(str::to_owned).collect();
        assert_eq!(known, described, "{path}");

        let missing = missing.iter().filter(|error| error["rule"] == "required");
        let missing: BTreeSet<_> = missing.map(|error| error["field"].to_string()).collect();
        let required = schema["required"].as_array().expect("required fields").iter();
        let required: BTreeSet<_> =
            required.map(|name| format!("\"/{}\"", name.as_str().expect("a name"))).collect();
        assert_eq!(missing, required, "{path}");
    }
}
