//! `warren kubeconfig`: the way to a tenant's own API server, through Warren or straight to it.
//!
//! What goes through Warren holds no secret: `kubectl` asks `warren credential` for one each time.

mod merge;

use clap::{ArgGroup, Args};
use reqwest::Url;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf, absolute},
};

use super::{
    Context,
    options::{Common, Connection, reference},
    output::{Printer, yaml},
    problem::{Exit, Failure},
};

/// Source: Kubernetes, client-go credential plugins.
const CREDENTIALS: &str = "client.authentication.k8s.io/v1";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren kubeconfig acme --merge --switch && kubectl get namespaces
  warren kubeconfig acme -o acme.kubeconfig && kubectl --kubeconfig acme.kubeconfig get pods
  warren kubeconfig acme --print | kubectl --kubeconfig /dev/stdin get namespaces

A server with https:// is asked on the way, each time, with the token that you have then. With http:// kubectl shows no
token to anybody; you get a client certificate for 12 hours, and the API server's own address in the host cluster.")]
#[command(group(ArgGroup::new("target").required(true).args(["print", "file", "merge"])))]
pub(crate) struct Arguments {
    /// Name or id of the tenant
    #[arg(value_parser = reference)]
    tenant: String,
    #[command(flatten)]
    target: Target,
    /// Replace the file even if it holds something else
    #[arg(long, requires = "file")]
    overwrite: bool,
    /// A client certificate for 12 hours and the API server's own address, which is one of the host cluster
    #[arg(long)]
    direct: bool,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// Where it goes.
#[derive(Debug, Args)]
struct Target {
    /// Print it to stdout
    #[arg(long)]
    print: bool,
    /// Write it to a file that only you can read
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Put it into the file that kubectl reads (KUBECONFIG, or ~/.kube/config), beside what is there
    #[arg(long)]
    merge: bool,
    /// Make it the current context
    #[arg(long, requires = "merge")]
    switch: bool,
}

pub(super) async fn run(cx: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let is_direct = arguments.direct || cx.client.server().scheme() != "https";
    let path = ["api", "v1", "tenants", &arguments.tenant, "kubeconfig"];
    let bytes = if is_direct {
        cx.client.bytes(&path, "text/yaml, application/yaml, */*;q=0.5").await?
    } else {
        let tenant = cx.client.get(&path[..4]).await?;
        let through = through(cx.client.server(), &tenant, &arguments.connection);
        let through =
            through.map_err(|error| Failure::local("No kubeconfig can be made", &error))?;
        yaml(&through)?.into_bytes()
    };
    match &arguments.target {
        Target { merge: true, switch, .. } => merge(cx, &bytes, *switch).await,
        Target { file: Some(file), .. } => write(cx, file, &bytes, arguments.overwrite),
        Target { file: None, .. } => cx.printer.bytes(&bytes),
    }
}

fn write(cx: &Context, file: &Path, bytes: &[u8], is_overwritten: bool) -> Result<(), Failure> {
    if !is_overwritten {
        check_replaceable(file, bytes)?;
    }
    write_private(file, bytes).map_err(|error| {
        Failure::local(format!("The file {} cannot be written", file.display()), &error)
    })?;
    let file = file.display();
    cx.messages
        .note(&format!("Written to {file}. Try: kubectl --kubeconfig {file} get namespaces"));
    Ok(())
}

async fn merge(cx: &Context, bytes: &[u8], is_switched: bool) -> Result<(), Failure> {
    let new: Value = serde_saphyr::from_slice(bytes)
        .map_err(|error| Failure::unexpected(format!("the kubeconfig is no YAML: {error}")))?;
    let file = merge::usual_file()?;
    let is_current = merge::merge(&file, &new, is_switched).await?;
    let (file, name) = (file.display(), new["current-context"].as_str().unwrap_or_default());
    let (which, is_now) = if is_current {
        (String::new(), ", the current one,")
    } else {
        (format!(" --context {name}"), "")
    };
    cx.messages
        .note(&format!("Context {name}{is_now} is in {file}. Try: kubectl{which} get namespaces"));
    Ok(())
}

/// A kubeconfig with which requests go through the server.
fn through(server: &Url, tenant: &Value, connection: &Connection) -> io::Result<Value> {
    let text = |name: &str| tenant[name].as_str().unwrap_or_default();
    let path = |path: &Path| Ok::<_, io::Error>(absolute(path)?.to_string_lossy().into_owned());
    let base = server.as_str().trim_end_matches('/');
    let mut cluster = json!({ "server": format!("{base}/k8s/{}", text("id")) });
    let mut arguments = vec!["credential".to_owned(), "--server".to_owned(), base.to_owned()];
    if let Some(file) = &connection.ca_file {
        cluster["certificate-authority"] = path(file)?.into();
    }
    if let Some(file) = connection.token_path() {
        arguments.extend(["--token-file".to_owned(), path(&file)?]);
    }
    let name = format!("warren-{}", text("name"));
    let command = std::env::current_exe()?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": name, "user": { "exec": {
            "apiVersion": CREDENTIALS,
            "command": command.to_string_lossy(),
            "args": arguments,
            "installHint": "kubectl asks the program warren for a credential; is it still there?",
            "interactiveMode": "Never",
            "provideClusterInfo": false,
        } } }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "current-context": name,
    }))
}

