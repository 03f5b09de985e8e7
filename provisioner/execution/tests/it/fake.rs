//! An API server in memory: objects, watches, server-side apply by a single manager, and faults on demand.

mod apply;
mod eviction;
mod path;
mod rights;

use eviction::evict;
use futures::{StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use path::Place;
use rights::Rights;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{mpsc, watch};

/// What a request may meet with instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An answer with this status and this reason.
    Refuse(u16, &'static str),
    /// The request is carried out and the answer is lost.
    LoseReply,
    /// The connection breaks before anything is done.
    Break,
    /// Nothing is done, and there is never an answer.
    Hang,
    /// Nothing is done, and there is no answer before the faults end; it is to come back in a minute.
    HoldThenPutOff,
}

/// A request that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) method: Method,
    pub(crate) path: String,
}

/// What happens by itself after every write: the controllers of the cluster.
type Controllers = Arc<dyn Fn(&mut Objects) + Send + Sync>;

/// All objects, by `group/version/plural/namespace/name`.
#[derive(Default)]
pub(crate) struct Objects {
    all: BTreeMap<Place, Value>,
    /// What was applied last of each: what it does not say any more is taken away.
    applied: BTreeMap<Place, Value>,
    version: u64,
    log: Vec<(u64, &'static str, Place, Value)>,
}

#[derive(Default)]
struct State {
    objects: Objects,
    made: Vec<Made>,
    denied: Vec<String>,
    faults: Vec<(Method, String, Fault, usize)>,
    watchers: Vec<(Place, HashMap<String, String>, mpsc::UnboundedSender<Bytes>)>,
    sent: usize,
}

/// A fake API server. Clones are the same server.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    controllers: Controllers,
    /// What whoever asks may do; nothing means everything.
    rights: Option<Arc<Rights>>,
    changed: watch::Sender<u64>,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Objects {
    pub(crate) fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.all
            .iter()
            .find(|(place, _)| place.is(plural, namespace, name))
            .map(|(_, object)| object)
    }

    pub(crate) fn list(&self, plural: &str) -> Vec<Value> {
        let is_kind = |place: &&Place| place.plural == plural;
        self.all.keys().filter(is_kind).map(|place| self.all[place].clone()).collect()
    }

    /// Puts an object there as somebody other than Warren would.
    pub(crate) fn put(&mut self, api_version: &str, plural: &str, mut object: Value) {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let place = Place::new(api_version, plural, &text("namespace"), &text("name"));
        object["apiVersion"] = api_version.into();
        self.store(place, object);
    }

    /// Changes an object in place, if it is there.
    pub(crate) fn change(
        &mut self,
        plural: &str,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) {
        let place = self.all.keys().find(|place| place.is(plural, namespace, name)).cloned();
        if let Some(place) = place {
            let mut object = self.all[&place].clone();
            change(&mut object);
            self.store(place, object);
        }
    }

    /// Takes an object away, or marks it while a finalizer holds it.
    pub(crate) fn remove(&mut self, plural: &str, namespace: &str, name: &str) {
        let place = self.all.keys().find(|place| place.is(plural, namespace, name)).cloned();
        if let Some(place) = place {
            self.take(&place);
        }
    }

    /// Everything in a namespace.
    pub(crate) fn within(&self, namespace: &str) -> Vec<(String, String)> {
        self.all
            .keys()
            .filter(|place| place.namespace == namespace)
            .map(|place| (place.plural.clone(), place.name.clone()))
            .collect()
    }

    fn store(&mut self, place: Place, mut object: Value) -> Value {
        let old = self.all.get(&place);
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if let Some(old) = old {
            object["metadata"]["resourceVersion"] = version(old);
            if *old == object {
                return object;
            }
        }
        self.version += 1;
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = self.version.to_string().into();
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("uid-{}", self.version).into();
            metadata["creationTimestamp"] = "2027-01-15T08:00:00Z".into();
        }
        self.log.push((self.version, kind, place.clone(), object.clone()));
        self.all.insert(place, object.clone());
        object
    }

    fn take(&mut self, place: &Place) {
        let Some(mut object) = self.all.get(place).cloned() else { return };
        let is_held = object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        let waits_for_content =
            place.plural == "namespaces" && !self.within(&place.name).is_empty();
        if is_held || waits_for_content {
            object["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:01Z".into();
            self.store(place.clone(), object);
            return;
        }
        self.version += 1;
        self.applied.remove(place);
        self.all.remove(place);
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.log.push((self.version, "DELETED", place.clone(), object));
    }
}

