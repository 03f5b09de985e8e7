//! What the host cluster is and how it is set up, by asking its API.

use super::Check;
use crate::Context;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingAdmissionPolicy, core::v1::Service,
    discovery::v1::EndpointSlice, storage::v1::StorageClass,
};
use kube::{
    Api, Client,
    api::{ListParams, ResourceExt},
    client::Body,
};

/// How far the clocks may be apart: certificates are backdated by more than this.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(30);
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

pub(super) async fn clock(cx: &Context) -> Result<Check, kube::Error> {
    const NAME: &str = "clock";
    let before = cx.clock.now();
    let request =
        http::Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
    let answer = cx.host.client().send(request).await?;
    let date = answer.headers().get(http::header::DATE).and_then(|value| value.to_str().ok());
    let Some(theirs) =
        date.and_then(|text| rfc2822::parse(text).ok()).map(|zoned| zoned.timestamp())
    else {
        return Ok(Check::bad(
            NAME,
            "the host's API server tells no time",
            "look for a proxy that removes the header Date",
        ));
    };
    Ok(judge_clock(before, theirs))
}

fn judge_clock(ours: Timestamp, theirs: Timestamp) -> Check {
    let apart = ours.duration_since(theirs).abs();
    if apart > CLOCK_TOLERANCE {
        let detail = format!("{} s apart from the host's API server", apart.as_secs());
        return Check::bad(
            "clock",
            detail,
            "synchronise the clocks, e.g. with chrony; certificates depend on it",
        );
    }
    Check::ok("clock", format!("within {} s of the host's API server", CLOCK_TOLERANCE.as_secs()))
}

pub(super) async fn storage(cx: &Context) -> Result<Check, kube::Error> {
    const NAME: &str = "storage";
    let classes: Api<StorageClass> = Api::all(cx.host.client());
    let classes = classes.list(&ListParams::default()).await?.items;
    let names = || classes.iter().map(ResourceExt::name_any).collect::<Vec<_>>().join(", ");
    Ok(match &cx.settings.now().storage_class {
        Some(wanted) if classes.iter().any(|class| class.name_any() == *wanted) => {
            Check::ok(NAME, format!("class {wanted}"))
        }
        Some(wanted) => Check::bad(
            NAME,
            format!("no storage class {wanted}; there are: {}", names()),
            "name one of them in host_cluster.storage_class",
        ),
        None => {
            let is_default = |class: &&StorageClass| {
                class.annotations().get(DEFAULT_CLASS).is_some_and(|v| v == "true")
            };
            match classes.iter().find(is_default) {
                Some(class) => Check::ok(NAME, format!("default class {}", class.name_any())),
                None => Check::bad(
                    NAME,
                    format!("no default storage class; there are: {}", names()),
                    "name one in host_cluster.storage_class, or mark one as default",
                ),
            }
        }
    })
}

pub(super) async fn dns(cx: &Context) -> Result<Check, kube::Error> {
    const NAME: &str = "dns";
    let client = || -> Client { cx.host.client() };
    let services: Api<Service> = Api::namespaced(client(), "kube-system");
    if services.get_opt("kube-dns").await?.is_none() {
        return Ok(Check::bad(
            NAME,
            "no Service kube-dns in kube-system",
            "install CoreDNS on the host cluster",
        ));
    }
    let slices: Api<EndpointSlice> = Api::namespaced(client(), "kube-system");
    let slices =
        slices.list(&ListParams::default().labels("kubernetes.io/service-name=kube-dns")).await?;
    let endpoints = slices.items.iter().flat_map(|slice| &slice.endpoints);
    let ready = endpoints
        .filter(|endpoint| endpoint.conditions.as_ref().is_some_and(|c| c.ready != Some(false)))
        .count();
    Ok(if ready == 0 {
        Check::bad(
            NAME,
            "kube-dns has no ready endpoint",
            "look at the CoreDNS pods in kube-system",
        )
    } else {
        Check::ok(NAME, format!("kube-dns has {ready} ready endpoint(s)"))
    })
}

pub(super) async fn policies(cx: &Context) -> Result<Check, kube::Error> {
    const NAME: &str = "admission-policies";
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(cx.host.client());
    let policies =
        policies.list(&ListParams::default().labels("app.kubernetes.io/managed-by=warren")).await?;
    let mut warnings = Vec::new();
    for policy in &policies.items {
        let checking = policy.status.as_ref().and_then(|status| status.type_checking.as_ref());
        for warning in
            checking.iter().flat_map(|checking| checking.expression_warnings.iter().flatten())
        {
            warnings.push(format!(
                "{} {}: {}",
                policy.name_any(),
                warning.field_ref,
                warning.warning
            ));
        }
    }
    Ok(if policies.items.is_empty() {
        Check::bad(
            NAME,
            "none of Warren's policies is there",
            "look at the server's log: it applies them when it starts",
        )
    } else if warnings.is_empty() {
        Check::ok(NAME, format!("{} validating policies, no warnings", policies.items.len()))
    } else {
        Check::bad(
            NAME,
            warnings.join("; "),
            "this host's Kubernetes does not know a field; report it with the host's version",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_a_little_in_both_directions() {
        let at = |second| Timestamp::from_second(second).expect("a small number of seconds");
        assert!(judge_clock(at(100), at(110)).is_ok);
        assert!(!judge_clock(at(100), at(200)).is_ok);
        assert!(!judge_clock(at(200), at(100)).is_ok);
    }
}
