//! A tenant's API server and the part of the host that matters to its runs: the objects, and what requests
//! do to them. What happens by itself is in `control`.

use super::{ground::Arrived, process::Process};
use domain::RunId;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use planning::job::{RUN_LABEL, SESSION_LABEL};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What an API server says.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Complete,
    Failed(&'static str),
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) run: RunId,
    labels: Value,
    uid: String,
    pub(super) created: Timestamp,
    pub(super) deadline: SignedDuration,
    pub(super) grace: SignedDuration,
    /// Since when it is on its way out, its pods first.
    pub(super) going: Option<Timestamp>,
    pub(super) status: Status,
    pub(super) finished: Option<Timestamp>,
    pub(super) has_pod: bool,
    pub(super) is_past_deadline: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Ended { code: i32, is_evicted: bool },
}

/// A pod in the tenant and the one of the host that was made from it.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) run: RunId,
    pub(super) created: Timestamp,
    pub(super) node: Option<usize>,
    pub(super) phase: Phase,
    pub(super) grace: SignedDuration,
    pub(super) is_inside: bool,
    pub(super) is_on_host: bool,
    /// Since when the tenant wants it gone.
    pub(super) going_inside: Option<Timestamp>,
    /// When its processes are killed on the host.
    pub(super) killed_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    /// Since when nothing is heard of it.
    pub(super) lost: Option<Timestamp>,
    /// Whether it takes no new pods.
    pub(super) is_closed: bool,
}

/// What was written in the tenant's API server about a Job; nothing when it went.
pub(super) type Event = (RunId, Option<Value>);

pub(super) struct Cluster {
    pub(super) now: Timestamp,
    pub(super) is_up: bool,
    pub(super) jobs: BTreeMap<RunId, Job>,
    pub(super) pods: BTreeMap<RunId, Pod>,
    /// The token in a run's Secret, and whether the Job owns it.
    pub(super) secrets: BTreeMap<RunId, (String, bool)>,
    pub(super) nodes: [Node; 2],
    /// What runs, and what has run.
    pub(super) processes: BTreeMap<RunId, Process>,
    pub(super) events: Vec<Event>,
    /// Runs whose Jobs were deleted, or whose nodes were lost, at any time.
    pub(super) deleted: BTreeSet<RunId>,
    pub(super) cut: BTreeSet<RunId>,
    /// How often Warren wrote.
    pub(super) writes: usize,
    uids: u64,
    pub(super) violations: Vec<String>,
}

