use crate::harness::{Answer, TestApp, request};
use application::log::LinePart::{First, Last, Middle, Whole};
use axum::{
    body::{Body, BodyDataStream},
    http::{Method, StatusCode},
};
use domain::{RunId, SessionId, SessionState};
use futures::StreamExt as _;

/// A session with five lines in two segments, and the path of its log.
async fn logged(server: &TestApp) -> (String, SessionId, RunId) {
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    let run = server.run(session).await;
    server.log(run, 1, "oeo").await;
    server.log(run, 4, "eo").await;
    (format!("{}/sessions/{session}/logs", tenant.path), session, run)
}

async fn read(server: &TestApp, path: &str, accept: &str) -> Answer {
    let request = request(&server.operator, Method::GET, path).header("accept", accept);
    server.call(request.body(Body::empty())).await
}

/// The numbers of the lines in a text.
fn numbers(text: &str) -> Vec<u64> {
    let number = |line: &str| line.strip_prefix("line ")?.parse().ok();
    text.lines().map(|line| number(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

async fn open(server: &TestApp, path: &str, accept: &str, last: Option<&str>) -> BodyDataStream {
    let mut request = request(&server.operator, Method::GET, path).header("accept", accept);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let answer = server.open(request.body(Body::empty())).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body().into_data_stream()
}

async fn until(stream: &mut BodyDataStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let chunk = stream.next().await.unwrap_or_else(|| panic!("ended without {end}: {text}"));
        text += std::str::from_utf8(&chunk.expect("the stream is whole")).expect("text");
    }
    text
}

#[tokio::test]
async fn a_log_can_be_read_whole_from_a_line_from_the_end_and_by_stream() {
    let server = TestApp::new().await;
    let (path, ..) = logged(&server).await;
    for (query, expected) in [
        ("", vec![1, 2, 3, 4, 5]),
        ("?from=3", vec![3, 4, 5]),
        ("?from=6", vec![]),
        ("?tail=2", vec![4, 5]),
        ("?tail=0", vec![]),
        ("?tail=99", vec![1, 2, 3, 4, 5]),
        ("?stream=err", vec![2, 4]),
        ("?stream=out&from=2", vec![3, 5]),
        ("?stream=out&tail=2", vec![3, 5]),
        ("?search=line%204", vec![4]),
        ("?search=Line", vec![]),
        ("?since=2026-11-21T10:00:00Z", vec![1, 2, 3, 4, 5]),
        ("?since=2026-11-21T10:00:01Z&from=2", vec![]),
    ] {
        let answer = read(&server, &format!("{path}{query}"), "*/*").await;
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(numbers(answer.text()), expected, "{query}");
    }
}

#[tokio::test]
async fn a_log_is_the_same_while_its_session_runs_and_after() {
    let server = TestApp::new().await;
    let (path, session, _) = logged(&server).await;
    let live = read(&server, &path, "application/x-ndjson").await;
    server.advance(session, SessionState::Succeeded).await;
    let archived = read(&server, &path, "application/x-ndjson").await;
    assert_eq!(live.body, archived.body);
    let first = live.text().lines().next().expect("a line");
    assert_eq!(first, r#"{"n":1,"t":"2026-11-21T10:00:00Z","s":"out","l":"line 1"}"#);
}

#[tokio::test]
async fn a_session_without_a_run_has_an_empty_log() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    let path = format!("{}/sessions/{session}/logs", tenant.path);
    assert_eq!(read(&server, &path, "text/plain").await.text(), "");
}

#[tokio::test]
async fn a_follower_gets_every_line_as_it_is_written_and_then_the_end() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    let path = format!("{}/sessions/{session}/logs?follow=true", tenant.path);
    let mut log = open(&server, &path, "text/plain", None).await;
    let writer = async {
        let run = server.run(session).await;
        server.log(run, 1, "o").await;
        server.log(run, 2, "oo").await;
        server.advance(session, SessionState::Succeeded).await;
    };
    let reader = async {
        let mut text = String::new();
        while let Some(chunk) = log.next().await {
            text += std::str::from_utf8(&chunk.expect("the stream is whole")).expect("text");
        }
        text
    };
    let (text, ()) = tokio::join!(reader, writer);
    assert_eq!(numbers(&text), [1, 2, 3]);
}

#[tokio::test]
async fn the_pieces_of_a_long_line_are_one_line_of_text_and_several_of_json() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    let run = server.run(session).await;
    let path = format!("{}/sessions/{session}/logs", tenant.path);
    // A line of a mebibyte with something of the other stream in the middle, in two segments.
    let pieces: Vec<String> = ('a'..='z').map(|c| c.to_string().repeat(16 << 10)).collect();
    let part = |at| if at == 0 { First } else { Middle };
    let lines: Vec<_> = (0..26).map(|at| ('o', part(at), pieces[at].as_str())).collect();
    server.log_lines(run, 1, &lines).await;
    let rest = [('e', Whole, "other"), ('o', Last, "end"), ('o', Whole, "next"), ('o', First, "?")];
    server.log_lines(run, 27, &rest).await;
    server.advance(session, SessionState::Succeeded).await;

    let line = pieces.concat();
    let read = async |query: &str, accept| read(&server, &format!("{path}{query}"), accept).await;
    let whole = read("?stream=out", "text/plain").await;
    assert!(whole.text() == format!("{line}end\nnext\n?\n"), "a piece is lost or cut off");
    let both = read("", "text/plain").await;
    assert!(both.text() == format!("{line}\nother\nend\nnext\n?\n"));
    assert_eq!(read("?from=27", "text/plain").await.text(), "other\nend\nnext\n?\n");
    // What lies between two pieces that were found is left out.
    assert_eq!(read("?search=n", "text/plain").await.text().lines().count(), 3);
    let json = read("?from=26", "application/x-ndjson").await;
    let parts = json.text().lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line.get("p").map(|part| part.as_str().expect("a word").to_owned())
    });
    let parts: Vec<Option<String>> = parts.collect();
    let parts: Vec<Option<&str>> = parts.iter().map(Option::as_deref).collect();
    assert_eq!(parts, [Some("middle"), None, Some("last"), None, Some("first")]);
}

