use crate::{
    server::{Server, json_answer, problem, session},
    warren, warren_in,
};
use axum::{http::Method, response::IntoResponse as _};
use domain::Digest;
use serde_json::json;
use sha2::{Digest as _, Sha256};

fn digest(bytes: &[u8]) -> String {
    Digest::of_sha256(Sha256::digest(bytes).into()).to_string()
}

/// Takes uploads, and has the one at `known` already.
async fn server_with(known: String) -> Server {
    Server::start(move |asked, _| match asked.method {
        Method::HEAD if asked.uri.path().ends_with(&known) => json_answer(200, &json!({})),
        Method::HEAD => problem(404, "not-found", &json!([])),
        Method::PUT => json_answer(201, &json!({})),
        _ => json_answer(201, &session("queued", 0)),
    })
    .await
}

#[tokio::test]
async fn small_texts_travel_in_the_request_and_everything_else_by_digest() {
    let folder = tempfile::tempdir().unwrap();
    let (binary, known) = ([0xff, 0x00, 0xfe], [0x80; 10]);
    let (long, edge) = ("x".repeat((64 << 10) + 1), "é".repeat(32 << 10));
    let files: [(&str, &[u8]); 5] = [
        ("prompt.txt", b"do it"),
        ("binary", &binary),
        ("long.txt", long.as_bytes()),
        ("known", &known),
        ("edge.txt", edge.as_bytes()),
    ];
    let mut arguments = vec!["session", "run", "-t", "acme", "--image", "agent:1", "-o", "name"];
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        arguments.extend(["--input", if name == "binary" { "binary=model" } else { name }]);
    }
    arguments.extend(["--", "/agent"]);
    let server = server_with(digest(&known)).await;
    let ended = warren_in(folder.path(), &server.url, &arguments).await;
    assert_eq!((ended.code, &*ended.stdout), (0, "session/ses_1\n"), "{}", ended.stderr);
    let asked = server.asked();
    let puts: Vec<_> = asked.iter().filter(|asked| asked.method == Method::PUT).collect();
    assert_eq!(puts.len(), 2, "what is there is not sent again");
    for (put, bytes) in puts.iter().zip([&binary[..], long.as_bytes()]) {
        assert!(put.uri.path().ends_with(&digest(bytes)), "{}", put.line());
        assert_eq!(put.body, bytes);
    }
    assert_eq!(
        asked.last().unwrap().json()["inputs"],
        json!([
            {"name": "prompt.txt", "content": "do it"},
            {"name": "model", "digest": digest(&binary)},
            {"name": "long.txt", "digest": digest(long.as_bytes())},
            {"name": "known", "digest": digest(&known)},
            {"name": "edge.txt", "content": edge},
        ])
    );
}

#[tokio::test]
async fn a_session_asks_for_what_was_said_and_leaves_the_rest_to_the_server() {
    let server = server_with(String::new()).await;
    let run = ["session", "run", "-t", "acme", "--image", "agent:1"];
    let options = [
        "--env",
        "MODE=fast=er",
        "--env",
        "FROM_OUTSIDE",
        "--label",
        "team=a",
        "--cpu",
        "500m",
        "--timeout",
        "90s",
        "--",
        "/agent",
        "--once",
        "-o",
    ];
    let ended = warren(&server.url, &[&run[..], &options].concat()).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(
        server.asked()[0].json(),
        json!({
            "image": "agent:1", "command": ["/agent"], "args": ["--once", "-o"],
            "env": {"MODE": "fast=er", "FROM_OUTSIDE": "kept out of the argument list"},
            "labels": {"team": "a"}, "resources": {"cpu": "500m"}, "timeoutSeconds": 90,
        })
    );
}

#[tokio::test]
async fn artifacts_arrive_whole_or_not_at_all() {
    let server = Server::start(|asked, _| match asked.uri.path() {
        "/api/v1/tenants/acme/sessions/ses_1/artifacts" => json_answer(
            200,
            &json!({"items": [
                {"path": "good/a b.txt", "size": 5, "digest": Digest::of_sha256(Sha256::digest(b"hello").into())},
                {"path": "forged.txt", "size": 5, "digest": Digest::of_sha256([7; 32])},
            ]}),
        ),
        _ => axum::response::IntoResponse::into_response("hello"),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["session", "artifacts", "ses_1", "-t", "acme", "--download", "out"];
    let ended = warren_in(folder.path(), &server.url, &arguments).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let out = folder.path().join("out");
    assert_eq!(std::fs::read_to_string(out.join("good/a b.txt")).unwrap(), "hello");
    let names: Vec<_> =
        std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["good"], "neither the forged file nor a part of it");
    assert!(ended.stderr.contains("forged.txt"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_large_input_goes_on_where_the_server_is() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(folder.path().join("model"), &bytes).unwrap();
    let server = Server::start(|asked, number| match asked.method {
        Method::HEAD if asked.uri.path().contains("/blobs/") => {
            problem(404, "not-found", &json!([]))
        }
        Method::HEAD => {
            let headers = [("upload-offset", "2000000"), ("upload-complete", "?0")];
            (axum::http::StatusCode::NO_CONTENT, headers).into_response()
        }
        // Somebody else has sent a part of it before.
        Method::PATCH if number == 1 => problem(409, "upload-offset", &json!([])),
        Method::PATCH => json_answer(201, &json!({})),
        _ => json_answer(201, &session("queued", 0)),
    })
    .await;
    let arguments =
        ["session", "run", "-t", "acme", "--image", "a", "--input", "model", "--", "/agent"];
    let ended = warren_in(folder.path(), &server.url, &arguments).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let asked = server.asked();
    let patches: Vec<_> = asked.iter().filter(|asked| asked.method == Method::PATCH).collect();
    let header = |number: usize, name: &str| patches[number].headers[name].to_str().unwrap();
    assert_eq!((patches.len(), patches[0].body.len()), (2, 3_000_000));
    assert_eq!(header(0, "upload-offset"), "0");
    assert_eq!(header(1, "upload-offset"), "2000000");
    assert_eq!(header(1, "upload-length"), "3000000");
    assert_eq!(header(1, "upload-complete"), "?1");
    assert_eq!(patches[1].body, bytes[2_000_000..]);
    assert!(ended.stderr.contains("broke off; going on"), "{}", ended.stderr);
}