impl Cluster {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            is_up: true,
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
            secrets: BTreeMap::new(),
            nodes: Default::default(),
            processes: BTreeMap::new(),
            events: Vec::new(),
            deleted: BTreeSet::new(),
            cut: BTreeSet::new(),
            writes: 0,
            uids: 0,
            violations: Vec::new(),
        }
    }

    pub(super) fn carry_out(&mut self, request: &Arrived) -> Answer {
        if request.method != Method::GET {
            self.writes += 1;
        }
        let mut parts = request.path.split('/').skip(1).peekable();
        parts.nth(if request.path.starts_with("/apis") { 2 } else { 1 });
        if parts.next_if_eq(&"namespaces").is_some() {
            parts.next();
        }
        let (plural, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if request.is_host {
            self.on_host(request, plural, name)
        } else {
            self.inside(request, plural, name)
        }
    }

    fn on_host(&mut self, request: &Arrived, plural: &str, name: &str) -> Answer {
        match (plural, &request.method) {
            ("nodes", &Method::GET) => {
                let node = (0..2).find(|node| request.query.ends_with(&node_name(*node)));
                list(node.map(|node| self.node_object(node)).as_slice())
            }
            ("pods", &Method::GET) => {
                let pods = self.pods.values().filter(|pod| pod.is_on_host);
                list(&pods.map(|pod| self.pod_object(pod, true)).collect::<Vec<_>>())
            }
            ("pods", &Method::DELETE) => {
                let now = self.now;
                let Some(pod) = self.pod_named(name).filter(|pod| pod.is_on_host) else {
                    return not_found();
                };
                let grace = request.body["gracePeriodSeconds"].as_i64();
                let grace = grace.map_or(pod.grace, SignedDuration::from_secs);
                pod.kill_by(now + grace);
                done()
            }
            _ => refused(405, "MethodNotAllowed", "nobody asks for this"),
        }
    }

    fn inside(&mut self, request: &Arrived, plural: &str, name: &str) -> Answer {
        let run = run_named(name).or_else(|| run_named(request.body["metadata"]["name"].as_str()?));
        match (plural, &request.method, run) {
            ("jobs", &Method::GET, Some(run)) => match self.jobs.get(&run) {
                Some(job) => Answer { status: 200, body: job.object() },
                None => not_found(),
            },
            ("jobs", &Method::POST, Some(run)) => self.make_job(run, &request.body),
            ("jobs", &Method::DELETE, Some(run)) => {
                let is_foreground = request.body["propagationPolicy"] == "Foreground";
                self.delete_job(run, is_foreground)
            }
            ("secrets", &Method::POST, Some(run)) => {
                if self.secrets.contains_key(&run) {
                    return refused(409, "AlreadyExists", "it is there");
                }
                let token = request.body["data"]["token"].as_str().unwrap_or_default().to_owned();
                self.secrets.insert(run, (token, false));
                Answer { status: 201, body: request.body.clone() }
            }
            ("secrets", &Method::PATCH, Some(run)) => {
                let Some((_, is_owned)) = self.secrets.get_mut(&run) else { return not_found() };
                *is_owned = true;
                // What is owned by nobody that is there is collected.
                if !self.jobs.contains_key(&run) {
                    self.secrets.remove(&run);
                }
                done()
            }
            ("secrets", &Method::DELETE, Some(run)) => {
                if self.secrets.remove(&run).is_some() {
                    done()
                } else {
                    not_found()
                }
            }
            ("pods", &Method::GET, _) => {
                let is_asked =
                    |pod: &&Pod| pod.is_inside && request.query.contains(&pod.run.digits());
                let pods = self.pods.values().filter(is_asked);
                list(&pods.map(|pod| self.pod_object(pod, false)).collect::<Vec<_>>())
            }
            ("pods", &Method::DELETE, _) => {
                for pod in self.pods.values_mut() {
                    if request.query.contains(&pod.run.digits()) {
                        pod.is_inside = false;
                    }
                }
                done()
            }
            ("events", &Method::GET, _) => list(&[]),
            _ => refused(405, "MethodNotAllowed", "nobody asks for this"),
        }
    }

    fn make_job(&mut self, run: RunId, body: &Value) -> Answer {
        if self.jobs.contains_key(&run) {
            return refused(409, "AlreadyExists", "it is there");
        }
        // One that never began, and never will, is as good as none.
        if self.processes.get(&run).is_some_and(Process::was_started) {
            self.violations.push(format!("run {run} was started a second time"));
        }
        self.uids += 1;
        let seconds = |pointer: &str| {
            SignedDuration::from_secs(body.pointer(pointer).and_then(Value::as_i64).unwrap_or(0))
        };
        let job = Job {
            run,
            labels: body["metadata"]["labels"].clone(),
            uid: format!("uid-{}", self.uids),
            created: self.now,
            deadline: seconds("/spec/activeDeadlineSeconds"),
            grace: seconds("/spec/template/spec/terminationGracePeriodSeconds"),
            going: None,
            status: Status::Active,
            finished: None,
            has_pod: false,
            is_past_deadline: false,
        };
        let body = job.object();
        self.jobs.insert(run, job);
        self.tell(run);
        Answer { status: 201, body }
    }

    /// What `kubectl delete job` does, too.
    pub(super) fn delete_job(&mut self, run: RunId, is_foreground: bool) -> Answer {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&run) else { return not_found() };
        let has_pod = self.pods.get(&run).is_some_and(|pod| pod.is_inside);
        if is_foreground && has_pod {
            job.going.get_or_insert(now);
            self.tell(run);
        } else {
            self.remove_job(run);
        }
        done()
    }

    /// The garbage collector takes what it owns with it.
    pub(super) fn remove_job(&mut self, run: RunId) {
        self.jobs.remove(&run);
        self.deleted.insert(run);
        self.events.push((run, None));
        self.secrets.retain(|owner, (_, is_owned)| *owner != run || !*is_owned);
        let now = self.now;
        if let Some(pod) = self.pods.get_mut(&run).filter(|pod| pod.is_inside) {
            pod.going_inside.get_or_insert(now);
        }
    }

    /// Notes what the watch on Jobs has to tell.
    pub(super) fn tell(&mut self, run: RunId) {
        if let Some(job) = self.jobs.get(&run) {
            self.events.push((run, Some(job.object())));
        }
    }

    pub(super) fn finish_job(&mut self, run: RunId, status: Status) {
        let now = self.now;
        if let Some(job) = self.jobs.get_mut(&run) {
            (job.status, job.finished) = (status, Some(now));
            self.tell(run);
        }
    }

    pub(super) fn is_lost(&self, pod: &Pod) -> bool {
        pod.node.is_some_and(|node| self.nodes[node].lost.is_some())
    }

    /// A machine goes, or comes back.
    pub(super) fn turn_node(&mut self, node: usize) {
        let lost = &mut self.nodes[node].lost;
        *lost = if lost.is_some() { None } else { Some(self.now) };
        let pods = self.pods.values().filter(|pod| pod.node == Some(node) && lost.is_some());
        self.cut.extend(pods.map(|pod| pod.run));
    }

    /// A pod is evicted on the host, which gives it its grace period.
    pub(super) fn tell_to_end(&mut self, run: RunId) {
        let now = self.now;
        if let Some(pod) = self.pods.get_mut(&run) {
            pod.kill_by(now + pod.grace);
        }
    }

    fn pod_named(&mut self, name: &str) -> Option<&mut Pod> {
        self.pods.values_mut().find(|pod| pod_name(pod.run) == name)
    }

    fn node_object(&self, node: usize) -> Value {
        let is_known = self.nodes[node].lost.is_none_or(|since| self.now < since + NOTICED);
        let status = if is_known { "True" } else { "Unknown" };
        let ready = json!({ "type": "Ready", "status": status, "message": "as the kubelet says" });
        json!({ "metadata": { "name": node_name(node) }, "status": { "conditions": [ready] } })
    }

    fn pod_object(&self, pod: &Pod, is_host: bool) -> Value {
        let session = self.processes.get(&pod.run).map(|process| process.session.clone());
        let mut object = json!({
            "metadata": {
                "name": pod_name(pod.run), "namespace": "x",
                "creationTimestamp": pod.created.to_string(),
                "labels": { RUN_LABEL: pod.run.digits(), SESSION_LABEL: session },
            },
            "spec": {}, "status": { "phase": "Pending" },
        });
        let going = if is_host { pod.killed_at } else { pod.going_inside };
        if let Some(going) = going {
            object["metadata"]["deletionTimestamp"] = going.to_string().into();
        }
        if let Some(node) = pod.node {
            object["spec"]["nodeName"] = node_name(node).into();
        }
        match pod.phase {
            Phase::Pending => {}
            Phase::Running => object["status"]["phase"] = "Running".into(),
            Phase::Ended { is_evicted: true, .. } => {
                object["status"] = json!({ "phase": "Failed", "reason": "Evicted" });
            }
            Phase::Ended { code, .. } => {
                let phase = if code == 0 { "Succeeded" } else { "Failed" };
                let terminated = json!({ "terminated": { "exitCode": code } });
                let agent = json!({ "name": "agent", "state": terminated });
                object["status"] = json!({ "phase": phase, "containerStatuses": [agent] });
            }
        }
        object
    }
}

