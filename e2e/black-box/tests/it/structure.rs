//! The arrows of `docs/ARCHITECTURE.md`: who may depend on whom, and what the pure crates never name.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

/// Each crate of ours and the crates of ours that its product code may depend on. Tests may use others: the harness of
/// `execution`'s sagas has the simulated Proxmox VE in its own process.
const ARROWS: [(&str, &[&str]); 17] = [
    ("domain", &[]),
    ("migrations", &[]),
    ("store", &["domain", "migrations"]),
    ("application", &["domain", "store"]),
    ("api", &["domain", "application"]),
    ("portal", &["domain", "application"]),
    ("gateway", &["domain", "application", "clusters"]),
    ("planning", &["domain"]),
    ("clusters", &["domain"]),
    ("execution", &["planning", "domain", "store", "clusters", "proxmox-client"]),
    ("proxmox-client", &[]),
    ("runner", &[]),
    (
        "warren",
        &[
            "api",
            "application",
            "clusters",
            "domain",
            "execution",
            "gateway",
            "planning",
            "portal",
            "proxmox-client",
            "store",
        ],
    ),
    ("lab", &[]),
    ("black-box", &[]),
    ("bench", &["black-box"]),
    ("proxmox-simulator", &[]),
];

/// Crates that the pure crates must not name.
const IMPURE: [&str; 7] = ["tokio", "axum", "sea-orm", "sqlx", "kube", "reqwest", "object_store"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn packages() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .context("ask cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let dependencies = |package: &Value| {
        let all = package["dependencies"].as_array().cloned().unwrap_or_default();
        all.iter()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|d| text(&d["name"]))
            .collect()
    };
    Ok(packages.iter().map(|package| (text(&package["name"]), dependencies(package))).collect())
}

#[test]
fn arrows_between_crates_point_one_way() -> Result<()> {
    let packages = packages()?;
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    for (name, dependencies) in &packages {
        let allowed = arrows
            .get(name.as_str())
            .with_context(|| format!("{name} has no row in this table"))?;
        for ours in dependencies.iter().filter(|dependency| packages.contains_key(*dependency)) {
            ensure!(allowed.contains(&ours.as_str()), "{name} must not depend on {ours}");
        }
    }
    Ok(())
}

#[test]
fn pure_crates_name_no_runtime_and_front_doors_no_cluster() -> Result<()> {
    let packages = packages()?;
    let names = |name: &str| packages.get(name).with_context(|| format!("the crate {name}"));
    for pure in ["domain", "planning"] {
        for impure in IMPURE {
            ensure!(!names(pure)?.contains(impure), "{pure} is pure and must not name {impure}");
        }
    }
    for (door, cluster) in
        ["api", "portal"].into_iter().flat_map(|door| [(door, "kube"), (door, "k8s-openapi")])
    {
        ensure!(!names(door)?.contains(cluster), "{door} must not reach Kubernetes by {cluster}");
    }
    for page in ["axum", "askama"] {
        ensure!(!names("execution")?.contains(page), "execution must not answer HTTP by {page}");
    }
    Ok(())
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn entities_of_the_database_stay_in_the_store() -> Result<()> {
    for folder in [
        "control-plane/application",
        "control-plane/api",
        "control-plane/gateway",
        "control-plane/portal",
        "provisioner",
    ] {
        let mut files = Vec::new();
        sources(&root().join(folder), &mut files)?;
        ensure!(!files.is_empty(), "{folder} has sources");
        for file in files {
            let text = std::fs::read_to_string(&file)?;
            ensure!(!text.contains("sea_orm"), "{} names sea_orm", file.display());
        }
    }
    Ok(())
}
