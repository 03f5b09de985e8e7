//! Every call as it stands on the wire, for a release of each line.

use crate::{
    answers::plausible,
    server::{Recorded, Server},
    tour::{Places, every_call},
};
use anyhow::{Context as _, Result, ensure};
use proxmox_client::{Extras, RolePart, StorageId, Version, role};
use serde_json::json;
use std::{collections::BTreeMap, fs, path::PathBuf};

/// The releases that are spoken to.
pub(crate) const RELEASES: [&str; 3] = ["7.4-17", "8.4.5", "9.2.11"];

/// Makes every call to a server of this release and gives what it was asked.
pub(crate) async fn tour(release: &'static str) -> Result<Vec<Recorded>> {
    let server = Server::start(move |request| plausible(release, request)).await?;
    every_call(&server.client()?, &Places::usual()?)
        .await
        .with_context(|| format!("release {release}"))?;
    Ok(server.requests())
}

/// Writes the requests where the check against a schema looks for them.
pub(crate) fn keep(release: &str, requests: &[Recorded]) -> Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("proxmox-requests");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{release}.jsonl"));
    let line = |request: &Recorded| {
        let parameters =
            if request.path.ends_with("/upload") { upload(request) } else { request.form() };
        let line = json!({
            "method": request.method,
            "path": percent_encoding::percent_decode_str(&request.path).decode_utf8_lossy(),
            "parameters": parameters,
            "answered": request.answered,
        });
        format!("{line}\n")
    };
    fs::write(&file, requests.iter().map(line).collect::<String>())?;
    Ok(file)
}

/// Writes what roles a token that makes every call is given, by the path that each is given on.
pub(crate) fn keep_roles(release: &str) -> Result<PathBuf> {
    let extras = Extras {
        reads_guest_addresses: true,
        commands_guests: true,
        uploads_images_to: Some(StorageId::new("local")?),
        sets_hardware: true,
        takes_snapshots: true,
        makes_pools: true,
        reads_capacity: true,
        reads_cluster: true,
        mappings: vec!["gpu-a".to_owned()],
    };
    let version: Version = release.parse()?;
    let mut roles: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for part in RolePart::ALL {
        let path = match part {
            RolePart::Template | RolePart::Pool => "vms",
            RolePart::Storage | RolePart::ImageStorage => "storage",
            RolePart::Network => "sdn",
            RolePart::Node => "nodes",
            RolePart::Cluster => "",
            RolePart::Mapping => "mapping",
        };
        roles.entry(path).or_default().extend(role(part, &extras, version));
    }
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("proxmox-requests/{release}-roles.json"));
    fs::write(&file, json!(roles).to_string())?;
    Ok(file)
}

/// The fields of a multipart form; of the file only its name.
fn upload(request: &Recorded) -> Vec<(String, String)> {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let part = |part: &str| {
        let (_, rest) = part.split_once("; name=\"")?;
        let (name, rest) = rest.split_once('"')?;
        let value = match rest.split_once("filename=\"") {
            Some((_, rest)) => rest.split_once('"')?.0,
            None => rest.split_once("\r\n\r\n")?.1.trim_end_matches("\r\n"),
        };
        Some((name.to_owned(), value.to_owned()))
    };
    body.split("\r\n--").filter_map(part).collect()
}

#[tokio::test]
async fn every_call_is_one_that_the_real_server_lets_in() -> Result<()> {
    for release in RELEASES {
        let requests = tour(release).await?;
        for request in &requests {
            let Recorded { method, path, query, headers, body, .. } = request;
            ensure!(!headers.contains_key("transfer-encoding"), "chunks: {path}");
            ensure!(!headers.contains_key("cookie"), "a ticket would go before the token");
            let is_in_query = matches!(method.as_str(), "GET" | "DELETE");
            ensure!(!is_in_query || body.is_empty(), "a body where none may be: {method} {path}");
            ensure!(is_in_query || query.is_empty(), "parameters on both sides: {method} {path}");
            ensure!(is_in_query || headers.contains_key("content-length"), "no length: {path}");
            ensure!(!path.contains("//") && path.is_ascii(), "{path}");
            if !path.ends_with("/upload") {
                let sent = String::from_utf8_lossy(body);
                ensure!(!sent.contains([';', '+', ' ']), "the server would cut this: {sent}");
                ensure!(sent.split('&').all(|pair| pair.matches('=').count() <= 1), "{sent}");
            }
            for (key, value) in request.form() {
                ensure!(!["true", "false"].contains(&value.as_str()), "{path} {key}={value}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_older_release_is_not_sent_what_it_does_not_know() -> Result<()> {
    let requests = tour("7.4-17").await?;
    let all = |word: &str| {
        requests.iter().filter(|request| request.form().iter().any(|(key, _)| key == word)).count()
    };
    for word in ["ciupgrade", "overrule-shutdown", "hostpci0"] {
        ensure!(all(word) == 0, "{word}");
    }
    let has = |requests: &[Recorded], method: &str, path: &str| {
        requests.iter().any(|request| request.method == method && request.path == path)
    };
    ensure!(has(&requests, "PUT", "/pools/warren") && has(&requests, "DELETE", "/pools/warren"));
    let requests = tour("9.2.11").await?;
    ensure!(has(&requests, "PUT", "/pools") && has(&requests, "DELETE", "/pools"));
    ensure!(
        requests.iter().any(|request| request.form().iter().any(|(key, _)| key == "ciupgrade"))
    );
    Ok(())
}

#[tokio::test]
async fn an_upload_has_its_length_and_its_file_last() -> Result<()> {
    let requests = tour("9.2.11").await?;
    let request = requests.iter().find(|request| request.path.ends_with("/upload"));
    let request = request.context("an upload")?;
    ensure!(request.headers.get("content-length") == Some(&request.body.len().to_string()));
    let fields: Vec<String> = upload(request).into_iter().map(|(key, _)| key).collect();
    ensure!(fields == ["content", "checksum-algorithm", "checksum", "filename"], "{fields:?}");
    ensure!(String::from_utf8_lossy(&request.body).contains("\r\n\r\nnot quite an image\r\n--"));
    Ok(())
}