impl Fake {
    pub(crate) fn new(controllers: impl Fn(&mut Objects) + Send + Sync + 'static) -> Self {
        let (changed, _) = watch::channel(0);
        let controllers = Arc::new(controllers);
        Self { state: Arc::default(), controllers, rights: None, changed }
    }

    /// The same with no more rights for Warren than its role gives.
    pub(crate) fn with_warrens_rights(self) -> Self {
        Self { rights: Some(Arc::new(Rights::of_warren())), ..self }
    }

    pub(crate) fn client(&self) -> kube::Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { fake.answer(request).await }
        });
        kube::Client::new(service, "default")
    }

    /// Looks at the objects, or changes them as somebody other than Warren would.
    pub(crate) fn objects<T>(&self, look: impl FnOnce(&mut Objects) -> T) -> T {
        let mut state = self.state();
        let result = look(&mut state.objects);
        self.settle(&mut state);
        result
    }

    /// The next `times` requests with this method whose path contains `part` meet with a fault.
    pub(crate) fn fail(&self, method: Method, part: &str, fault: Fault, times: usize) {
        self.state().faults.push((method, part.to_owned(), fault, times));
    }

    /// Ends all faults.
    pub(crate) fn heal(&self) {
        self.state().faults.clear();
        self.changed.send_modify(|count| *count += 1);
    }

    /// What Warren asked for without having the right to.
    pub(crate) fn denied(&self) -> Vec<String> {
        self.state().denied.clone()
    }

    pub(crate) fn made(&self) -> Vec<Made> {
        self.state().made.clone()
    }

    /// The requests that were meant to change something.
    pub(crate) fn writes(&self) -> Vec<Made> {
        self.made().into_iter().filter(|made| made.method != Method::GET).collect()
    }

    /// Tells of every request and every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the controllers work until nothing changes, then tells the watchers.
    fn settle(&self, state: &mut State) {
        loop {
            let before = state.objects.version;
            (self.controllers)(&mut state.objects);
            finish_namespaces(&mut state.objects);
            if state.objects.version == before {
                break;
            }
        }
        let State { objects, watchers, sent, .. } = state;
        for (_, kind, place, object) in &objects.log[*sent..] {
            let line = event(kind, object);
            watchers.retain(|(watched, labels, sender)| {
                !watched.covers(place)
                    || !matches(object, labels)
                    || sender.send(line.clone()).is_ok()
            });
        }
        *sent = objects.log.len();
        self.changed.send_modify(|count| *count += 1);
    }

    /// Notes a request and says what it meets with.
    fn meet(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut state = self.state();
        state.made.push(Made { method: method.clone(), path: path.to_owned() });
        let (_, _, fault, times) = state.faults.iter_mut().find(|(other, part, _, times)| {
            other == method && path.contains(part.as_str()) && *times > 0
        })?;
        *times -= 1;
        Some(*fault)
    }

    async fn answer(
        &self,
        request: Request<Body>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, std::io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let broken =
            || std::io::Error::new(std::io::ErrorKind::ConnectionReset, "broken on purpose");
        let path = parts.uri.path().to_owned();
        let fault = self.meet(&parts.method, &path);
        if fault == Some(Fault::Hang) {
            self.changed.send_modify(|count| *count += 1);
            return std::future::pending().await;
        }
        if fault == Some(Fault::HoldThenPutOff) {
            let mut changed = self.changed.subscribe();
            self.changed.send_modify(|count| *count += 1);
            while !self.state().faults.is_empty() {
                changed.changed().await.map_err(std::io::Error::other)?;
            }
            return Ok(put_off());
        }
        let mut state = self.state();
        if fault == Some(Fault::Break) {
            self.changed.send_modify(|count| *count += 1);
            return Err(broken());
        }
        if let Some(Fault::Refuse(code, reason)) = fault {
            self.changed.send_modify(|count| *count += 1);
            return Ok(refusal(code, reason, "refused on purpose"));
        }
        let query = path::query(parts.uri.query().unwrap_or_default());
        let place = Place::parse(&path).expect("a path of an API server");
        let is_watch = query.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
        let is_there = state.objects.all.contains_key(&place);
        let rights = self.rights.as_ref();
        if let Some(message) =
            rights.and_then(|rights| rights.refusal(&parts.method, &place, is_watch, is_there))
        {
            state.denied.push(message.clone());
            self.changed.send_modify(|count| *count += 1);
            return Ok(refusal(403, "Forbidden", &message));
        }
        if is_watch {
            let answer = watch(&mut state, place, &query);
            self.changed.send_modify(|count| *count += 1);
            return Ok(answer);
        }
        let answer = carry_out(&mut state.objects, &parts.method, place, &query, body);
        self.settle(&mut state);
        if fault == Some(Fault::LoseReply) {
            return Err(broken());
        }
        Ok(answer)
    }
}

