//! Tenants that move to another plan.

use crate::harness::{Mood, TestApp, TestTenant};
use axum::http::{Method, StatusCode};
use domain::{Bound, Capacity, Resource, Survey, Unit};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::atomic::Ordering};

async fn ready(server: &TestApp) -> TestTenant {
    let tenant = server.tenant("acme").await;
    server.make_ready(&tenant).await;
    tenant
}

fn path(tenant: &TestTenant) -> String {
    format!("{}/plan-changes", tenant.path)
}

async fn preview(server: &TestApp, tenant: &TestTenant, body: Value) -> Value {
    let answer = server.post(&format!("{}?dryRun=true", path(tenant)), body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_does_nothing() {
    let server = TestApp::new().await;
    let tenant = ready(&server).await;
    let before = server.get(&tenant.path).await.json();
    let own = preview(&server, &tenant, json!({ "plan": "dedicated-s", "nodes": 2 })).await;
    assert_eq!(own["from"], json!({ "plan": "starter", "nodes": 0 }));
    assert_eq!(own["to"], json!({ "plan": "dedicated-s", "nodes": 2 }));
    assert_eq!((&own["machinesMade"], &own["restarts"]), (&json!(2), &json!(true)));
    assert_eq!(own["priceDelta"], 2 * 12_000 - 2_000);
    assert_eq!((&own["apiAway"], &own["blockers"]), (&json!(null), &json!([])));
    let larger = preview(&server, &tenant, json!({ "plan": "pro" })).await;
    assert_eq!((&larger["machinesMade"], &larger["restarts"]), (&json!(0), &json!(false)));
    assert_eq!(server.get(&tenant.path).await.json(), before);
    assert_eq!(server.get(&path(&tenant)).await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_change_begins_once_is_halted_goes_on_and_is_taken_back() {
    let server = TestApp::new().await;
    let tenant = ready(&server).await;
    let seen = preview(&server, &tenant, json!({ "plan": "pro" })).await;
    let begun = server.post(&path(&tenant), json!({ "plan": "pro", "preview": seen["id"] })).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text());
    let (location, begun) = (begun.header("location").to_owned(), begun.json());
    assert_eq!(server.get(&location).await.json(), begun);
    assert_eq!(begun["operation"]["kind"], "plan-change");
    let steps = begun["operation"]["steps"].as_array().expect("steps").iter();
    let steps: Vec<_> = steps.map(|step| step["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(steps, ["check", "nodes", "placement", "move", "verify", "commit", "release"]);

    let second = server.post(&path(&tenant), json!({ "plan": "enterprise" })).await;
    assert_eq!(second.problem(), (409, "tenant-busy".to_owned()));
    let id = begun["id"].as_str().expect("an id");
    assert!(second.text().contains(id), "the one that runs is named: {}", second.text());

    for (verb, is_paused) in [("pause", true), ("resume", false)] {
        let answer = server.post(&format!("{location}/{verb}"), json!({})).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        assert_eq!(answer.json()["pausedAt"].is_string(), is_paused, "{verb}");
    }
    for _ in 0..2 {
        let answer = server.post(&format!("{location}/cancel"), json!({})).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        assert!(answer.json()["operation"]["cancelRequestedAt"].is_string(), "{}", answer.text());
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_the_field_or_the_blocker() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let early = server.post(&path(&tenant), json!({ "plan": "pro" })).await;
    assert_eq!(early.problem(), (409, "tenant-not-ready".to_owned()));
    server.make_ready(&tenant).await;
    for (body, field) in [
        (json!({ "plan": "starter" }), "/plan"),
        (json!({ "plan": "gold" }), "/plan"),
        (json!({ "plan": "pro", "nodes": 3 }), "/nodes"),
        (json!({ "plan": "dedicated-s", "nodes": 0 }), "/nodes"),
        (json!({ "plan": "dedicated-s", "nodes": 101 }), "/nodes"),
        (json!({ "plan": "pro", "sessions": "kill" }), "/sessions"),
        (json!({ "plan": "pro", "volumes": "move" }), "/volumes"),
        (
            json!({ "plan": "pro", "volumes": "copy", "startAt": "2027-01-16T00:00:00Z" }),
            "/volumes",
        ),
        (json!({ "plan": "pro", "preview": "yes" }), "/preview"),
        (json!({ "nodes": 1 }), "/plan"),
    ] {
        let refused = server.post(&path(&tenant), body.clone()).await;
        assert_eq!(refused.problem(), (422, "invalid-input".to_owned()), "{body}");
        assert_eq!(refused.json()["errors"][0]["field"], field, "{body}");
    }
    let survey = Survey {
        volumes: vec!["default/data".to_owned()],
        unmanaged: vec!["default/debug".to_owned()],
        ..Survey::default()
    };
    *server.world.survey.lock().expect("no test panics with it") = survey;
    let wish = json!({ "plan": "dedicated-s" });
    let seen = preview(&server, &tenant, wish.clone()).await;
    let blockers = seen["blockers"].as_array().expect("blockers").iter();
    let codes: Vec<_> = blockers.map(|one| one["code"].as_str().unwrap_or_default()).collect();
    assert_eq!(codes, ["volumes-in-the-way", "pods-without-controller"]);
    let blocked = server.post(&path(&tenant), wish.clone()).await;
    assert_eq!(blocked.problem(), (409, "plan-change-blocked".to_owned()));
    let text = blocked.text();
    assert!(text.contains("default/data") && text.contains("default/debug"), "{text}");

    *server.world.survey.lock().expect("no test panics with it") = Survey::default();
    let outdated = json!({ "plan": "dedicated-s", "preview": seen["id"] });
    let refused = server.post(&path(&tenant), outdated).await;
    assert_eq!(refused.problem(), (409, "plan-change-outdated".to_owned()));
    let listed = server.get(&path(&tenant)).await.json();
    assert_eq!(listed["items"], json!([]), "nothing was begun");
    server.world.set(Mood::Away);
    let away = server.post(&path(&tenant), wish).await;
    assert_eq!(away.problem(), (503, "cluster-unreachable".to_owned()));
}

#[tokio::test]
async fn volumes_that_may_be_copied_are_in_nobodys_way_and_what_they_hold_is_promised() {
    let server = TestApp::new().await;
    let tenant = ready(&server).await;
    let survey = |sizes: &[(&str, u64)], uncopied: &[&str]| Survey {
        volumes: sizes.iter().map(|(claim, _)| (*claim).to_owned()).collect(),
        sizes: sizes.iter().map(|(claim, size)| ((*claim).to_owned(), *size)).collect(),
        uncopied: uncopied.iter().map(|claim| ((*claim).to_owned(), "why".to_owned())).collect(),
        ..Survey::default()
    };
    let set = |found| *server.world.survey.lock().expect("no test panics with it") = found;
    set(survey(&[("apps/data", 1 << 30)], &[]));
    let stop = preview(&server, &tenant, json!({ "plan": "dedicated-s" })).await;
    assert_eq!(stop["blockers"][0]["code"], "volumes-in-the-way");
    let moved = json!([{ "claim": "apps/data", "size": 1 << 30, "outcome": "stop" }]);
    assert_eq!(stop["movedVolumes"], moved);

    let wish = json!({ "plan": "dedicated-s", "volumes": "copy" });
    let seen = preview(&server, &tenant, wish.clone()).await;
    assert_eq!((&seen["blockers"], &seen["volumes"]), (&json!([]), &json!(["apps/data"])));
    assert_eq!(seen["movedVolumes"][0]["outcome"], "copy");

    set(survey(&[("apps/data", 1 << 30), ("apps/block", 1)], &["apps/block"]));
    let blocked = preview(&server, &tenant, wish.clone()).await;
    assert_eq!(blocked["blockers"][0]["code"], "volume-cannot-be-copied");
    assert!(
        blocked["blockers"][0]["detail"].as_str().is_some_and(|text| text.contains("apps/block"))
    );

    set(survey(&[("apps/data", 1 << 30), ("apps/more", 1)], &[]));
    let mut relied = wish.clone();
    relied["preview"] = seen["id"].clone();
    let refused = server.post(&path(&tenant), relied).await;
    assert_eq!(refused.problem(), (409, "plan-change-outdated".to_owned()), "more would be down");
    let begun = server.post(&path(&tenant), wish).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text());
    assert_eq!(begun.json()["volumes"], "copy");
}

/// What is in the way and what becomes of it, by the word for all sessions, if there is one.
async fn moved(server: &TestApp, tenant: &TestTenant, word: Option<&str>) -> Vec<Value> {
    let mut wish = json!({ "plan": "dedicated-s" });
    if let Some(word) = word {
        wish["sessions"] = word.into();
    }
    let seen = preview(server, tenant, wish).await;
    let moved = seen["movedSessions"].as_array().expect("a list").clone();
    let named: Vec<_> = moved.iter().map(|one| one["session"].clone()).collect();
    assert_eq!(seen["sessions"], json!(named));
    moved
}

#[tokio::test]
async fn a_preview_says_of_each_session_in_the_way_what_becomes_of_it() {
    let server = TestApp::new().await;
    let tenant = ready(&server).await;
    let (path, mut runs) = (format!("{}/sessions", tenant.path), BTreeMap::new());
    let mut named = Vec::new();
    for word in ["wait", "stop", "restart"] {
        let body = json!({ "image": "agent:1", "command": ["/agent"], "onDrain": word });
        let id = server.post(&path, body).await.json()["id"].clone();
        let session = id.as_str().expect("an id").parse().expect("an id");
        runs.insert(server.run(session).await, "old".to_owned());
        named.push(id);
    }
    // This one is where it may stay.
    let elsewhere = server.session(&tenant).await;
    server.run(elsewhere).await;
    let survey = Survey { runs, ..Survey::default() };
    *server.world.survey.lock().expect("no test panics with it") = survey;
    for (word, outcomes) in [
        (None, ["wait", "stop", "restart"]),
        (Some("own"), ["wait", "stop", "restart"]),
        (Some("wait"), ["wait"; 3]),
        (Some("stop"), ["stop"; 3]),
    ] {
        let told = moved(&server, &tenant, word).await;
        let expected = named.iter().zip(["wait", "stop", "restart"]).zip(outcomes);
        let expected: Vec<_> = expected
            .map(|((id, own), outcome)| {
                json!({ "session": id, "state": "running", "onDrain": own, "outcome": outcome })
            })
            .collect();
        assert_eq!(told, expected, "{word:?}");
    }
    let begun =
        server.post(&format!("{}/plan-changes", tenant.path), json!({ "plan": "pro" })).await;
    assert_eq!(begun.json()["sessions"], "own", "{}", begun.text());
}

/// Something of which there is so much for machines.
pub(crate) fn room(resource: Resource, free: Option<u64>, at_most: Option<u64>) -> Bound {
    let detail = free.map_or("nobody knows".to_owned(), |free| format!("room for {free} machines"));
    let hint = "add nodes".to_owned();
    Bound { resource, unit: Unit::Machines, needed: 0, free, at_most, detail, hint }
}

pub(crate) fn tell(server: &TestApp, bounds: Vec<Bound>) {
    *server.world.capacity.lock().expect("no test panics with it") = Capacity { bounds };
}

#[tokio::test]
async fn a_preview_tells_the_room_that_there_is_and_what_is_tightest() {
    let server = TestApp::new().await;
    let tenant = ready(&server).await;
    let wish = json!({ "plan": "dedicated-s", "nodes": 2 });
    let left = |memory| {
        let storage = room(Resource::Storage, Some(6), None);
        tell(&server, vec![room(Resource::Memory, Some(memory), Some(memory)), storage]);
    };
    left(3);
    let seen = preview(&server, &tenant, wish.clone()).await;
    let capacity = &seen["capacity"];
    assert_eq!((&capacity["tightest"], &seen["blockers"]), (&json!("memory"), &json!([])));
    let memory = json!({
        "resource": "memory", "unit": "machines", "needed": 2, "free": 3, "verdict": "enough",
        "detail": "room for 3 machines; 2 to be made",
    });
    assert_eq!(capacity["bounds"][0], memory);
    left(2);
    let later = preview(&server, &tenant, wish.clone()).await;
    assert_eq!(later["id"], seen["id"], "it fits as before");

    left(1);
    let full = preview(&server, &tenant, wish.clone()).await;
    let blocker = json!({
        "code": "no-capacity",
        "detail": "there is not enough room: room for 1 machines; 2 to be made",
        "hint": "add nodes",
    });
    assert_eq!(full["blockers"], json!([blocker]));
    assert_ne!(full["id"], seen["id"], "it does not fit any more");
    left(0);
    let fuller = preview(&server, &tenant, wish.clone()).await;
    assert_eq!(fuller["id"], full["id"], "it does not fit as before");
    let refused = server.post(&path(&tenant), wish).await;
    assert_eq!(refused.problem(), (409, "plan-change-blocked".to_owned()));
    assert!(refused.text().contains("room for 0 machines"), "{}", refused.text());
}

#[tokio::test]
async fn nobody_who_cannot_look_lets_a_change_begin_that_needs_room() {
    let server = TestApp::new().await;
    let tenant = ready(&server).await;
    server.world.is_mute.store(true, Ordering::Relaxed);
    let wish = json!({ "plan": "dedicated-s", "nodes": 2 });
    let unknown = preview(&server, &tenant, wish).await;
    assert_eq!(unknown["blockers"][0]["code"], "capacity-unknown");
    assert_eq!(unknown["capacity"]["bounds"], json!([]));
    let text = unknown.to_string();
    assert!(text.contains("warren doctor proxmox") && !text.contains("10.0.0.2"), "{text}");
    let nothing = preview(&server, &tenant, json!({ "plan": "pro" })).await;
    assert_eq!(nothing["blockers"], json!([]), "it needs no room");
}

#[tokio::test]
async fn room_that_is_doubtful_or_unknown_is_told_and_refuses_nobody() {
    let server = TestApp::new().await;
    let tenant = ready(&server).await;
    let wish = json!({ "plan": "dedicated-s", "nodes": 2 });
    let thin = room(Resource::Storage, Some(1), None);
    tell(&server, vec![room(Resource::Memory, None, None), thin]);
    let seen = preview(&server, &tenant, wish.clone()).await;
    assert_eq!(seen["blockers"], json!([]));
    let capacity = &seen["capacity"];
    let memory = (&capacity["bounds"][0]["verdict"], &capacity["bounds"][0]["free"]);
    assert_eq!(memory, (&json!("unknown"), &Value::Null));
    assert_eq!(capacity["bounds"][1]["verdict"], "doubtful");
    assert_eq!(capacity["tightest"], "storage");
    let begun = server.post(&path(&tenant), wish).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text());
}

#[tokio::test]
async fn an_owner_changes_the_plan_and_an_admin_only_looks() {
    let server = TestApp::new().await;
    let tenant = ready(&server).await;
    let admin = server.token(&tenant.path, "admin").await;
    let wish = Some(json!({ "plan": "pro" }));
    let refused = server.send(&admin, Method::POST, &path(&tenant), wish.clone()).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    let dry = format!("{}?dryRun=true", path(&tenant));
    let foreseen = server.send(&admin, Method::POST, &dry, wish.clone()).await;
    assert_eq!(foreseen.status, StatusCode::OK, "{}", foreseen.text());
    let reason =
        "the role admin may see what a change would do; an operator or owner must begin it";
    let approval = json!({ "mayBegin": ["operator", "owner"], "reason": reason });
    assert_eq!(foreseen.json()["approval"], approval);
    let foreseen = server.send(&tenant.owner, Method::POST, &dry, wish.clone()).await;
    assert_eq!(foreseen.json()["approval"]["reason"], Value::Null, "an owner may");
    let developer = server.token(&tenant.path, "developer").await;
    let refused = server.send(&developer, Method::POST, &dry, wish.clone()).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    let begun = server.send(&tenant.owner, Method::POST, &path(&tenant), wish).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text());
    let seen = server.send(&admin, Method::GET, &path(&tenant), None).await;
    assert_eq!(seen.json()["items"].as_array().map(Vec::len), Some(1));
    let other = server.tenant("other").await;
    let id = begun.json()["id"].as_str().expect("an id").to_owned();
    let theirs = format!("{}/{id}", path(&other));
    let hidden = server.send(&other.owner, Method::GET, &theirs, None).await;
    assert_eq!(hidden.problem(), (404, "not-found".to_owned()));
}
