//! What runs inside the lab's network: a client of a Kubernetes API server that waits or submits
//! without the start-up time of a program in between.

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::blocking::Client;
use serde::Deserialize;
use serde_json::Value;
use std::{
    path::Path,
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

/// A client for the API server of a kubeconfig.
pub(crate) struct Api {
    client: Client,
    server: String,
}

impl Api {
    pub(crate) fn open(kubeconfig: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(kubeconfig).context("read the kubeconfig")?;
        let config: Kubeconfig = serde_saphyr::from_str(&text).context("parse the kubeconfig")?;
        let cluster = &config.clusters.first().context("a cluster")?.cluster;
        let user = &config.users.first().context("a user")?.user;
        let mut identity = BASE64_STANDARD.decode(&user.client_key_data)?;
        identity.extend(BASE64_STANDARD.decode(&user.client_certificate_data)?);
        let authority = BASE64_STANDARD.decode(&cluster.certificate_authority_data)?;
        let client = Client::builder()
            .timeout(Duration::from_secs(5))
            .tls_certs_only([reqwest::Certificate::from_pem(&authority)?])
            .identity(reqwest::Identity::from_pem(&identity)?)
            .build()?;
        Ok(Self { client, server: cluster.server.clone() })
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Result<u16> {
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
    let api = Api::open(kubeconfig)?;
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

/// Creates the objects of a file (a JSON array of arrays of `{path, body}`), one request right after the
/// other, and tells when each group was begun.
pub(crate) fn submit(kubeconfig: &Path, file: &Path) -> Result<Vec<f64>> {
    let api = Api::open(kubeconfig)?;
    let groups: Vec<Vec<Value>> = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    ensure!(!groups.is_empty(), "something to submit");
    // The connection is warm, as that of a server is.
    let _ = api.client.get(format!("{}/version", api.server)).send()?.text()?;
    let mut starts = Vec::new();
    for group in &groups {
        starts.push(now());
        for object in group {
            api.post(object["path"].as_str().context("a path")?, &object["body"].to_string())?;
        }
    }
    Ok(starts)
}

#[expect(clippy::disallowed_methods, reason = "agents print the time of day, and so do we")]
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
