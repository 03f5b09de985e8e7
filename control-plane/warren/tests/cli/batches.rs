//! Changes of plan for later, and of many tenants.

use crate::{
    server::{Server, json_answer, operation},
    warren,
};
use axum::http::Method;
use serde_json::{Value, json};

fn batch(state: &str, lines: &Value) -> Value {
    let is_over = ["succeeded", "failed", "cancelled"].contains(&state);
    json!({
        "id": "batch_1", "name": "spring", "state": state, "message": "1 are under way",
        "to": { "plan": "pro", "nodes": 0 }, "sessions": "wait", "maxParallel": 2,
        "stopOnFailure": true, "startAt": null, "createdAt": "2026-11-21T09:00:00Z",
        "finishedAt": is_over.then_some("2026-11-21T10:00:00Z"), "lines": lines,
    })
}

fn lines(state: &str) -> Value {
    let problem = (state == "failed")
        .then(|| json!({ "code": "plan-change-blocked", "detail": "cpu 9 of 8", "hint": "grow" }));
    json!([
        { "name": "acme", "state": "running", "operation": "op_1", "problem": null },
        { "name": "globex", "state": state, "operation": null, "problem": problem },
    ])
}

fn planned() -> Value {
    json!({
        "id": "op_7", "from": { "plan": "starter", "nodes": 0 }, "to": { "plan": "pro", "nodes": 0 },
        "createdAt": "2026-11-21T09:00:00Z", "preview": null,
        "planned": { "state": "waiting", "startAt": "2026-12-01T02:00:00Z", "batch": null, "problem": null },
    })
}

#[tokio::test]
async fn a_batch_is_sent_as_it_was_asked_for_with_a_key_and_shown_line_by_line() {
    let server = Server::start(|_, _| json_answer(201, &batch("running", &lines("failed")))).await;
    let create = [
        "plan",
        "batch",
        "create",
        "acme",
        "globex",
        "--tenants-on",
        "starter",
        "--to",
        "pro",
        "--max-parallel",
        "3",
        "--stop-on-failure=false",
        "--at",
        "2026-12-01T03:00:00+01:00",
        "--name",
        "spring",
    ];
    let ended = warren(&server.url, &create).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let asked = &server.asked()[0];
    assert_eq!(asked.line(), "POST /api/v1/plan-change-batches");
    assert!(asked.headers.contains_key("idempotency-key"), "a lost answer makes no second batch");
    let expected = json!({
        "tenants": ["acme", "globex"], "selector": { "plan": "starter" }, "plan": "pro",
        "sessions": "own", "maxParallel": 3, "stopOnFailure": false,
        "startAt": "2026-12-01T02:00:00Z", "name": "spring",
    });
    assert_eq!(asked.json(), expected);
    for word in ["spring", "op_1", "plan-change-blocked: cpu 9 of 8 (grow)"] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
    let name = warren(&server.url, &["plan", "batch", "get", "batch_1", "-o", "name"]).await;
    assert_eq!(name.stdout, "plan-change-batch/batch_1\n");
    for wrong in [
        &["plan", "batch", "create", "--to", "pro"][..],
        &["plan", "batch", "create", "acme", "--to", "pro", "--at", "soon"],
        &["plan", "change", "acme", "--to", "pro", "--at", "2026-12-01T02:00:00Z", "--wait"],
    ] {
        let ended = warren(&server.url, wrong).await;
        assert_eq!(ended.code, 2, "{wrong:?}: {}", ended.stderr);
    }
}

/// How much room there is, of which memory is the tightest.
fn capacity(memory: &str) -> Value {
    json!({ "tightest": "memory", "bounds": [
        { "resource": "memory", "unit": "machines", "needed": 4, "free": 3, "verdict": memory,
          "detail": "room for 3 machines; 4 to be made" },
        { "resource": "storage", "unit": "machines", "needed": 4, "free": null,
          "verdict": "unknown", "detail": "nobody knows" },
    ] })
}

