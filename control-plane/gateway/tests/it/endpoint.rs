use crate::world::{NewRun, World, inline, sha256};
use application::{blobs::BlobPath, log::LinePart};
use domain::{FailureClass, Input, InputSource, SessionState};
use futures::future::join_all;
use reqwest::{Certificate, Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::net::IpAddr;

/// A runner of the test: a client with a token.
pub(crate) struct Runner {
    client: Client,
    base: String,
    token: String,
}

impl Runner {
    pub(crate) fn new(world: &World, token: &str) -> Self {
        Self::at(world, token, [127, 0, 0, 1])
    }

    /// One whose connections come from this address.
    pub(crate) fn at(world: &World, token: &str, address: [u8; 4]) -> Self {
        let authority = Certificate::from_pem(world.authority.as_bytes());
        let client = Client::builder()
            .tls_certs_only([authority.expect("a certificate")])
            .no_proxy()
            .local_address(IpAddr::from(address))
            .build()
            .expect("a client");
        Self { client, base: format!("https://{}/run/v1", world.address), token: token.to_owned() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path).body(body)).await
    }

    async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> StatusCode {
        answer(self.request(Method::PUT, path).body(body)).await.0
    }

    async fn put_artifact(&self, path: &str, body: &'static [u8], digest: &str) -> StatusCode {
        let request = self.request(Method::PUT, &format!("/artifacts/{path}"));
        answer(request.header("X-Content-Sha256", digest).body(body)).await.0
    }

    async fn exited(&self, code: Option<i32>, signal: Option<i32>) -> StatusCode {
        let body = json!({
            "code": code, "signal": signal, "wasTerminated": false, "lastLine": 0,
            "cpuMs": 5, "peakMemoryBytes": 6, "wallMs": 7,
        });
        self.post("/exited", body.to_string()).await.0
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("the endpoint answers");
    let status = response.status();
    let body = response.bytes().await.expect("the answer is whole");
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

pub(crate) fn lines(numbers: impl IntoIterator<Item = u64>) -> String {
    let line = |n| {
        json!({"n": n, "t": "2025-01-01T00:00:00.000Z", "s": "out", "l": format!("line {n}")})
            .to_string()
            + "\n"
    };
    numbers.into_iter().map(line).collect()
}

pub(crate) async fn world_with_run() -> (World, NewRun, Runner) {
    let world = World::start().await;
    let run = world.run(Vec::new()).await;
    let runner = Runner::new(&world, &run.token);
    (world, run, runner)
}

const PATHS: [(Method, &str); 11] = [
    (Method::GET, "/manifest"),
    (Method::GET, "/inputs/a"),
    (Method::POST, "/started"),
    (Method::POST, "/heartbeat"),
    (Method::POST, "/logs"),
    (Method::PUT, "/result"),
    (Method::PUT, "/artifacts/a/b"),
    (Method::HEAD, "/artifacts/a/b"),
    (Method::PATCH, "/artifacts/a/b"),
    (Method::POST, "/exited"),
    (Method::GET, "/nothing"),
];

#[tokio::test]
async fn without_the_token_of_a_run_in_progress_every_path_is_shut() {
    let (world, run, runner) = world_with_run().await;
    let over = world.run(Vec::new()).await;
    let over_runner = Runner::new(&world, &over.token);
    assert_eq!(over_runner.exited(Some(0), None).await, StatusCode::NO_CONTENT);
    let wrong = format!("wrr_{}", "A".repeat(43));
    for token in ["", "wrr_", &wrong, &over.token, &run.token[..run.token.len() - 1]] {
        for (method, path) in PATHS {
            let request = runner.client.request(method.clone(), format!("{}{path}", runner.base));
            let (status, problem) = answer(request.bearer_auth(token)).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {token}");
            let code = if method == Method::HEAD { Value::Null } else { "unauthorized".into() };
            assert_eq!(problem["code"], code, "{path}");
        }
    }
    for (method, path) in PATHS {
        let request = runner.client.request(method, format!("{}{path}", runner.base));
        let response = request.send().await.expect("the endpoint answers");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["connection"], "close");
    }
    assert_eq!(world.texts(&run).await, [""; 0]);
}

#[tokio::test]
async fn a_request_that_names_another_run_than_its_token_is_refused() {
    let (world, run, runner) = world_with_run().await;
    let other = world.run(Vec::new()).await;
    for (named, status) in [(&run.id, StatusCode::OK), (&other.id, StatusCode::UNAUTHORIZED)] {
        let request =
            runner.request(Method::GET, "/manifest").header("Warren-Run", named.to_string());
        assert_eq!(answer(request).await.0, status, "{named}");
    }
}

#[tokio::test]
async fn a_run_gets_its_own_inputs_and_nobody_elses() {
    let world = World::start().await;
    let digest = world.blob(b"large").await;
    let blob = Input { name: "b.bin".to_owned(), source: InputSource::Blob(digest.clone()) };
    let mine = world.run(vec![inline("a.txt", "mine"), blob]).await;
    let theirs = world.run(vec![inline("a.txt", "theirs"), inline("secret", "theirs")]).await;
    let runner = Runner::new(&world, &mine.token);
    let (_, manifest) = answer(runner.request(Method::GET, "/manifest")).await;
    assert_eq!(manifest["runId"], mine.id.to_string());
    assert_eq!(manifest["sessionId"], mine.session.to_string());
    let expected = json!([
        {"name": "a.txt", "digest": sha256(b"mine"), "size": 4},
        {"name": "b.bin", "digest": digest, "size": 5},
    ]);
    assert_eq!(manifest["inputs"], expected);
    assert_eq!(manifest["stop"], false);
    for (name, bytes) in [("a.txt", "mine"), ("b.bin", "large")] {
        let request = runner.request(Method::GET, &format!("/inputs/{name}"));
        let response = request.send().await.expect("the endpoint answers");
        assert_eq!(response.text().await.expect("the answer is whole"), bytes);
    }
    for name in ["secret", "..%2fa.txt", "..%2f..%2fwarren.db"] {
        let (status, _) = answer(runner.request(Method::GET, &format!("/inputs/{name}"))).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{name}");
    }
    assert!(!theirs.token.is_empty());
}

#[tokio::test]
async fn lines_that_are_sent_again_are_kept_once_and_a_gap_is_refused() {
    let (world, run, runner) = world_with_run().await;
    assert_eq!(runner.post("/logs", lines(1..=3)).await, (StatusCode::OK, json!({"next": 4})));
    assert_eq!(runner.post("/logs", lines(1..=3)).await, (StatusCode::OK, json!({"next": 4})));
    let (status, gap) = runner.post("/logs", lines(6..=7)).await;
    assert_eq!((status, &gap["next"]), (StatusCode::CONFLICT, &json!(4)));
    assert_eq!(runner.post("/logs", lines(2..=6)).await, (StatusCode::OK, json!({"next": 7})));
    assert_eq!(runner.post("/logs", "").await, (StatusCode::OK, json!({"next": 7})));
    for malformed in ["{}", "not json", "{\"n\":7,\"t\":1,\"s\":\"out\",\"l\":\"\"}"] {
        let (status, _) = runner.post("/logs", malformed).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{malformed}");
    }
    let expected: Vec<String> = (1..=6).map(|n| format!("line {n}")).collect();
    assert_eq!(world.texts(&run).await, expected);
}

#[tokio::test]
async fn what_a_piece_is_of_its_line_is_kept() {
    let (world, run, runner) = world_with_run().await;
    let pieces = lines(1..=2).replacen('}', r#","p":"first"}"#, 1) + &lines(3..=3);
    assert_eq!(runner.post("/logs", pieces).await, (StatusCode::OK, json!({"next": 4})));
    let wrong = lines(4..=4).replace('}', r#","p":"second"}"#);
    assert_eq!(runner.post("/logs", wrong).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let parts: Vec<LinePart> = world.log(&run).await.iter().map(|line| line.part).collect();
    assert_eq!(parts, [LinePart::First, LinePart::Whole, LinePart::Whole]);
}

#[tokio::test]
async fn the_same_lines_from_many_requests_at_once_are_kept_once() {
    let (world, run, runner) = world_with_run().await;
    for round in 0..5 {
        let first = 1 + round * 10;
        let attempts = (0..12).map(|attempt| {
            // The same start, and ends that differ: what a repeated and regrouped batch looks like.
            let last = first + 5 + if attempt % 3 == 0 { 4 } else { attempt % 3 };
            runner.post("/logs", lines(first..=last))
        });
        for (status, body) in join_all(attempts).await {
            assert_eq!(status, StatusCode::OK, "{body}");
        }
    }
    assert_eq!(world.texts(&run).await.len(), 50);
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_keeps_nothing_twice() {
    let (mut world, run, runner) = world_with_run().await;
    assert_eq!(runner.post("/logs", lines(1..=3)).await.0, StatusCode::OK);
    world.go_away().await;
    assert!(runner.request(Method::GET, "/manifest").send().await.is_err());
    world.serve().await;
    assert_eq!(runner.post("/logs", lines(1..=4)).await, (StatusCode::OK, json!({"next": 5})));
    assert_eq!(world.texts(&run).await.len(), 4);
}

#[tokio::test]
async fn an_input_that_is_gone_is_told_by_its_name() {
    let world = World::start().await;
    let digest = world.blob(b"large").await;
    std::fs::remove_file(world.blob_file(&digest)).expect("it is there");
    let input = Input { name: "b.bin".to_owned(), source: InputSource::Blob(digest) };
    let run = world.run(vec![input]).await;
    let runner = Runner::new(&world, &run.token);
    let (status, problem) = answer(runner.request(Method::GET, "/inputs/b.bin")).await;
    assert_eq!(status, StatusCode::GONE);
    assert_eq!(problem["detail"], "input b.bin of the session is gone");
}

#[tokio::test]
async fn tokens_in_the_output_are_not_kept() {
    let (world, run, runner) = world_with_run().await;
    let text = format!("my token is {}", run.token);
    let line = json!({"n": 1, "t": "2025-01-01T00:00:00.000Z", "s": "err", "l": text});
    assert_eq!(runner.post("/logs", line.to_string()).await.0, StatusCode::OK);
    assert_eq!(world.texts(&run).await, ["my token is wrr_***"]);
}

#[tokio::test]
async fn a_result_is_json_of_at_most_one_mebibyte() {
    let (world, run, runner) = world_with_run().await;
    assert_eq!(runner.put("/result", "{not json").await, StatusCode::UNPROCESSABLE_ENTITY);
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    assert_eq!(runner.put("/result", large).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(runner.put("/result", "{\"answer\": 1}").await, StatusCode::CREATED);
    assert_eq!(runner.put("/result", "{\"answer\": 42}").await, StatusCode::CREATED);
    let kept = world.app.blobs.get(&BlobPath::result(run.id)).await.expect("it can be read");
    assert_eq!(kept.expect("it is there"), "{\"answer\": 42}");
}

#[tokio::test]
async fn an_artifact_is_kept_only_under_a_good_path_and_with_the_promised_bytes() {
    let (world, run, runner) = world_with_run().await;
    let good = sha256(b"bytes");
    let good = good.digits();
    for path in ["a//b", "a%2f..%2fb", "..%2fb", "a%2f.", "a%00b", &"x".repeat(513)] {
        let status = runner.put_artifact(path, b"bytes", good).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
    for digest in ["", "zz", &good.to_uppercase(), sha256(b"other").digits()] {
        let status = runner.put_artifact("a", b"bytes", digest).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{digest}");
    }
    assert_eq!(world.app.store.artifact_list(run.id).await.expect("the record answers"), []);
    for path in ["report.txt", "deep/er/%C3%BC%20%23.txt"] {
        assert_eq!(runner.put_artifact(path, b"bytes", good).await, StatusCode::CREATED);
    }
    let kept = world.app.store.artifact_list(run.id).await.expect("the record answers");
    let paths: Vec<&str> = kept.iter().map(|artifact| artifact.path.as_str()).collect();
    assert_eq!(paths, ["deep/er/ü #.txt", "report.txt"]);
    let bytes = world.app.blobs.get(&BlobPath::stored(&kept[0].blob)).await.expect("readable");
    assert_eq!(bytes.expect("it is there"), "bytes");
}

#[tokio::test]
async fn a_session_runs_from_the_first_report_and_ends_with_the_last() {
    let (world, run, runner) = world_with_run().await;
    assert_eq!(runner.post("/started", "{\"pid\":7}").await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.session(&run).await.state, SessionState::Running);
    assert_eq!(runner.post("/started", "{\"pid\":7}").await.0, StatusCode::NO_CONTENT);
    let usage = json!({"cpuMs": 1, "peakMemoryBytes": 2, "wallMs": 3}).to_string();
    let heartbeat = runner.post("/heartbeat", usage).await;
    assert_eq!(heartbeat, (StatusCode::OK, json!({"stop": false})));
    assert_eq!(runner.exited(Some(3), None).await, StatusCode::NO_CONTENT);
    let session = world.session(&run).await;
    assert_eq!(session.state, SessionState::Failed);
    let cause = session.cause.expect("a failure has a cause");
    assert_eq!((cause.class, cause.reason.as_str()), (Some(FailureClass::Agent), "ExitCode"));
    let usage = world.record(&run).await.usage.expect("it was reported");
    assert_eq!((usage.cpu_ms, usage.peak_memory_bytes, usage.wall_ms), (5, 6, 7));
    assert_eq!(runner.exited(Some(0), None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.session(&run).await.state, SessionState::Failed);
}

#[tokio::test]
async fn a_stop_reaches_the_runner_and_its_last_report_makes_it_final() {
    let (world, run, runner) = world_with_run().await;
    assert_eq!(runner.post("/started", "{\"pid\":7}").await.0, StatusCode::NO_CONTENT);
    let stopped = world
        .app
        .store
        .session_stop(&world.proof(), run.session, application::session::StopMode::Proven)
        .await;
    assert_eq!(stopped.expect("it runs").state, SessionState::Stopping);
    let usage = json!({"cpuMs": 1, "peakMemoryBytes": 2, "wallMs": 3}).to_string();
    assert_eq!(runner.post("/heartbeat", usage).await.1, json!({"stop": true}));
    assert_eq!(runner.exited(None, Some(15)).await, StatusCode::NO_CONTENT);
    assert_eq!(world.outcome(&run).await, (SessionState::Stopped, "StopRequested".to_owned()));
}
