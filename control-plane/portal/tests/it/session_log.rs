//! The log of a session: its lines, its windows, and what is sent as they are written.

use crate::{
    harness::{TestPortal, request},
    session::{advance, agent, log, run, session},
};
use application::Artifact;
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use domain::{Digest, RunId, SessionId, SessionState};
use http_body_util::BodyExt as _;
use std::time::Duration;
use tower::ServiceExt as _;

/// A running session with a log, and the path of its page.
async fn logged(portal: &TestPortal, lines: &[&str]) -> (String, SessionId, RunId) {
    let tenant = portal.tenant("acme", "starter", None).await;
    let id = session(portal, &tenant, agent()).await;
    let made = run(portal, id).await;
    if !lines.is_empty() {
        log(portal, made, 1, lines).await;
    }
    (format!("/tenants/acme/sessions/{id}"), id, made)
}

/// The numbers of the lines in a page or in events.
fn numbers(text: &str) -> Vec<u64> {
    let ids = text.split(" id=\"L").skip(1).filter_map(|rest| rest.split('"').next());
    ids.map(|number| number.parse().expect("a number")).collect()
}

async fn open(portal: &TestPortal, path: &str, last: Option<&str>) -> Body {
    let mut request = request(&portal.operator, Method::GET, path);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let request = request.body(Body::empty()).expect("a request");
    let answer = portal.router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    answer.into_body()
}

async fn next(body: &mut Body) -> Option<String> {
    let frame = tokio::time::timeout(Duration::from_secs(10), body.frame());
    let frame = frame.await.expect("something is sent in time")?.expect("the stream is whole");
    Some(String::from_utf8_lossy(frame.data_ref().expect("data")).into_owned())
}

async fn until(body: &mut Body, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let event = next(body).await;
        assert!(event.is_some(), "ended without {end}: {text}");
        text += &event.unwrap_or_default();
    }
    text
}

async fn rest(body: &mut Body) -> String {
    let mut text = String::new();
    while let Some(event) = next(body).await {
        text += &event;
    }
    text
}