#[tokio::test]
async fn a_dry_run_shows_the_sums_and_who_is_in_the_way() {
    let preview = json!({
        "id": "sha256:0", "from": { "plan": "starter", "nodes": 0 }, "to": { "plan": "pro", "nodes": 0 },
        "priceDelta": 6000, "machinesMade": 0, "machinesFreed": 0, "restarts": false,
        "apiAway": null, "waves": [], "sessions": [], "blockers": [],
    });
    let busy =
        json!({ "code": "tenant-busy", "detail": "operation op_1 is not over", "hint": "wait" });
    let foreseen = json!({
        "sums": {
            "tenants": 2, "priceDelta": 6000, "machinesMade": 0, "machinesFreed": 0, "blocked": 1,
            "blockers": [{ "code": "tenant-busy", "count": 1 }],
            "capacity": capacity("short"),
        },
        "lines": [
            { "name": "acme", "preview": preview, "problem": null },
            { "name": "globex", "preview": null, "problem": busy },
        ],
    });
    let server = Server::start(move |_, _| json_answer(200, &foreseen)).await;
    let arguments = ["plan", "batch", "create", "acme", "globex", "--to", "pro", "--dry-run"];
    let ended = warren(&server.url, &arguments).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(server.asked()[0].line().ends_with("?dryRun=true"));
    let room = "memory, short, the tightest: room for 3 machines; 4 to be made";
    for word in ["+60.00", "1 tenants: 1 tenant-busy", "operation op_1 is not over", room] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn a_dry_run_of_one_change_tells_the_room_and_who_may_begin_it() {
    let why = "the role admin may see what a change would do; an operator or owner must begin it";
    let preview = json!({
        "id": "sha256:0", "from": { "plan": "pro", "nodes": 0 },
        "to": { "plan": "dedicated-s", "nodes": 4 }, "priceDelta": 6000, "machinesMade": 4,
        "machinesFreed": 0, "restarts": true, "apiAway": null, "waves": [], "sessions": [],
        "capacity": capacity("doubtful"), "blockers": [],
        "approval": { "mayBegin": ["operator", "owner"], "reason": why },
    });
    let server = Server::start(move |_, _| json_answer(200, &preview)).await;
    let arguments = ["plan", "change", "acme", "--to", "dedicated-s", "--nodes", "4", "--dry-run"];
    let ended = warren(&server.url, &arguments).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let memory = "memory, doubtful, the tightest: room for 3 machines; 4 to be made";
    let storage = "storage, unknown: nobody knows";
    for word in [memory, storage, why, "4 made, 0 freed"] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn waiting_for_a_batch_tells_how_it_ended() {
    let server = Server::start(|asked, number| match (&asked.method, number) {
        (&Method::POST, _) => json_answer(201, &batch("waiting", &lines("waiting"))),
        (_, 1) => json_answer(200, &batch("running", &lines("waiting"))),
        _ => json_answer(200, &batch("failed", &lines("failed"))),
    })
    .await;
    let arguments = ["plan", "batch", "create", "acme", "--to", "pro", "--wait"];
    let ended = warren(&server.url, &arguments).await;
    assert_eq!(ended.code, 8, "{}", ended.stderr);
    assert!(ended.stderr.contains("cpu 9 of 8"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: warren plan batch get batch_1"), "{}", ended.stderr);
    let server =
        Server::start(|_, _| json_answer(202, &batch("cancelling", &lines("cancelled")))).await;
    let ended = warren(&server.url, &["plan", "batch", "cancel", "batch_1"]).await;
    assert_eq!(server.asked()[0].line(), "POST /api/v1/plan-change-batches/batch_1/cancel");
    let note = "acme goes on to its end; take it back: warren plan cancel acme op_1";
    assert!(ended.stderr.contains(note), "{}", ended.stderr);
}

#[tokio::test]
async fn a_change_for_later_is_shown_with_its_time_and_the_way_back() {
    let server = Server::start(|asked, _| match (&asked.method, asked.uri.path()) {
        (&Method::GET, _) => json_answer(200, &json!({ "items": [planned()] })),
        (_, path) if path.ends_with("/cancel") => {
            let mut change = planned();
            change["planned"]["state"] = "cancelled".into();
            json_answer(202, &change)
        }
        _ => json_answer(202, &planned()),
    })
    .await;
    let change = ["plan", "change", "acme", "--to", "pro", "--at", "2026-12-01T02:00:00Z"];
    let ended = warren(&server.url, &change).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(server.asked()[0].json()["startAt"], "2026-12-01T02:00:00Z");
    let state = "waiting, begins 2026-12-01T02:00:00Z";
    assert!(ended.stdout.contains(state), "{}", ended.stdout);
    assert!(ended.stderr.contains("warren plan cancel acme op_7"), "{}", ended.stderr);
    let listed = warren(&server.url, &["plan", "changes", "acme"]).await;
    assert!(listed.stdout.contains(state), "{}", listed.stdout);
    let back = warren(&server.url, &["plan", "cancel", "acme", "op_7"]).await;
    assert_eq!(back.code, 0, "{}", back.stderr);
    assert!(back.stdout.contains("cancelled"), "{}", back.stdout);

    let begun = Server::start(|_, _| {
        json_answer(202, &json!({ "operation": operation("running", "running") }))
    })
    .await;
    let now = warren(&begun.url, &["plan", "change", "acme", "--to", "pro", "-o", "name"]).await;
    assert_eq!(now.stdout, "operation/op_1\n", "{}", now.stderr);
    assert_eq!(begun.asked()[0].json().get("startAt"), None);
}

#[tokio::test]
async fn volumes_are_copied_if_that_is_asked_for_and_a_preview_says_which_and_how_large() {
    let preview = json!({
        "id": "sha256:1", "from": { "plan": "pro", "nodes": 0 },
        "to": { "plan": "dedicated-s", "nodes": 1 }, "priceDelta": 100, "machinesMade": 1,
        "machinesFreed": 0, "restarts": true, "apiAway": null, "waves": [], "sessions": [],
        "movedVolumes": [{ "claim": "apps/data", "size": 1 << 30, "outcome": "copy" }],
        "blockers": [],
    });
    let server = Server::start(move |_, _| json_answer(200, &preview)).await;
    let words = ["plan", "change", "acme", "--to", "dedicated-s", "--dry-run"];
    let ended = warren(&server.url, &[&words[..], &["--volumes", "copy"]].concat()).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for word in ["apps/data", "up to 1Gi", "its pods are down meanwhile"] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
    warren(&server.url, &words).await;
    let asked = server.asked();
    let said: Vec<_> = asked.iter().map(|asked| asked.json()["volumes"].clone()).collect();
    assert_eq!(said, [json!("copy"), json!(null)]);
}
