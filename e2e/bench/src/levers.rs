//! What each thing gives that makes a new tenant's start quick: the same objects applied by hand, with one of
//! those things missing.

use crate::{
    by_hand::Template,
    figure::{Figure, Goal},
    machine::rest,
    tenant_cold::write_at,
};
use anyhow::Result;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use black_box::Lab;
use serde_json::{Value, json};

/// What it is, and how an object is without it.
type Lever = (&'static str, fn(&mut Value));

const LEVERS: [Lever; 4] = [
    ("planted store", without_planting),
    ("controller-manager arguments", without_arguments),
    ("annotated Service", without_annotation),
    ("published Service, quick probes", as_upstream_is_probed),
];

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let whole = Template::made(lab, "bench-levers")?;
    let copied = {
        let _configured = lab.configure(&[("kubernetes_delivery", "\"init-container\"")])?;
        Template::made(lab, "bench-copied")?
    };
    let mut others: Vec<(&str, Template, Vec<f64>)> = LEVERS
        .iter()
        .map(|(name, change)| Ok((*name, whole.changed(*change), Vec::new())))
        .collect::<Result<_>>()?;
    // This form has no planted store either.
    others.push(("image volume and planted store", copied, Vec::new()));
    let mut with_all = Vec::new();
    let mut number = 0;
    let mut first_write = |template: &Template| {
        number += 1;
        rest()?;
        let (_made, start, kubeconfig) = template.apply(lab, number, folder.path())?;
        anyhow::Ok(write_at(lab, &kubeconfig)? - start)
    };
    for _ in 0..runs {
        with_all.push(first_write(&whole)?);
        for (_, template, without) in &mut others {
            without.push(first_write(template)?);
        }
    }
    let figure = |(name, _, without): (&str, Template, Vec<f64>)| Figure {
        name: format!("with / without {name}"),
        unit: "s",
        ours: with_all.clone(),
        theirs: without,
        goal: Goal::None,
    };
    Ok(others.into_iter().map(figure).collect())
}

/// The containers of a workload; none of anything else.
fn containers(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    let containers = object.pointer_mut("/spec/template/spec/containers");
    containers.and_then(Value::as_array_mut).into_iter().flatten()
}

fn without_planting(object: &mut Value) {
    for container in containers(object) {
        if let Some(env) = container["env"].as_array_mut() {
            env.retain(|variable| variable["name"] != "WARREN_NEW_STORE");
        }
    }
}

fn without_arguments(object: &mut Value) {
    let Some(text) = object["data"]["config.yaml"].as_str() else { return };
    let bytes = BASE64_STANDARD.decode(text).unwrap_or_default();
    let config = serde_saphyr::from_str::<Value>(&String::from_utf8_lossy(&bytes));
    if let Ok(mut config) = config {
        config["controlPlane"]["distro"]["k8s"]["controllerManager"]["extraArgs"] = json!([]);
        object["data"]["config.yaml"] = BASE64_STANDARD.encode(config.to_string()).into();
    }
}

fn without_annotation(object: &mut Value) {
    if let Some(annotations) =
        object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.remove("vcluster.loft.sh/service-cidr");
    }
}

/// vCluster 0.36.1, chart/values.yaml and chart/templates/statefulset.yaml.
fn as_upstream_is_probed(object: &mut Value) {
    if object["kind"] == "Service"
        && let Some(spec) = object["spec"].as_object_mut()
    {
        spec.remove("publishNotReadyAddresses");
    }
    for container in containers(object) {
        for (probe, seconds) in [("startupProbe", 6), ("readinessProbe", 2)] {
            container[probe]["periodSeconds"] = json!(seconds);
        }
    }
}