/// After what silence the host's node controller says that it does not know.
const NOTICED: SignedDuration = SignedDuration::from_secs(40);

impl Job {
    pub(super) fn object(&self) -> Value {
        let mut object = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": job_name(self.run), "uid": self.uid, "labels": self.labels },
        });
        if let Some(going) = self.going {
            object["metadata"]["deletionTimestamp"] = going.to_string().into();
        }
        let (kind, reason) = match self.status {
            Status::Active => return object,
            Status::Complete => ("Complete", "CompletionsReached"),
            Status::Failed(reason) => ("Failed", reason),
        };
        let condition = json!({ "type": kind, "status": "True", "reason": reason, "message": "" });
        object["status"] = json!({ "conditions": [condition] });
        object
    }

    /// The session's digits.
    pub(super) fn session(&self) -> String {
        self.labels[SESSION_LABEL].as_str().unwrap_or_default().to_owned()
    }
}

impl Pod {
    /// Its processes are ended by then.
    pub(super) fn kill_by(&mut self, time: Timestamp) {
        self.killed_at = Some(self.killed_at.map_or(time, |earlier| earlier.min(time)));
    }
}

fn node_name(node: usize) -> String {
    format!("node-{node}")
}

fn job_name(run: RunId) -> String {
    format!("run-{}", run.digits())
}

fn pod_name(run: RunId) -> String {
    format!("run-{}-pod", run.digits())
}

fn run_named(name: &str) -> Option<RunId> {
    let digits = name.strip_prefix("run-")?;
    Uuid::try_parse(digits).ok().map(RunId::new)
}

fn list(items: &[Value]) -> Answer {
    Answer { status: 200, body: json!({ "kind": "List", "items": items }) }
}

fn done() -> Answer {
    Answer { status: 200, body: json!({ "kind": "Status", "status": "Success" }) }
}

fn not_found() -> Answer {
    refused(404, "NotFound", "not found")
}

pub(super) fn refused(status: u16, reason: &str, message: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": status, "reason": reason, "message": message,
    });
    Answer { status, body }
}
