//! What runs inside the lab's network: a client of a Kubernetes API server that waits or submits
//! without the start-up time of a program in between.

use crate::direct::BATCH;
use anyhow::{Context, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::blocking::{Client, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

#[derive(Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: String,
}

#[derive(Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
    client_key_data: String,
}

/// What one request may take while the machine is busy with many pods that start.
const REQUEST: Duration = Duration::from_mins(1);

/// Objects that are created one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) namespace: String,
    /// The label of its Jobs.
    pub(crate) batch: String,
    pub(crate) objects: Vec<Object>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    /// What it is posted to.
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// Times of the day in seconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Before the first request.
    pub(crate) begun: f64,
    /// When each Job was seen to be complete.
    pub(crate) complete: BTreeMap<String, f64>,
}

impl Told {
    /// When the last one was.
    pub(crate) fn end(&self) -> f64 {
        self.complete.values().copied().fold(self.begun, f64::max)
    }
}

/// A client for the API server of a kubeconfig.
pub(crate) struct Api {
    client: Client,
    server: String,
}

impl Api {
    /// `limit` holds for each request.
    fn open(kubeconfig: &Path, limit: Duration) -> Result<Self> {
        let text = std::fs::read_to_string(kubeconfig).context("read the kubeconfig")?;
        let config: Kubeconfig = serde_saphyr::from_str(&text).context("parse the kubeconfig")?;
        let cluster = &config.clusters.first().context("a cluster")?.cluster;
        let user = &config.users.first().context("a user")?.user;
        let mut identity = BASE64_STANDARD.decode(&user.client_key_data)?;
        identity.extend(BASE64_STANDARD.decode(&user.client_certificate_data)?);
        let authority = BASE64_STANDARD.decode(&cluster.certificate_authority_data)?;
        let client = Client::builder()
            .timeout(limit)
            .tls_certs_only([reqwest::Certificate::from_pem(&authority)?])
            .identity(reqwest::Identity::from_pem(&identity)?)
            .build()?;
        Ok(Self { client, server: cluster.server.clone() })
    }

    /// What happens to the Jobs of a batch; it ends when the time is up.
    fn watch_jobs(&self, namespace: &str, batch: &str, limit: Duration) -> Result<Response> {
        let path = format!(
            "/apis/batch/v1/namespaces/{namespace}/jobs?watch=true&labelSelector={BATCH}%3D{batch}&timeoutSeconds={}",
            limit.as_secs()
        );
        let request = self.client.get(format!("{}{path}", self.server)).timeout(limit);
        request.send()?.error_for_status().context("watch Jobs")
    }

    fn post(&self, path: &str, body: &str) -> Result<u16> {
        let request = self.client.post(format!("{}{path}", self.server));
        let answer =
            request.header("Content-Type", "application/json").body(body.to_owned()).send()?;
        let status = answer.status().as_u16();
        if status >= 400 {
            bail!("POST {path}: {status} {}", answer.text()?);
        }
        Ok(status)
    }
}

/// Writes a `ConfigMap` again and again until it is accepted; prints the time of day in seconds.
#[expect(clippy::disallowed_methods, reason = "a probe asks again every 20 ms until its deadline")]
pub(crate) fn wait_write(kubeconfig: &Path, seconds: u64) -> Result<f64> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let api = Api::open(kubeconfig, Duration::from_secs(5))?;
    let name = format!("bench-{}", std::process::id());
    let body =
        serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
            .to_string();
    loop {
        match api.post("/api/v1/namespaces/default/configmaps", &body) {
            Ok(_) => return Ok(now()),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context("no write was accepted in time"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Creates groups of objects at once, those of a group one right after the other, and waits until all Jobs of
/// all groups are complete.
pub(crate) fn complete(groups: &[Group], seconds: u64) -> Result<Vec<Told>> {
    let limit = Duration::from_secs(seconds);
    let mut ready = Vec::new();
    for group in groups {
        let api = Api::open(&group.kubeconfig, REQUEST)?;
        let watch = api.watch_jobs(&group.namespace, &group.batch, limit)?;
        // The connection is warm, as that of a server is.
        let _ = api.client.get(format!("{}/version", api.server)).send()?.text()?;
        ready.push((api, watch, group));
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = ready
            .into_iter()
            .map(|(api, watch, group)| scope.spawn(move || one_group(&api, watch, group)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

fn one_group(api: &Api, watch: Response, group: &Group) -> Result<Told> {
    let wanted = group.objects.iter().filter(|object| object.body["kind"] == "Job").count();
    let mut told = Told { begun: now(), complete: BTreeMap::new() };
    for object in &group.objects {
        api.post(&object.path, &object.body.to_string())?;
    }
    for line in BufReader::new(watch).lines() {
        let event: Value = serde_json::from_str(&line.context("watch Jobs")?)?;
        let job = &event["object"];
        let name = job["metadata"]["name"].as_str().unwrap_or_default();
        let mut conditions = job["status"]["conditions"].as_array().into_iter().flatten();
        match conditions.find(|one| one["status"] == "True" && one["type"] != "SuccessCriteriaMet")
        {
            Some(end) if end["type"] == "Complete" => {
                told.complete.entry(name.to_owned()).or_insert_with(now);
            }
            Some(end) => bail!("Job {name}: {end}"),
            None => {}
        }
        if told.complete.len() == wanted {
            return Ok(told);
        }
    }
    bail!("{} of {wanted} Jobs are complete when time is up", told.complete.len())
}

#[expect(clippy::disallowed_methods, reason = "agents print the time of day, and so do we")]
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
