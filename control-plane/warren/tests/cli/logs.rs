use crate::{
    server::{Server, json_answer, ndjson, session},
    warren,
};
use axum::body::{Body, Bytes};
use futures::{StreamExt as _, stream};
use std::io;

fn line(number: u64) -> String {
    format!(r#"{{"n":{number},"t":"2026-11-21T09:00:00.000Z","s":"out","l":"line {number}"}}"#)
        + "\n"
}

/// Sends the text and then breaks the connection.
fn broken(text: String) -> Body {
    let end = stream::once(async {
        // Lets the server write what it has.
        tokio::task::yield_now().await;
        Err(io::Error::other("the connection breaks"))
    });
    Body::from_stream(stream::iter([Ok(Bytes::from(text))]).chain(end))
}

/// Breaks three times: in the middle of a line, with a repetition, and in good order too early.
async fn unreliable() -> Server {
    Server::start(|asked, _| {
        if !asked.uri.path().ends_with("/logs") {
            return json_answer(200, &session("succeeded", 6));
        }
        let from = asked.uri.query().and_then(|query| query.split('&').next()).unwrap();
        ndjson(match from {
            "from=1" => broken(line(1) + &line(2) + &line(3)[..20]),
            "from=3" => broken(line(2) + &line(3) + &line(4)),
            "from=5" => Body::from(line(5)),
            "from=6" => Body::from(format!("\n{}", line(6))),
            _ => Body::empty(),
        })
    })
    .await
}

#[tokio::test]
async fn a_followed_log_has_no_gap_and_no_repetition_whatever_the_connection_does() {
    let server = unreliable().await;
    let ended = warren(&server.url, &["session", "logs", "ses_1", "-t", "acme", "-f"]).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.stdout, "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n");
    let arguments = ["session", "logs", "ses_1", "-t", "acme", "-f", "-o", "json"];
    let ended = warren(&server.url, &arguments).await;
    assert_eq!(ended.stdout.lines().count(), 6);
    let first: serde_json::Value =
        serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first, serde_json::from_str::<serde_json::Value>(&line(1)).unwrap());
}

#[tokio::test]
async fn a_log_can_be_read_from_a_line_or_from_its_end() {
    let server = unreliable().await;
    for option in [["--from", "5"], ["--tail", "2"]] {
        let mut arguments = vec!["session", "logs", "ses_1", "-t", "acme", "-f"];
        arguments.extend(option);
        let ended = warren(&server.url, &arguments).await;
        assert_eq!(ended.stdout, "line 5\nline 6\n", "{option:?}");
    }
}

/// A line of which the connection breaks between the pieces, and a last one without an end.
#[tokio::test]
async fn the_pieces_of_a_long_line_are_printed_as_one() {
    let piece = |number, part: &str| line(number).replace('}', &format!(r#","p":"{part}"}}"#));
    let other = line(4).replace("out", "err");
    let first = piece(1, "first") + &piece(2, "middle");
    let second = piece(3, "last") + &other + &piece(5, "first");
    let server = Server::start(move |asked, _| {
        if !asked.uri.path().ends_with("/logs") {
            return json_answer(200, &session("succeeded", 5));
        }
        let query = asked.uri.query().unwrap_or_default();
        ndjson(match query.split('&').next() {
            Some("from=1") => broken(first.clone()),
            Some("from=3") => Body::from(second.clone()),
            _ => Body::empty(),
        })
    })
    .await;
    let logs = ["session", "logs", "ses_1", "-t", "acme", "-f"];
    let ended = warren(&server.url, &logs).await;
    assert_eq!(ended.stdout, "line 1line 2line 3\nline 4\nline 5\n");
    let ended = warren(&server.url, &[&logs[..], &["--search", "line"]].concat()).await;
    assert_eq!(ended.stdout.lines().count(), 5, "{}", ended.stdout);
    let ended = warren(&server.url, &[&logs[..], &["-o", "json"]].concat()).await;
    assert_eq!(ended.stdout.matches(r#""p":"middle""#).count(), 1, "{}", ended.stdout);
}

#[tokio::test]
async fn lines_that_are_lost_are_named() {
    let server = Server::start(|asked, _| {
        if !asked.uri.path().ends_with("/logs") {
            return json_answer(200, &session("succeeded", 5));
        }
        let is_first = asked.uri.query().is_some_and(|query| query.starts_with("from=1"));
        ndjson(if is_first { Body::from(line(1) + &line(4)) } else { Body::empty() })
    })
    .await;
    let ended = warren(&server.url, &["session", "logs", "ses_1", "-t", "acme", "-f"]).await;
    assert_eq!((ended.code, &*ended.stdout), (0, "line 1\nline 4\n"));
    assert!(ended.stderr.contains("Lines 2 to 3 are missing"), "{}", ended.stderr);
    assert!(ended.stderr.contains("Lines 5 to 5 are missing"), "{}", ended.stderr);
}