/// What the namespace controller does.
fn finish_namespaces(objects: &mut Objects) {
    let going: Vec<(Place, String)> = objects
        .all
        .iter()
        .filter(|(place, object)| {
            place.plural == "namespaces" && !object["metadata"]["deletionTimestamp"].is_null()
        })
        .map(|(place, _)| (place.clone(), place.name.clone()))
        .collect();
    for (place, namespace) in going {
        let content: Vec<Place> =
            objects.all.keys().filter(|place| place.namespace == namespace).cloned().collect();
        for place in &content {
            let is_marked = !objects.all[place]["metadata"]["deletionTimestamp"].is_null();
            let is_held = objects.all[place]["metadata"]["finalizers"]
                .as_array()
                .is_some_and(|f| !f.is_empty());
            if !(is_marked && is_held) {
                objects.take(place);
            }
        }
        if objects.within(&namespace).is_empty() {
            objects.take(&place);
        }
    }
}

fn carry_out(
    objects: &mut Objects,
    method: &Method,
    place: Place,
    query: &HashMap<String, String>,
    body: Value,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let labels = path::labels(query);
    match (method, place.name.is_empty()) {
        (&Method::GET, true) => list(objects, &place, &labels, query),
        (&Method::GET, false) => match objects.all.get(&place) {
            Some(object) => answer(200, object),
            None => refusal(404, "NotFound", "not found"),
        },
        (&Method::POST, false) if place.plural == "pods/eviction" => evict(objects, &place),
        (&Method::POST, _) => {
            let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let place = Place { name, ..place };
            if objects.all.contains_key(&place) {
                return refusal(409, "AlreadyExists", "already exists");
            }
            match lacks_namespace(objects, &place) {
                Some(refusal) => refusal,
                None => answer(201, &objects.store(place, body)),
            }
        }
        (&Method::PATCH, _) => {
            if let Some(refusal) = lacks_namespace(objects, &place) {
                return refusal;
            }
            let mut object = objects.all.get(&place).cloned().unwrap_or_else(|| json!({}));
            let read = &body["metadata"]["resourceVersion"];
            if !read.is_null() && *read != object["metadata"]["resourceVersion"] {
                return refusal(409, "Conflict", "the object has been modified");
            }
            if query.contains_key("force") {
                let before = objects.applied.insert(place.clone(), body.clone());
                apply::forget(&mut object, &before.unwrap_or_default(), &body);
            }
            apply::merge(&mut object, &body);
            answer(200, &objects.store(place, object))
        }
        (&Method::PUT, _) => {
            let known =
                objects.all.get(&place).map(|object| object["metadata"]["resourceVersion"].clone());
            if known.is_some_and(|known| known != body["metadata"]["resourceVersion"]) {
                return refusal(409, "Conflict", "the object has been modified");
            }
            answer(200, &objects.store(place, body))
        }
        (&Method::DELETE, true) => {
            let all: Vec<Place> = objects
                .all
                .iter()
                .filter(|(other, object)| place.covers(other) && matches(object, &labels))
                .map(|(place, _)| place.clone())
                .collect();
            for place in all {
                objects.take(&place);
            }
            answer(200, &json!({ "kind": "Status", "status": "Success" }))
        }
        (&Method::DELETE, false) => {
            let Some(known) = objects.all.get(&place) else {
                return refusal(404, "NotFound", "not found");
            };
            let uid = &body["preconditions"]["uid"];
            if !uid.is_null() && *uid != known["metadata"]["uid"] {
                return refusal(409, "Conflict", "it is another object");
            }
            objects.take(&place);
            answer(200, &json!({ "kind": "Status", "status": "Success" }))
        }
        _ => refusal(405, "MethodNotAllowed", "not allowed"),
    }
}

