//! Sessions to look at: `cargo test -p portal --test it -- --ignored session_show`.

use crate::{
    harness::TestPortal,
    session::{advance, log, record, session},
};
use application::{
    Artifact,
    blobs::BlobPath,
    session::{NewResources, NewRetryRule, NewSession},
};
use axum::{
    extract::Request,
    http::{HeaderValue, header},
    middleware::{self, Next},
};
use domain::{Bytes, Cause, Digest, Exit, RunId, SessionId, SessionState, Tenant};
use jiff::{Timestamp, ToSpan as _};
use sha2::{Digest as _, Sha256};
use std::{net::SocketAddr, time::Duration};

/// Light, dark.
const PORTS: [(u16, &str); 2] = [(8411, "light"), (8412, "dark")];

#[tokio::test]
#[ignore = "serves until it is stopped, on ports 8411 (light) and 8412 (dark) of this machine"]
async fn session_show() {
    let portal = TestPortal::at(Timestamp::now() - 50.minutes()).await;
    portal.tenant("empty", "starter", None).await;
    let acme = portal.tenant("acme", "pro", None).await;
    portal.make_ready(acme.id).await;
    succeeded(&portal, &acme).await;
    retried(&portal, &acme).await;
    out_of_memory(&portal, &acme).await;
    let viewer = portal.member(&acme, "viewer").await;
    let running = session(&portal, &acme, lint("plan", &["--watch", "src/**/*.rs"])).await;
    portal.clock.set(Timestamp::now() - 95.seconds());
    let made = begin(&portal, running, 4).await;
    session(&portal, &acme, lint("fit", &["--epochs", "40"])).await;
    println!("viewer: {viewer}\nrunning: {running}");
    for (port, theme) in PORTS {
        let cookie = format!("theme={theme}; __Host-warren={}", portal.operator);
        let cookie = HeaderValue::from_str(&cookie).expect("text");
        let enter = move |mut request: Request, next: Next| {
            request.headers_mut().insert(header::COOKIE, cookie.clone());
            request.headers_mut().insert("x-request-id", HeaderValue::from_static("req_0199c2"));
            next.run(request)
        };
        let router = portal.router.clone().layer(middleware::from_fn(enter));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free");
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    for number in 1.. {
        portal.clock.set(Timestamp::now());
        let line = format!("\u{1b}[2m{number:>5}\u{1b}[0m \u{1b}[36mwatch\u{1b}[0m nothing to do");
        log(&portal, made, number, &[&line]).await;
        tokio::time::sleep(Duration::from_millis(if number < 40 { 1 } else { 500 })).await;
    }
}

fn lint(label: &str, args: &[&str]) -> NewSession {
    NewSession {
        image: "registry.example/agents/lint:2.4".to_owned(),
        command: vec!["/agent".to_owned()],
        args: args.iter().map(|&word| word.to_owned()).collect(),
        labels: [("job", label), ("team", "blue")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into(),
        env: [("MODE", "fast"), ("RUST_LOG", "info")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into(),
        secrets: [("API_KEY".to_owned(), "hunter22".to_owned())].into(),
        retry: [("agent".to_owned(), NewRetryRule { attempts: 3, ..NewRetryRule::default() })]
            .into(),
        resources: NewResources { cpu: Some("500m".to_owned()), memory: None },
        ..NewSession::default()
    }
}

/// Begins a run after so many seconds of waiting.
async fn begin(portal: &TestPortal, id: SessionId, waits: i64) -> RunId {
    portal.clock.set(now(portal) + waits.seconds());
    let revision = record(portal, id).await.revision;
    let run = portal.app.store.run_create(id, revision).await.expect("queued").run.id;
    portal.clock.set(now(portal) + 3.seconds());
    portal.app.store.run_started(run).await.expect("noted");
    advance(portal, id, SessionState::Running, None).await;
    run
}

fn now(portal: &TestPortal) -> Timestamp {
    portal.app.clock.now()
}

async fn succeeded(portal: &TestPortal, tenant: &Tenant) {
    let id =
        session(portal, tenant, lint("lint", &["--once", "--report", "out/report.html"])).await;
    let run = begin(portal, id, 6).await;
    let mut lines: Vec<String> =
        (1..=640).map(|n| format!("checked src/part_{n:03}.rs in {} ms", n * 7 % 40)).collect();
    let odd = [
        (620, "\u{1b}[1;33mwarning\u{1b}[0m: unused import \u{1b}[34msrc/part_621.rs:3\u{1b}[0m"),
        (
            631,
            "!\u{1b}[31merror\u{1b}[0m: \u{1b}[1mmismatched types\u{1b}[0m <T> at src/part_632.rs",
        ),
        (
            636,
            "\u{1b}[42m PASS \u{1b}[0m 638 \u{1b}[41m FAIL \u{1b}[0m 2 \u{1b}[7m inverse \u{1b}[0m",
        ),
        (637, "\u{1b}[35mmagenta\u{1b}[0m \u{1b}[36mcyan\u{1b}[0m \u{1b}[90mgrey\u{1b}[0m"),
    ];
    for (index, line) in odd {
        line.clone_into(&mut lines[index]);
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    log(portal, run, 1, &lines).await;
    portal.clock.set(now(portal) + 131.seconds());
    let blob = BlobPath::result(run);
    let result = r#"{"checked":640,"warnings":1,"errors":1,"slowest":["src/part_117.rs","src/part_040.rs"]}"#;
    portal.app.blobs.put(&blob, result.into()).await.expect("written");
    for (path, size) in
        [("out/report.html", 48_213), ("out/findings.json", 1_904), ("cache/index.bin", 18_874_368)]
    {
        let digest = Digest::of_sha256(Sha256::digest(path).into());
        let (path, blob) = (path.to_owned(), "none".to_owned());
        let artifact = Artifact { path, size, digest, blob };
        portal.app.store.artifact_put(run, artifact).await.expect("noted");
    }
    let cause = Cause::plain("Completed", "the agent ended with code 0");
    advance(portal, id, SessionState::Succeeded, Some(cause)).await;
}

async fn out_of_memory(portal: &TestPortal, tenant: &Tenant) {
    let id = session(portal, tenant, lint("fit", &["--epochs", "40"])).await;
    let run = begin(portal, id, 21).await;
    log(portal, run, 1, &["loading 14 shards", "epoch 1", "epoch 2", "!allocating 412 MiB"]).await;
    portal.clock.set(now(portal) + 76.seconds());
    let cause = Cause::out_of_memory(Bytes::mebi(256), None);
    advance(portal, id, SessionState::Failed, Some(cause)).await;
}

/// Fails once with a code, and then again.
async fn retried(portal: &TestPortal, tenant: &Tenant) {
    let id = session(portal, tenant, lint("plan", &["--strict"])).await;
    for (seconds, code) in [(31, 3), (18, 3), (64, 0)] {
        let run = begin(portal, id, 9).await;
        log(portal, run, 1, &["planning", "!no route to goal", "\u{1b}[33mgiving up\u{1b}[0m"])
            .await;
        portal.clock.set(now(portal) + seconds.seconds());
        let cause = Cause::of_exit(Exit { code: Some(code), signal: None });
        let is_well = code == 0;
        let cause =
            if is_well { Cause::plain("Completed", "the agent ended with code 0") } else { cause };
        let state = if is_well { SessionState::Succeeded } else { SessionState::Failed };
        advance(portal, id, state, Some(cause)).await;
        portal.app.store.run_settled(run).await.expect("noted");
    }
}