/// Prints a credential.
#[derive(Debug, Args)]
#[command(after_help = "\
kubectl calls it; kubeconfigs of `warren kubeconfig` say how. The credential is the token that you have.")]
pub(crate) struct Credential {
    #[command(flatten)]
    pub(super) common: Common,
}

/// What client-go reads.
pub(super) fn credential(Credential { common }: &Credential) -> Result<(), Failure> {
    let token = common.connection.token()?.ok_or_else(|| {
        Failure::new(Exit::Denied, "There is no token")
            .hint("set WARREN_TOKEN_FILE, or fetch the kubeconfig again with --token-file")
    })?;
    let credential = json!({
        "apiVersion": CREDENTIALS,
        "kind": "ExecCredential",
        "status": { "token": token.expose_secret() },
    });
    Printer::new(common.output).text(&format!("{credential}\n"))
}

/// A kubeconfig with other contexts is somebody's collection, and not ours to replace.
fn check_replaceable(file: &Path, new: &[u8]) -> Result<(), Failure> {
    let old = match fs::read(file) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure::local(format!("{} cannot be read", file.display()), &error));
        }
    };
    let contexts = |bytes: &[u8]| -> Option<Vec<Value>> {
        let document: Value = serde_saphyr::from_slice(bytes).ok()?;
        let contexts = document["contexts"].as_array()?;
        Some(contexts.iter().map(|context| context["name"].clone()).collect())
    };
    if old.is_empty() || (contexts(&old).is_some() && contexts(&old) == contexts(new)) {
        return Ok(());
    }
    Err(Failure::usage("The file holds something else")
        .detail(format!("{} is not an earlier kubeconfig of this tenant", file.display()))
        .hint("choose another file, or replace it with --overwrite"))
}

/// Mode 0600 from its first byte; readers see the old file or the whole new one.
fn write_private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_goes_through_the_server_names_files_and_no_secret() {
        let connection = Connection {
            server: "https://warren.example/base/".parse().expect("an address"),
            token_file: Some("token".into()),
            ca_file: Some("/etc/warren/ca.crt".into()),
        };
        let tenant = json!({ "id": "tn_1", "name": "acme" });
        let made = through(&connection.server, &tenant, &connection).expect("there is a folder");
        let cluster = &made["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], "https://warren.example/base/k8s/tn_1");
        assert_eq!(cluster["certificate-authority"], "/etc/warren/ca.crt");
        let exec = &made["users"][0]["user"]["exec"];
        let token = absolute("token").expect("there is a folder");
        assert_eq!(
            exec["args"],
            json!(["credential", "--server", "https://warren.example/base", "--token-file", token])
        );
        assert_eq!(made["current-context"], "warren-acme");
    }

    #[test]
    fn a_kubeconfig_is_private_and_replaces_only_its_own_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config");
        let ours = b"contexts:\n- name: warren-acme\n";
        check_replaceable(&file, ours).expect("nothing is there");
        write_private(&file, ours).expect("it can be written");
        let mode = fs::metadata(&file).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        check_replaceable(&file, ours).expect("an earlier one of the same tenant");
        fs::write(&file, "contexts:\n- name: warren-acme\n- name: home\n").expect("written");
        check_replaceable(&file, ours).expect_err("somebody's collection");
        fs::write(&file, "notes").expect("written");
        check_replaceable(&file, ours).expect_err("something else");
    }
}