#[tokio::test]
async fn a_follower_sees_a_whole_line_with_its_end_and_a_piece_without_one() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let session = server.session(&tenant).await;
    let run = server.run(session).await;
    let path = format!("{}/sessions/{session}/logs?follow=true", tenant.path);
    let mut log = open(&server, &path, "text/plain", None).await;
    for (number, part, text, expected) in [
        (1, Whole, "whole", "whole\n"),
        (2, First, "be", "be"),
        (3, Middle, "gi", "gi"),
        (4, Last, "n", "n\n"),
        (5, First, "open", "open"),
        (6, Whole, "next", "\nnext\n"),
        (7, First, "never ended", "never ended"),
    ] {
        server.log_lines(run, number, &[('o', part, text)]).await;
        assert_eq!(until(&mut log, text).await, expected);
    }
    server.advance(session, SessionState::Succeeded).await;
    assert_eq!(until(&mut log, "\n").await, "\n");
    assert!(log.next().await.is_none());
}

#[tokio::test]
async fn an_event_stream_numbers_its_lines_and_goes_on_where_a_reader_left_it() {
    let server = TestApp::new().await;
    let (path, session, run) = logged(&server).await;
    let path = format!("{path}?follow=true");
    let mut first = open(&server, &path, "text/event-stream", None).await;
    let text = until(&mut first, "id: 3\n").await;
    assert!(text.contains("retry: 2000\n"), "{text}");
    assert!(text.contains("data: {\"n\":2,"), "{text}");
    drop(first);

    let mut second = open(&server, &path, "text/event-stream", Some("3")).await;
    let (text, ()) = tokio::join!(until(&mut second, "event: end\n"), async {
        server.log(run, 6, "o").await;
        server.advance(session, SessionState::Stopping).await;
        server.advance(session, SessionState::Stopped).await;
    });
    let ids: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["4", "5", "6"]);
    assert!(text.ends_with("event: end\ndata: {\"state\":\"stopped\"}\n\n"), "{text}");
    assert!(second.next().await.is_none());
}

#[tokio::test]
async fn a_quiet_event_stream_says_that_it_is_alive() {
    let server = TestApp::new().await;
    let (path, ..) = logged(&server).await;
    let path = format!("{path}?follow=true&from=6");
    let mut stream = open(&server, &path, "text/event-stream", None).await;
    until(&mut stream, "retry: 2000\n").await;
    tokio::time::pause();
    assert_eq!(until(&mut stream, ": ").await, ": heartbeat\n\n");
}

#[tokio::test]
async fn followers_end_when_the_server_shuts_down() {
    let server = TestApp::new().await;
    let (path, ..) = logged(&server).await;
    let mut stream = open(&server, &format!("{path}?follow=true"), "text/plain", None).await;
    until(&mut stream, "line 5\n").await;
    server.shutdown.cancel();
    assert!(stream.next().await.is_none());
}
