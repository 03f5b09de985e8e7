use crate::{
    server::{Server, json_answer, session},
    warren,
};
use axum::http::Method;
use serde_json::{Value, json};

const RERUN: [&str; 5] = ["session", "rerun", "ses_1", "-t", "acme"];

/// A server with a session that failed, and what another run of it is.
async fn failed(next: Value) -> Server {
    Server::start(move |asked, _| {
        if asked.method == Method::POST {
            let mut again = session("queued", 0);
            again["id"] = json!("ses_2");
            return json_answer(201, &again);
        }
        let mut failed = session("failed", 3);
        failed["cause"]["nextStep"] = next.clone();
        json_answer(200, &failed)
    })
    .await
}

fn more_memory() -> Value {
    json!({ "advice": "give it more", "rerun": { "resources": { "memory": "512Mi" } } })
}

#[tokio::test]
async fn a_rerun_does_what_the_next_step_proposes_unless_something_else_is_said() {
    let server = failed(more_memory()).await;
    for (options, expected) in [
        (&[][..], json!({ "resources": { "memory": "512Mi" } })),
        (
            &["--cpu", "1", "--timeout", "90s"],
            json!({ "resources": { "cpu": "1", "memory": "512Mi" }, "timeoutSeconds": 90 }),
        ),
        (&["--memory", "1Gi"], json!({ "resources": { "memory": "1Gi" } })),
        (&["--as-is"], json!({})),
    ] {
        let ended = warren(&server.url, &[&RERUN[..], options, &["-o", "name"]].concat()).await;
        assert_eq!((ended.code, &*ended.stdout), (0, "session/ses_2\n"), "{}", ended.stderr);
        let asked = server.asked().pop().expect("it was asked");
        assert_eq!(asked.line(), "POST /api/v1/tenants/acme/sessions/ses_1/rerun");
        assert!(asked.headers.contains_key("idempotency-key"));
        assert_eq!(asked.json(), expected, "{options:?}");
        let says = ended.stderr.contains("As its next step proposes: --memory 512Mi");
        assert_eq!(says, options.is_empty(), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_rerun_that_would_fail_the_same_way_is_asked_for_twice() {
    let server = failed(json!({ "advice": "correct the image" })).await;
    let ended = warren(&server.url, &RERUN).await;
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    let all_the_same = "warren session rerun ses_1 --tenant acme --as-is";
    for part in ["would fail the same way", "hint: correct the image", all_the_same] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    assert!(server.asked().iter().all(|asked| asked.method == Method::GET));
    for options in [&["--as-is"][..], &["--memory", "1Gi"]] {
        let ended = warren(&server.url, &[&RERUN[..], options].concat()).await;
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    let ended = warren(&server.url, &[&RERUN[..], &["--as-is", "--cpu", "1"]].concat()).await;
    assert_eq!(ended.code, 2, "{}", ended.stderr);
}

#[tokio::test]
async fn the_command_for_another_run_is_shown_where_a_failure_is() {
    let command = "warren session rerun ses_1 --tenant acme --memory 512Mi";
    let server = failed(more_memory()).await;
    let shown = warren(&server.url, &["session", "describe", "ses_1", "-t", "acme"]).await;
    let fields = format!("Next step:   give it more\nRun again:   {command}\n");
    assert!(shown.stdout.contains(&fields), "{}", shown.stdout);
    let waited = warren(&server.url, &["session", "wait", "ses_1", "-t", "acme"]).await;
    let hint = format!("hint: give it more\n  run it again: {command}\n  its log: ");
    assert!(waited.stderr.contains(&hint), "{}", waited.stderr);

    let server = failed(json!({ "advice": "correct the image" })).await;
    let shown = warren(&server.url, &["session", "describe", "ses_1", "-t", "acme"]).await;
    assert!(shown.stdout.contains("correct the image"), "{}", shown.stdout);
    assert!(!shown.stdout.contains("rerun"), "{}", shown.stdout);
}
