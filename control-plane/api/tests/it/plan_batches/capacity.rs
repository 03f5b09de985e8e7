//! Room for many changes of plan.

use super::{BATCHES, all_ready, line, look, made, ready, states};
use crate::{
    harness::TestApp,
    plan_changes::{room, tell},
};
use domain::{Clock as _, Resource};
use jiff::ToSpan as _;
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};

#[tokio::test]
async fn the_preview_of_a_batch_tells_the_room_for_all_of_it_and_looks_once() {
    let server = TestApp::new().await;
    let (_, names) = all_ready(&server, 3).await;
    tell(&server, vec![room(Resource::Addresses, Some(5), Some(5))]);
    let batch = json!({ "tenants": names, "plan": "dedicated-s", "nodes": 2 });
    let seen = server.post(&format!("{BATCHES}?dryRun=true"), batch.clone()).await.json();
    for line in seen["lines"].as_array().expect("lines") {
        assert_eq!(line["preview"]["capacity"]["bounds"][0]["verdict"], "enough", "{line}");
        assert_eq!(line["preview"]["blockers"], json!([]), "each of them fits alone");
    }
    let sums = &seen["sums"];
    assert_eq!((&sums["machinesMade"], &sums["blocked"]), (&json!(6), &json!(0)));
    let all = &sums["capacity"]["bounds"][0];
    assert_eq!((&all["needed"], &all["verdict"]), (&json!(6), &json!("short")), "{sums}");
    assert_eq!(server.world.looks_for_room.load(Ordering::Relaxed), 1);

    tell(&server, vec![room(Resource::Addresses, Some(1), Some(1))]);
    let seen = server.post(&format!("{BATCHES}?dryRun=true"), batch).await.json();
    let sums = &seen["sums"];
    assert_eq!(sums["blockers"], json!([{ "code": "no-capacity", "count": 3 }]));
    assert_eq!(sums["capacity"]["bounds"], json!([]), "nobody could begin: {sums}");
}

#[tokio::test]
async fn a_change_whose_room_nobody_can_tell_waits_until_somebody_can() {
    let server = TestApp::new().await;
    let (_, names) = all_ready(&server, 1).await;
    let batch = made(&server, json!({ "tenants": names, "plan": "dedicated-s" })).await;
    server.world.is_mute.store(true, Ordering::Relaxed);
    let again = look(&server).await;
    assert!(again <= Duration::from_secs(30), "{again:?}: nobody tells that it answers again");
    assert_eq!(states(&server, &batch).await, ["waiting"]);
    assert_eq!(line(&server, &batch, 0).await["problem"]["code"], "plan-change-blocked");
    server.world.is_mute.store(false, Ordering::Relaxed);
    look(&server).await;
    assert_eq!(states(&server, &batch).await, ["running"]);
}

#[tokio::test]
async fn what_was_promised_for_later_is_not_broken_by_a_silence() {
    let server = TestApp::new().await;
    let tenant = ready(&server, "acme").await;
    let path = format!("{}/plan-changes", tenant.path);
    let seen = server.post(&format!("{path}?dryRun=true"), json!({ "plan": "dedicated-s" })).await;
    let at = (server.clock.now() + 5.minutes()).to_string();
    let wish = json!({ "plan": "dedicated-s", "startAt": at, "preview": seen.json()["id"] });
    let planned = server.post(&path, wish).await.json();
    let planned = format!("{path}/{}", planned["id"].as_str().expect("an id"));
    server.clock.forward(5);
    server.world.is_mute.store(true, Ordering::Relaxed);
    look(&server).await;
    assert_eq!(server.get(&planned).await.json()["planned"]["state"], "waiting");
    server.world.is_mute.store(false, Ordering::Relaxed);
    look(&server).await;
    assert_eq!(server.get(&planned).await.json()["operation"]["kind"], "plan-change");
}
