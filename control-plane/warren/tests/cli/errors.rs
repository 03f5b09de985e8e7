use crate::{
    TOKEN,
    server::{Server, json_answer, problem, tenant},
    warren,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

#[tokio::test]
async fn every_refusal_has_its_exit_code() {
    let field = json!([{"field": "/plan", "value": "gold", "rule": "one of: starter, pro"}]);
    let cases = [
        (401, "unauthenticated", json!([]), 4),
        (403, "forbidden", json!([]), 4),
        (404, "not-found", json!([]), 3),
        (409, "name-taken", json!([]), 5),
        (412, "stale", json!([]), 5),
        (422, "idempotency-mismatch", json!([]), 5),
        (422, "quota-exceeded", field.clone(), 6),
        (422, "digest-mismatch", field.clone(), 1),
        (413, "body-too-large", field.clone(), 1),
        (400, "malformed-json", field.clone(), 2),
        (422, "invalid-input", field, 2),
        (500, "internal", json!([]), 1),
    ];
    for (status, code, errors, exit) in cases {
        let server = Server::start(move |_, _| problem(status, code, &errors)).await;
        let ended = warren(&server.url, &["tenant", "get", "acme"]).await;
        assert_eq!(ended.code, exit, "{status} {code}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn wrong_arguments_are_a_usage_error_and_ask_nobody() {
    let server = Server::start(|_, _| json_answer(200, &json!({}))).await;
    for arguments in [
        &["tenant", "get", "../plans"][..],
        &["tenant", "create", "acme"],
        &["tenant", "delete", "acme"],
        &["tenant", "wait", "acme", "--timeout", "soon"],
        &["session", "run", "--tenant", "acme", "--image", "x"],
        &["session", "run", "-t", "acme", "--image", "x", "--env", "NOT_SET", "--", "/agent"],
        &["session", "logs", "ses_1", "-t", "acme", "-o", "name"],
        &["kubeconfig", "acme"],
    ] {
        let ended = warren(&server.url, arguments).await;
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "");
    }
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}

#[tokio::test]
async fn an_error_is_one_block_with_everything_that_helps() {
    let field = json!([{"field": "/plan", "value": "gold", "rule": "one of: starter, pro"}]);
    let server = Server::start(move |_, _| problem(422, "invalid-input", &field)).await;
    let ended = warren(&server.url, &["tenant", "create", "acme", "--plan", "gold"]).await;
    assert_eq!(
        ended.stderr,
        "error: Refused (422, invalid-input)\n  It is not possible.\n  \
         /plan = \"gold\": one of: starter, pro\nhint: Try something else.\nrequest: req-7\n"
    );
    let arguments = ["tenant", "create", "acme", "--plan", "gold", "-o", "json"];
    let ended = warren(&server.url, &arguments).await;
    let error: Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!(error["code"], "invalid-input");
    assert_eq!(error["errors"][0]["field"], "/plan");
    assert_eq!(error["requestId"], "req-7");
    assert_eq!(error["exitCode"], 2);
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_way_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ended = warren(&url, &["tenant", "get"]).await;
    assert_eq!(ended.code, 1);
    for part in ["error: The server cannot be reached", &url, "refused", "WARREN_URL"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn the_token_goes_to_the_server_and_nowhere_else() {
    let server = Server::start(|_, _| problem(401, "unauthenticated", &json!([]))).await;
    let ended = warren(&server.url, &["tenant", "get"]).await;
    let asked = server.asked();
    assert_eq!(asked[0].headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(ended.stderr.contains("WARREN_TOKEN_FILE"), "{}", ended.stderr);
}

/// Takes one request as a whole.
async fn take_request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.ends_with('}') {
        let count = stream.read(&mut buffer).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let lost = take_request(&mut first).await;
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        let again = take_request(&mut second).await;
        let body = tenant("pending").to_string();
        let head = format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n", body.len());
        second.write_all((head + &body).as_bytes()).await.unwrap();
        (lost, again)
    });
    let ended = warren(&url, &["tenant", "create", "acme", "--plan", "pro", "-o", "name"]).await;
    assert_eq!((ended.code, &*ended.stdout), (0, "tenant/acme\n"), "{}", ended.stderr);
    let (lost, again) = server.await.unwrap();
    assert!(lost.to_lowercase().contains("idempotency-key: "), "{lost}");
    assert_eq!(lost, again);
}
