//! Prints what Warren would make, as a Kubernetes List for `kubectl apply --server-side -f -`. Nothing is sent.
//!
//! ```text
//! render host-policies                 once per host cluster
//! render tenant wexample23456 DIR      a tenant's host namespace; DIR holds ca, front-proxy-ca and etcd-ca (.crt and .key),
//!                                      sa.key and sa.pub
//! render baseline                      what goes into the tenant's own API server
//! render run IMAGE COMMAND [ARGS…]     one run in the project `agents`, with a token that is worth nothing
//! render diff COMMAND…                 reads a List of what is there from stdin and prints what would have to change
//! ```
//!
//! Settings are those of the lab; any of them is changed by `name=value` before the command: `syncer`, `kubernetes`,
//! `coredns`, `runner`, `delivery=init-container`, `user-namespaces=unavailable`, `service-cidr`, `storage-class`,
//! `api-server`, `client`, `denied`, `run-endpoint`, `run-gate`.

use domain::{ClusterName, Plan, PlanName, Session, SessionSpec, SessionState, sample};
use planning::{
    Change, ClusterSpec, HostSettings, Images, Key, Kind, KubernetesDelivery, Observed, Rendered,
    RunAccess, UserNamespaces, diff, object, render_baseline, render_cluster, render_host_policies,
    render_run_job,
};
use serde_json::Value;
use std::{collections::BTreeMap, error::Error, io::Write as _};

fn main() -> Result<(), Box<dyn Error>> {
    let mut host = lab()?;
    let mut words = std::env::args().skip(1).peekable();
    while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
        set(&mut host, name, value)?;
        words.next();
    }
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut out = std::io::stdout();
    if let ["diff", command @ ..] = words.as_slice() {
        for change in changes(&render(command, &host)?)? {
            writeln!(out, "{:?} {}: {}", change.action, change.key, change.why.join("; "))?;
        }
    } else {
        let list = object::list(&render(&words, &host)?);
        writeln!(out, "{}", serde_json::to_string_pretty(&list)?)?;
    }
    Ok(())
}

fn render(words: &[&str], host: &HostSettings) -> Result<Vec<Rendered>, Box<dyn Error>> {
    Ok(match words {
        ["host-policies"] => render_host_policies(host),
        ["tenant", name, folder] => {
            render_cluster(&spec(name), host, &authority(folder)?).in_order()
        }
        ["baseline"] => render_baseline(host),
        ["run", image, command @ ..] => run(image, command, host),
        _ => {
            return Err(
                "expected host-policies, tenant NAME DIR, baseline or run IMAGE COMMAND…".into()
            );
        }
    })
}

fn changes(objects: &[Rendered]) -> Result<Vec<Change>, Box<dyn Error>> {
    let list: Value = serde_json::from_reader(std::io::stdin())?;
    let mut observed: BTreeMap<Key, Observed> =
        objects.iter().map(|object| (object.key.clone(), Observed::Absent)).collect();
    for item in list["items"].as_array().ok_or("not a List")? {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        let key = Kind::find(text("apiVersion"), text("kind")).and_then(|kind| Key::of(kind, item));
        observed.extend(key.map(|key| (key, Observed::Known(item.clone()))));
    }
    Ok(diff(objects, &observed))
}

fn lab() -> Result<HostSettings, Box<dyn Error>> {
    let images = Images {
        syncer: "lab.local/loft-sh/vcluster-oss:0.36.1".to_owned(),
        kubernetes: "lab.local/loft-sh/kubernetes:v1.36.2".to_owned(),
        coredns: "lab.local/coredns/coredns:1.14.2".to_owned(),
        runner: "lab.local/warren/runner:0.1.0".to_owned(),
    };
    Ok(HostSettings {
        images,
        kubernetes_delivery: KubernetesDelivery::ImageVolume,
        user_namespaces: UserNamespaces::Forced,
        service_cidr: "10.79.0.0/16".parse()?,
        storage_class: None,
        denied_cidrs: vec!["10.77.0.0/24".parse()?],
        control_plane_clients: vec!["10.77.0.20/32".parse()?],
        api_servers: vec!["10.77.0.11:6443".parse()?],
        nodes: Vec::new(),
        name_servers: Vec::new(),
        own_nodes: None,
        run_endpoint: "10.77.0.20:7443".parse()?,
        run_gate: "10.77.0.20:7444".parse()?,
    })
}

fn set(host: &mut HostSettings, name: &str, value: &str) -> Result<(), Box<dyn Error>> {
    match name {
        "syncer" => value.clone_into(&mut host.images.syncer),
        "kubernetes" => value.clone_into(&mut host.images.kubernetes),
        "coredns" => value.clone_into(&mut host.images.coredns),
        "runner" => value.clone_into(&mut host.images.runner),
        "delivery" if value == "init-container" => {
            host.kubernetes_delivery = KubernetesDelivery::InitContainer;
        }
        "user-namespaces" if value == "unavailable" => {
            host.user_namespaces = UserNamespaces::Unavailable;
        }
        "service-cidr" => host.service_cidr = value.parse()?,
        "storage-class" => host.storage_class = Some(value.to_owned()),
        "api-server" => host.api_servers = vec![value.parse()?],
        "client" => host.control_plane_clients.push(value.parse()?),
        "denied" => host.denied_cidrs.push(value.parse()?),
        "run-endpoint" => host.run_endpoint = value.parse()?,
        "run-gate" => host.run_gate = value.parse()?,
        _ => return Err(format!("no setting {name}={value}").into()),
    }
    Ok(())
}

fn authority(folder: &str) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let files = ["ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "etcd-ca.crt"];
    let read = |name: &str| Ok((name.to_owned(), std::fs::read(format!("{folder}/{name}"))?));
    files.into_iter().chain(["etcd-ca.key", "sa.key", "sa.pub"]).map(read).collect()
}

fn spec(name: &str) -> ClusterSpec {
    ClusterSpec {
        cluster: ClusterName::stored(name.to_owned()),
        plan: Plan::current(PlanName::Starter),
        was_ready: false,
    }
}

fn run(image: &str, command: &[&str], host: &HostSettings) -> Vec<Rendered> {
    let spec = SessionSpec {
        image: image.to_owned(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        timeout_seconds: 300,
        grace_period_seconds: 5,
        ..sample::spec()
    };
    let session = Session { spec, ..sample::session(SessionState::Starting) };
    let run = sample::run();
    let access = RunAccess { token: "wrr_worth-nothing", authority: "" };
    let objects = render_run_job(&session, &run, host, access);
    vec![objects.secret, objects.job]
}