fn list(
    objects: &Objects,
    place: &Place,
    labels: &HashMap<String, String>,
    query: &HashMap<String, String>,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let fields = query.get("fieldSelector").cloned().unwrap_or_default();
    let fits = |object: &Value| {
        fields.split(',').filter(|field| !field.is_empty()).all(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            object.pointer(&format!("/{}", name.replace('.', "/"))).and_then(Value::as_str)
                == Some(value)
        })
    };
    let items: Vec<&Value> = objects
        .all
        .iter()
        .filter(|(other, object)| place.covers(other) && matches(object, labels) && fits(object))
        .map(|(_, object)| object)
        .collect();
    let version = objects.version.to_string();
    answer(
        200,
        &json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": version }, "items": items }),
    )
}

fn watch(
    state: &mut State,
    place: Place,
    query: &HashMap<String, String>,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let from: u64 = query.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
    let labels = path::labels(query);
    let (sender, receiver) = mpsc::unbounded_channel();
    let missed = state.objects.log.iter().filter(|(version, _, other, object)| {
        *version > from && place.covers(other) && matches(object, &labels)
    });
    for (_, kind, _, object) in missed {
        sender.send(event(kind, object)).expect("the receiver is right here");
    }
    state.watchers.push((place, labels, sender));
    let lines = stream::unfold(receiver, |mut receiver| async move {
        let line = receiver.recv().await?;
        Some((Ok(Frame::data(line)), receiver))
    });
    Response::new(UnsyncBoxBody::new(StreamBody::new(lines.boxed())))
}

fn lacks_namespace(
    objects: &Objects,
    place: &Place,
) -> Option<Response<UnsyncBoxBody<Bytes, Infallible>>> {
    if place.namespace.is_empty() {
        return None;
    }
    match objects.get("namespaces", "", &place.namespace) {
        None => {
            Some(refusal(404, "NotFound", &format!("namespaces \"{}\" not found", place.namespace)))
        }
        Some(namespace) if !namespace["metadata"]["deletionTimestamp"].is_null() => {
            Some(refusal(403, "Forbidden", "the namespace is being terminated"))
        }
        Some(_) => None,
    }
}

fn matches(object: &Value, labels: &HashMap<String, String>) -> bool {
    labels.iter().all(|(name, value)| {
        let label = object["metadata"]["labels"].get(name).and_then(Value::as_str);
        if value == "*" { label.is_some() } else { label == Some(value) }
    })
}

fn event(kind: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "type": kind, "object": object })))
}

fn answer(code: u16, body: &Value) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let status = StatusCode::from_u16(code).expect("a status");
    let body = UnsyncBoxBody::new(Full::new(Bytes::from(body.to_string())));
    Response::builder().status(status).body(body).expect("a plain response")
}

fn put_off() -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    answer(
        429,
        &json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
            "reason": "TooManyRequests", "message": "later", "details": { "retryAfterSeconds": 60 },
        }),
    )
}

fn refusal(code: u16, reason: &str, message: &str) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    answer(
        code,
        &json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code, "reason": reason, "message": message,
        }),
    )
}
