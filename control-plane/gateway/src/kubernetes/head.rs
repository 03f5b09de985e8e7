//! Heads of requests and answers: what of them passes, and what they say about what follows.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri,
    header::{
        AUTHORIZATION, CONNECTION, COOKIE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

/// Where all of this is.
const PREFIX: &str = "/k8s/";
/// What is between two neighbours only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// What is meant for Warren alone.
const OURS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, HOST];
/// The beginnings of headers in which a front proxy would name somebody.
const NAMES: [&str; 2] = ["x-remote-", "x-forwarded-"];
/// Subresources whose answers go on for as long as somebody listens (`kube-apiserver`, long-running requests).
const LONG_RUNNING: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];

/// The tenant in an address, and the address at its API server.
pub(super) fn target(uri: &Uri) -> Option<(&str, Uri)> {
    let rest = uri.path().strip_prefix(PREFIX)?;
    let (tenant, path) = rest.split_once('/').unwrap_or((rest, ""));
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some((tenant, format!("/{path}{query}").parse().ok()?))
}

/// What a request wants its connection to become.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut options = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let is_asked = options
        .any(|value| value.split(',').any(|option| option.trim().eq_ignore_ascii_case("upgrade")));
    headers.get(UPGRADE).filter(|_| is_asked).cloned()
}

/// Whether an answer may go on for as long as somebody listens.
pub(super) fn is_long_running(target: &Uri) -> bool {
    let query = target.query().unwrap_or_default();
    let is_watch = query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        name == "watch" && !["false", "0"].contains(&value)
    });
    is_watch || target.path().split('/').any(|part| LONG_RUNNING.contains(&part) || part == "watch")
}

/// The headers of a request as they reach the API server.
pub(super) fn towards(headers: &HeaderMap, upgrade: Option<HeaderValue>) -> HeaderMap {
    let is_kept = |name: &HeaderName| {
        !OURS.contains(name) && !NAMES.iter().any(|begin| name.as_str().starts_with(begin))
    };
    let mut passing = end_to_end(headers);
    let dropped: Vec<_> = passing.keys().filter(|name| !is_kept(name)).cloned().collect();
    for name in dropped {
        passing.remove(name);
    }
    if let Some(upgrade) = upgrade {
        passing.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        passing.insert(UPGRADE, upgrade);
    }
    passing
}

/// The headers of an answer as they reach the caller.
pub(super) fn back<B>(answer: &Response<B>) -> HeaderMap {
    match answer.status() {
        StatusCode::SWITCHING_PROTOCOLS => answer.headers().clone(),
        _ => end_to_end(answer.headers()),
    }
}

/// Without what is between neighbours, and what they call so themselves.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut passing = headers.clone();
    for value in headers.get_all(CONNECTION) {
        for name in value.to_str().unwrap_or_default().split(',') {
            if let Ok(name) = name.trim().parse::<HeaderName>() {
                passing.remove(name);
            }
        }
    }
    for name in HOP_BY_HOP {
        passing.remove(name);
    }
    passing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn an_address_has_a_tenant_and_a_path_that_is_not_touched() {
        for (uri, tenant, path) in [
            ("/k8s/acme", "acme", "/"),
            ("/k8s/acme/", "acme", "/"),
            (
                "/k8s/acme/api/v1/pods?limit=500&continue=a%2Fb",
                "acme",
                "/api/v1/pods?limit=500&continue=a%2Fb",
            ),
            ("/k8s/acme/api/v1/a%2Fb//c/../d", "acme", "/api/v1/a%2Fb//c/../d"),
        ] {
            let uri: Uri = uri.parse().expect("an address");
            let (found, target) = target(&uri).expect("it has a tenant");
            assert_eq!((found, target.to_string().as_str()), (tenant, path), "{uri}");
        }
    }

    #[test]
    fn nobody_can_bring_a_name_or_a_credential_along() {
        let passing = towards(
            &headers(&[
                ("authorization", "Bearer secret"),
                ("cookie", "session=secret"),
                ("x-remote-user", "admin"),
                ("x-remote-extra-scopes", "all"),
                ("x-forwarded-for", "192.0.2.1"),
                ("host", "warren.example"),
                ("connection", "close, x-private"),
                ("x-private", "for the next one"),
                ("accept", "application/json"),
                ("impersonate-user", "jane"),
            ]),
            None,
        );
        // Whether somebody may act as somebody else is for the tenant's API server to decide.
        let left = headers(&[("accept", "application/json"), ("impersonate-user", "jane")]);
        assert_eq!(passing, left);
    }

    #[test]
    fn an_upgrade_passes_if_it_is_asked_for() {
        let asked = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let passing = towards(&asked, upgrade(&asked));
        assert_eq!(passing, headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]));
        assert_eq!(upgrade(&headers(&[("upgrade", "websocket")])), None);
    }

    #[test]
    fn what_goes_on_is_told_from_what_has_an_end() {
        for (target, is_long) in [
            ("/api/v1/pods?watch=true&resourceVersion=1", true),
            ("/api/v1/pods?watch=1", true),
            ("/api/v1/pods?watch=false", false),
            ("/api/v1/namespaces/a/pods/b/log?follow=true", true),
            ("/api/v1/namespaces/a/pods/b/exec?command=sh", true),
            ("/api/v1/namespaces/a/services/b/proxy/slow", true),
            ("/api/v1/namespaces/log-x/pods?limit=1", false),
            ("/apis/apps/v1/deployments", false),
        ] {
            assert_eq!(is_long_running(&target.parse().expect("an address")), is_long, "{target}");
        }
    }
}
