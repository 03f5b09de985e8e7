//! `kubectl` through Warren: from a place where nobody reaches the host cluster's network, with a token of Warren's.

use anyhow::{Context, Result, bail, ensure};
use black_box::{Lab, Output, TestTenant, pods, run};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};
use tempfile::TempDir;

/// How long something may take that takes no time.
const PATIENCE: Duration = Duration::from_mins(1);

/// Somebody with a token and a kubeconfig of his own.
struct Person<'a> {
    lab: &'a Lab,
    token: Value,
    kubeconfig: PathBuf,
    folder: TempDir,
}

impl<'a> Person<'a> {
    fn new(role: &str, tenant: &'a TestTenant) -> Result<Self> {
        let (lab, folder) = (&tenant.lab, tempfile::tempdir()?);
        let body = json!({ "name": "kubectl", "role": role });
        let (status, token) = lab.post(&tenant.path("/tokens"), &body)?;
        ensure!(status == 201, "{status} {token}");
        let secret = token["token"].as_str().context("a new token is shown")?;
        std::fs::write(folder.path().join("token"), secret)?;
        let person = Self { lab, token, kubeconfig: folder.path().join("kubeconfig"), folder };
        person.warren_kubeconfig(&tenant.name)?.success()?;
        let text = std::fs::read_to_string(&person.kubeconfig)?;
        ensure!(!text.contains("wrn_") && !text.contains("PRIVATE KEY"), "no secret: {text}");
        Ok(person)
    }

    /// Writes a kubeconfig for a tenant.
    fn warren_kubeconfig(&self, tenant: &str) -> Result<Output> {
        let server = self.lab.api_url.replace("http://", "https://");
        let mut command = self.lab.warren_command(&["kubeconfig", tenant, "--server", &server]);
        command.arg("--token-file").arg(self.folder.path().join("token"));
        command.arg("--ca-file").arg(&self.lab.ca_file).arg("-o").arg(&self.kubeconfig);
        run(&mut command, "")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.lab.kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command.env("KUBECACHEDIR", self.folder.path().join("cache"));
        command
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> Result<Output> {
        run(self.command().args(arguments), input)
    }
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A program that goes on until it is not needed any more.
struct Background {
    child: Child,
    said: Receiver<String>,
}

impl Background {
    fn new(command: &mut Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("it is piped")?;
        let (tell, said) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let _ = lines.map(|line| tell.send(line)).find(Result::is_err);
        });
        Ok(Self { child, said })
    }

    /// The next line that has this in it.
    fn line_with(&self, text: &str) -> Result<String> {
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.with_context(|| format!("it says {text}"))?;
            if line.contains(text) {
                return Ok(line);
            }
        }
    }

    /// Waits until it says no more.
    fn ends(&self) -> Result<()> {
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => bail!("it goes on"),
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a pod and waits for it, by a watch.
fn greeter(person: &Person<'_>, name: &str) -> Result<()> {
    let pod = pods::greeter(name, person.lab.image("busybox"), |pod| {
        let serve = pod["spec"]["containers"][0]["command"][2].as_str().unwrap_or_default();
        pod["spec"]["containers"][0]["command"][2] = format!("echo begun; {serve}").into();
        pod["spec"]["containers"][0]["volumeMounts"] =
            json!([{ "name": "tmp", "mountPath": "/tmp" }]);
        pod["spec"]["volumes"] = json!([{ "name": "tmp", "emptyDir": {} }]);
    });
    person.kubectl(&["create", "-f", "-"], &pod.to_string())?.success()?;
    let pod = format!("pod/{name}");
    person.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", &pod], "")?.success()?;
    Ok(())
}

#[test]
fn everything_that_kubectl_does_passes_through_warren() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let jane = Person::new("developer", &tenant)?;
    let listed = jane.kubectl(&["get", "configmaps", "-o", "name"], "")?.success()?;
    ensure!(listed.contains("configmap/kube-root-ca.crt"), "{listed}");

    let watch = ["get", "configmaps", "--watch", "-o", "name"];
    let watch = Background::new(jane.command().args(watch))?;
    watch.line_with("kube-root-ca.crt")?;
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "through-warren" }, "data": { "large": "x".repeat(900_000) } });
    let applied = jane.kubectl(&["apply", "--server-side", "-f", "-"], &map.to_string())?;
    ensure!(applied.success()?.contains("serverside-applied"), "it is applied by the server");
    watch.line_with("through-warren")?;
    jane.kubectl(&["delete", "configmap", "through-warren"], "")?.success()?;

    greeter(&jane, "passing")?;
    Background::new(jane.command().args(["logs", "--follow", "passing"]))?.line_with("begun")?;

    let echo =
        ["exec", "--stdin", "passing", "--", "/bin/sh", "-c", "cat; echo failed >&2; exit 7"];
    let echoed = jane.kubectl(&echo, "in and out")?;
    ensure!(echoed.stdout == "in and out" && echoed.code == 7, "{echoed:?}");
    ensure!(echoed.stderr.contains("failed"), "{echoed:?}");

    let (here, back) = (jane.folder.path().join("here"), jane.folder.path().join("back"));
    let byte = |at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0];
    let bytes: Vec<u8> = (0..4 << 20).map(byte).collect();
    std::fs::write(&here, &bytes)?;
    jane.kubectl(&["cp", &path(&here), "passing:/tmp/there"], "")?.success()?;
    jane.kubectl(&["cp", "passing:/tmp/there", &path(&back)], "")?.success()?;
    ensure!(std::fs::read(&back)? == bytes, "a file comes back as it went");

    let forward = ["port-forward", "pod/passing", ":8080"];
    let forward = Background::new(jane.command().args(forward))?;
    let line = forward.line_with("127.0.0.1:")?;
    let port = line.split_once("127.0.0.1:").and_then(|(_, rest)| rest.split_once(' '));
    let port: u16 = port.with_context(|| line.clone())?.0.parse()?;
    let mut hello = String::new();
    TcpStream::connect(("127.0.0.1", port))?.read_to_string(&mut hello)?;
    ensure!(hello == "hello\n", "a port is forwarded: {hello:?}");
    jane.kubectl(&["delete", "pod", "passing", "--now"], "")?.success()?;
    Ok(())
}