#[tokio::test]
async fn lines_come_out_harmless_with_their_colours() {
    let portal = TestPortal::new().await;
    let lines = [
        "<script>alert('x')</script>",
        "\u{1b}[31mred\u{1b}[0m plain \u{1b}[2J\u{1b}]0;title\u{7}end",
        "!\" onmouseover=\"alert(1)\" \u{1b}[1\" onload=\"x\";31mx",
        "before\r\nafter",
    ];
    let (path, id, _) = logged(&portal, &lines).await;
    let log = format!("{path}/log");
    let mut stream = open(&portal, &format!("{path}/events"), None).await;
    let sent = until(&mut stream, "id: 4\n").await;
    for text in [portal.get(&log).await.text, portal.get(&path).await.text, sent] {
        assert!(text.contains("&#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62;"), "{text}");
        assert!(text.contains("<span class=\"fg-1\">red</span> plain end</span>"), "{text}");
        assert!(
            !text.contains("<script>a") && !text.contains('\u{1b}') && !text.contains("style=")
        );
        assert!(!text.contains("onload=\"") && !text.contains("onmouseover=\""), "{text}");
        assert!(text.contains(&format!("href=\"{log}?from=3#L3\"")), "{text}");
        assert!(text.contains("log-line err\" id=\"L3\""), "{text}");
    }
    let raw = portal.get(&format!("{path}/log.txt")).await;
    assert_eq!(raw.text, lines.map(|line| format!("{}\n", line.trim_start_matches('!'))).concat());
    assert_eq!(raw.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(raw.header("content-disposition"), format!("attachment; filename=\"{id}.log\""));
    assert_eq!(raw.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn a_long_log_is_looked_at_through_windows() {
    let portal = TestPortal::new().await;
    let lines: Vec<_> = (1..=1200).map(|number| format!("line {number}")).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let (path, id, _) = logged(&portal, &lines).await;
    let log = format!("{path}/log");
    for (query, expected) in [
        ("", 701..=1200),
        ("?from=120", 120..=619),
        ("?from=0", 1..=500),
        ("?from=1100", 1100..=1200),
        ("?from=nonsense", 701..=1200),
    ] {
        let page = portal.get(&format!("{log}{query}")).await;
        assert_eq!(numbers(&page.text), expected.collect::<Vec<_>>(), "{query}");
    }
    let page = portal.get(&format!("{log}?from=120")).await;
    for text in ["Lines 120 to 619 of 1200.", "?from=620\"", "log?from=1\"", "Newest lines"] {
        page.shows(text);
    }
    page.hides("hx-sse");
    let newest = portal.get(&log).await;
    newest.shows("events?after=1200");
    newest.shows("Live");
    assert_eq!(numbers(&portal.get(&path).await.text), (1101..=1200).collect::<Vec<_>>());

    let found = portal.get(&format!("{log}?search=line+119")).await;
    assert_eq!(
        numbers(&found.text),
        [[119].as_slice(), &(1190..=1199).collect::<Vec<_>>()].concat()
    );
    found.shows("11 of 1200 lines have it in them.");
    portal.get(&format!("{log}?search=%3Cb%3E")).await.shows("value=\"&#60;b&#62;\"");
    portal.get(&format!("{log}?from=9999")).await.shows("There are only 1200 lines.");

    advance(&portal, id, SessionState::Succeeded, None).await;
    let over = portal.get(&log).await;
    over.shows("Archived");
    over.hides("hx-sse");
}

#[tokio::test]
async fn lines_that_are_very_long_make_a_window_shorter() {
    let portal = TestPortal::new().await;
    let long = "x".repeat(100 << 10);
    let (path, ..) = logged(&portal, &[long.as_str(); 12]).await;
    let end = portal.get(&format!("{path}/log")).await;
    assert_eq!(numbers(&end.text), [8, 9, 10, 11, 12]);
    let begin = portal.get(&format!("{path}/log?from=1")).await;
    assert_eq!(numbers(&begin.text), [1, 2, 3, 4, 5, 6]);
    begin.shows("?from=7\"");
}

#[tokio::test]
async fn a_page_gets_every_line_once_its_parts_as_they_change_and_the_end() {
    let portal = TestPortal::new().await;
    let (path, id, made) = logged(&portal, &["a", "b", "c"]).await;
    portal.get(&path).await.shows(&format!("hx-sse:connect=\"{path}/events?after=3\""));
    let events = format!("{path}/events?after=1");
    let mut first = open(&portal, &events, None).await;
    let text = until(&mut first, "id: 3\n").await;
    assert_eq!(numbers(&text), [2, 3]);
    drop(first);

    log(&portal, made, 4, &["d"]).await;
    let mut second = open(&portal, &events, Some("3")).await;
    let (text, ()) = tokio::join!(rest(&mut second), async {
        log(&portal, made, 5, &["e", "f"]).await;
        advance(&portal, id, SessionState::Stopping, None).await;
        log(&portal, made, 7, &["g"]).await;
        advance(&portal, id, SessionState::Stopped, None).await;
    });
    assert_eq!(numbers(&text), [4, 5, 6, 7], "no gap and no repetition");
    assert!(text.contains("hx-target=\"#timeline\"") && text.contains("hx-target=\"#head\""));
    assert!(text.contains("<title>Stopped · "), "{text}");
    assert!(text.ends_with("event: end\ndata: over\n\n"), "{text}");
    portal.get(&path).await.hides("hx-sse:connect");

    let mut late = open(&portal, &events, Some("7")).await;
    let text = rest(&mut late).await;
    assert_eq!(numbers(&text), Vec::<u64>::new());
    assert!(text.ends_with("event: end\ndata: over\n\n"), "{text}");
}

#[tokio::test]
async fn the_page_of_a_log_gets_its_lines_only() {
    let portal = TestPortal::new().await;
    let (path, id, made) = logged(&portal, &["a"]).await;
    let mut stream = open(&portal, &format!("{path}/events?after=1&only=log"), None).await;
    let (text, ()) = tokio::join!(rest(&mut stream), async {
        log(&portal, made, 2, &["b"]).await;
        advance(&portal, id, SessionState::Succeeded, None).await;
    });
    assert_eq!(numbers(&text), [2]);
    assert!(text.contains("hx-target=\"#log-state\"") && !text.contains("#timeline"), "{text}");
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_is_alive_and_ends_with_the_server() {
    let portal = TestPortal::new().await;
    let (path, ..) = logged(&portal, &["a"]).await;
    let mut stream = open(&portal, &format!("{path}/events"), None).await;
    until(&mut stream, "id: 1\n").await;
    tokio::time::pause();
    let beat = stream.frame().await.expect("a frame").expect("whole");
    assert_eq!(beat.data_ref().expect("data").as_ref(), b": heartbeat\n\n");
    tokio::time::resume();
    portal.stop.cancel();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn what_a_session_left_is_shown_as_text_and_saved_as_files() {
    let portal = TestPortal::new().await;
    let (path, id, made) = logged(&portal, &["a"]).await;
    let bytes = "<script>alert(1)</script>".as_bytes();
    let digest = Digest::of_sha256(<sha2::Sha256 as sha2::Digest>::digest(bytes).into());
    let blob = application::blobs::BlobPath::result(made);
    let result = "{\"answer\":\"<b>42</b>\"}";
    portal.app.blobs.put(&blob, result.into()).await.expect("written");
    let kept = application::blobs::BlobPath::log_segment(made, 99, ".bin");
    portal.app.blobs.put(&kept, bytes.into()).await.expect("written");
    let name = "out/a \"b\".html".to_owned();
    let (size, blob) = (bytes.len() as u64, kept.to_string());
    let artifact = Artifact { path: name, size, digest, blob };
    portal.app.store.artifact_put(made, artifact).await.expect("noted");
    advance(&portal, id, SessionState::Succeeded, None).await;

    let page = portal.get(&path).await;
    page.shows("&#34;answer&#34;: &#34;&#60;b&#62;42&#60;/b&#62;&#34;");
    page.shows("1 file, 25 B");
    let link = format!("{path}/artifacts/out/a%20%22b%22%2Ehtml");
    page.shows(&format!("href=\"{link}\""));
    let file = portal.get(&link).await;
    assert_eq!(file.text.as_bytes(), bytes);
    assert_eq!(file.header("content-type"), "application/octet-stream");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    let disposition = file.header("content-disposition");
    assert!(disposition.starts_with("attachment; filename=\"a__b_.html\";"), "{disposition}");
    let json = portal.get(&format!("{path}/result.json")).await;
    assert_eq!((json.text.as_str(), json.header("content-type")), (result, "application/json"));
}
