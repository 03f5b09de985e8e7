//! Objects of any kind, read from and written to one API server, with errors that name what was tried.

mod fault;

pub(crate) use fault::{ApiError, Fault};

use fault::Refusal;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use planning::{Key, Kind, object::FIELD_MANAGER};
use serde_json::{Value, json};
use std::{
    fmt::{self, Write as _},
    time::Duration,
};

/// The longest wait for a whole answer, its body included.
const ANSWER: Duration = Duration::from_secs(15);
/// The most that is read of one answer, in bytes.
const LARGEST_ANSWER: usize = 64 << 20;

/// Whose API server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The host cluster's.
    Host,
    /// A tenant's own.
    Tenant,
}

/// An API server and how to speak to it.
#[derive(Clone)]
pub(crate) struct ApiServer {
    client: kube::Client,
    place: Place,
}

/// How the objects that a deleted one owns are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They go first.
    Foreground,
    /// They go afterwards.
    Background,
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer").field("place", &self.place).finish_non_exhaustive()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host cluster",
            Self::Tenant => "tenant's cluster",
        })
    }
}

impl ApiServer {
    pub(crate) fn host(client: kube::Client) -> Self {
        Self { client, place: Place::Host }
    }

    pub(crate) fn tenant(client: kube::Client) -> Self {
        Self { client, place: Place::Tenant }
    }

    /// Reads an object; nothing if it is not there.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Value>, ApiError> {
        match self.send("get", key, request(Method::GET, &key.path(), None)).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all objects of a kind, of one namespace or of all, that match a label selector.
    pub(crate) async fn list(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        labels: &str,
    ) -> Result<Vec<Value>, ApiError> {
        self.list_where(kind, namespace, &[("labelSelector", labels)]).await
    }

    /// Reads all objects of a kind that match a query.
    pub(crate) async fn list_where(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>, ApiError> {
        let path = format!("{}?{}", kind.path(namespace), query_string(query));
        let all = collection(kind, namespace);
        let mut list = self.send("list", &all, request(Method::GET, &path, None)).await?;
        let Some(Value::Array(mut items)) = list.get_mut("items").map(Value::take) else {
            return Ok(Vec::new());
        };
        // The items of a list say neither their version nor their kind: the list does.
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.insert("apiVersion".to_owned(), kind.api_version().into());
            item.insert("kind".to_owned(), kind.as_str().into());
        }
        Ok(items)
    }

    /// Server-side apply by Warren's field manager, with force and strict validation.
    pub(crate) async fn apply(&self, key: &Key, body: &Value) -> Result<Value, ApiError> {
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict",
            key.path()
        );
        let mut request = request(Method::PATCH, &path, Some(body));
        // JSON is YAML, and this is the only type of content that means "apply".
        let content = header::HeaderValue::from_static("application/apply-patch+yaml");
        request.headers_mut().insert(header::CONTENT_TYPE, content);
        self.send("apply", key, request).await
    }

    /// Makes an object that must not be there yet.
    pub(crate) async fn create(&self, key: &Key, body: &Value) -> Result<Value, ApiError> {
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict",
            key.kind.path(key.namespace.as_deref())
        );
        self.send("create", key, request(Method::POST, &path, Some(body))).await
    }

    /// Makes something below an object, e.g. an eviction below a pod.
    pub(crate) async fn create_below(
        &self,
        key: &Key,
        below: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let path = format!("{}/{below}", key.path());
        self.send("create", key, request(Method::POST, &path, Some(body))).await
    }

    /// Changes the parts of an object that are in `patch` (RFC 7396).
    pub(crate) async fn merge(&self, key: &Key, patch: &Value) -> Result<Value, ApiError> {
        let uri = format!("{}?fieldManager={FIELD_MANAGER}", key.path());
        let mut request = request(Method::PATCH, &uri, Some(patch));
        let content = header::HeaderValue::from_static("application/merge-patch+json");
        request.headers_mut().insert(header::CONTENT_TYPE, content);
        self.send("patch", key, request).await
    }

    /// Replaces an object; `body` carries the resource version that it was read at.
    pub(crate) async fn replace(&self, key: &Key, body: &Value) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict", key.path());
        self.send("update", key, request(Method::PUT, &path, Some(body))).await
    }

    /// Deletes an object. What is already gone is fine.
    pub(crate) async fn delete(&self, key: &Key, options: &Value) -> Result<(), ApiError> {
        let request = request(Method::DELETE, &key.path(), Some(options));
        match self.send("delete", key, request).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes all objects of a kind in a namespace that match a label selector.
    pub(crate) async fn delete_all(
        &self,
        kind: Kind,
        namespace: &str,
        labels: &str,
        options: &Value,
    ) -> Result<(), ApiError> {
        let query = query_string(&[("labelSelector", labels)]);
        let path = format!("{}?{query}", kind.path(Some(namespace)));
        let all = collection(kind, Some(namespace));
        match self.send("delete", &all, request(Method::DELETE, &path, Some(options))).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn send(
        &self,
        verb: &'static str,
        key: &Key,
        request: Request<Body>,
    ) -> Result<Value, ApiError> {
        let failed = |fault| ApiError::new(verb, key, self.place, fault);
        match tokio::time::timeout(ANSWER, self.answer(request)).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed(Fault::NoAnswer(None))),
        }
    }

    async fn answer(&self, request: Request<Body>) -> Result<Value, Fault> {
        let answer = self.client.send(request).await.map_err(Fault::of_transport)?;
        let status = answer.status();
        let retry_after = answer
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = http_body_util::Limited::new(answer.into_body(), LARGEST_ANSWER)
            .collect()
            .await
            .map_err(|source| Fault::NoAnswer(Some(source)))?
            .to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| Fault::Unreadable);
        }
        let refusal = Refusal::read(status, &body, retry_after);
        debug_assert!(status != StatusCode::SWITCHING_PROTOCOLS, "nothing is upgraded here");
        Err(Fault::Refused(refusal))
    }
}

/// The body of a delete request.
pub(crate) fn delete_options(
    propagation: Propagation,
    grace_seconds: Option<u64>,
    uid: Option<&str>,
) -> Value {
    let propagation = match propagation {
        Propagation::Foreground => "Foreground",
        Propagation::Background => "Background",
    };
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation,
    });
    if let Some(seconds) = grace_seconds {
        options["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(uid) = uid {
        options["preconditions"] = json!({ "uid": uid });
    }
    options
}

fn request(method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
    let content = body.map(Value::to_string).unwrap_or_default();
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(content.into_bytes()))
        .expect("paths are made of Kubernetes names, which fit a URI")
}

fn collection(kind: Kind, namespace: Option<&str>) -> Key {
    Key { kind, namespace: namespace.map(str::to_owned), name: "*".to_owned() }
}

/// Percent-encodes a query (RFC 3986, section 2.3: everything but the unreserved characters).
fn query_string(query: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                write!(text, "%{byte:02X}").expect("writing to a string cannot fail");
            }
        }
    }
    text
}