#[test]
fn who_somebody_is_at_warren_decides_who_they_are_inside() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "made-through-warren" }, "rules": [] })
    .to_string();
    let apply = ["apply", "--server-side", "-f", "-"];

    let developer = Person::new("developer", &tenant)?;
    let refused = developer.kubectl(&apply, &role)?;
    let name = developer.token["id"].as_str().context("a token has an id")?;
    ensure!(refused.code != 0 && refused.stderr.contains("forbidden"), "{refused:?}");
    ensure!(refused.stderr.contains(name), "the cluster knows who it was: {refused:?}");

    let admin = Person::new("admin", &tenant)?;
    admin.kubectl(&apply, &role)?.success()?;
    admin.kubectl(&["delete", "clusterrole", "made-through-warren"], "")?.success()?;

    let viewer = Person::new("viewer", &tenant)?;
    let refused = viewer.kubectl(&["get", "--raw", "/version"], "")?;
    ensure!(refused.stderr.contains("the role viewer may not use"), "{refused:?}");
    Ok(())
}

#[test]
fn another_tenants_people_and_those_whose_token_is_gone_see_nothing() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let (tenant, other) = TestTenant::shared_pair(&lab)?;
    let stranger = Person::new("owner", &other)?;
    let refused = stranger.warren_kubeconfig(&tenant.name)?;
    ensure!(refused.code != 0 && refused.stderr.contains("not-found"), "{refused:?}");
    let own = std::fs::read_to_string(&stranger.kubeconfig)?;
    std::fs::write(&stranger.kubeconfig, own.replace(&other.id, &tenant.id))?;
    let refused = stranger.kubectl(&["get", "--raw", "/version"], "")?;
    ensure!(refused.stderr.contains("Warren has no such tenant"), "{refused:?}");

    let jane = Person::new("developer", &tenant)?;
    let watch = ["get", "configmaps", "--watch", "-o", "name"];
    let watch = Background::new(jane.command().args(watch))?;
    watch.line_with("kube-root-ca.crt")?;
    let id = jane.token["id"].as_str().context("a token has an id")?;
    let path = tenant.path(&format!("/tokens/{id}"));
    let revoked = lab.request(reqwest::Method::DELETE, &path)?.send()?;
    ensure!(revoked.status().is_success(), "{}", revoked.status());
    watch.ends()?;
    let refused = jane.kubectl(&["get", "--raw", "/version"], "")?;
    ensure!(refused.stderr.contains("Warren does not know this token"), "{refused:?}");
    Ok(())
}
