//! What is left over of nodes.

use crate::harness::TestApp;
use axum::http::{Method, StatusCode};
use domain::{OrphanKind, OrphanProof, Sighting, SweepLook, VmNumber};
use serde_json::{Value, json};

fn seen(name: &str, proof: OrphanProof, reason: &str) -> Sighting {
    Sighting {
        kind: OrphanKind::Machine,
        name: name.to_owned(),
        vm: Some(VmNumber(9000)),
        place: Some("pve1".to_owned()),
        storage: None,
        namespace: None,
        uid: None,
        size: None,
        proof,
        reason: reason.to_owned(),
        node: None,
    }
}

/// What the provisioner does when it finds these twice.
async fn report(server: &TestApp, sightings: Vec<Sighting>) {
    let look = SweepLook {
        area: "machines".to_owned(),
        sightings,
        obstacle: Some("pve2 is away".to_owned()),
    };
    for _ in 0..2 {
        server.app.store.orphan_note(std::slice::from_ref(&look)).await.expect("writable");
        server.clock.forward(5);
    }
}

async fn items(server: &TestApp) -> Vec<Value> {
    let list = server.get("/api/v1/orphans").await.json();
    list["items"].as_array().expect("items").clone()
}

#[tokio::test]
async fn what_is_ours_is_removed_when_an_operator_says_so() {
    let server = TestApp::new().await;
    assert_eq!(items(&server).await, [] as [Value; 0]);
    let looks = server.get("/api/v1/orphans/looks").await.json();
    assert_eq!(looks["items"], json!([]), "nobody has looked yet");
    report(&server, vec![seen("wn-one", OrphanProof::Ours, "all is proven")]).await;
    let found = &items(&server).await[0];
    assert_eq!(
        (&found["kind"], &found["vm"], &found["place"], &found["proof"], &found["state"]),
        (&json!("machine"), &json!(9000), &json!("pve1"), &json!("ours"), &json!("found"))
    );
    let looks = server.get("/api/v1/orphans/looks").await.json();
    assert_eq!(looks["items"][0]["area"], "machines");
    assert_eq!(looks["items"][0]["obstacle"], "pve2 is away");
    let id = found["id"].as_str().expect("an id");
    for _ in 0..2 {
        let asked = server.post(&format!("/api/v1/orphans/{id}/remove"), json!({})).await;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text());
        assert_eq!(asked.json()["state"], "asked");
    }
    let id = id.parse().expect("an orphan's id");
    server.app.store.orphan_end(id, Ok(())).await.expect("it was asked for");
    let late = server.post(&format!("/api/v1/orphans/{id}/remove"), json!({})).await;
    assert_eq!(late.problem(), (409, "orphan-over".to_owned()));
}

#[tokio::test]
async fn what_is_not_proven_is_refused_with_the_reason_and_what_to_do() {
    let server = TestApp::new().await;
    let strange = seen("strange", OrphanProof::Unproven, "no mark of this installation");
    let foreign = seen("foreign", OrphanProof::Foreign, "the mark of elsewhere");
    report(&server, vec![strange, foreign]).await;
    for (orphan, word, hint) in items(&server)
        .await
        .iter()
        .zip([
            ("no mark of this installation", "by hand"),
            ("the mark of elsewhere", "Whoever runs that installation"),
        ])
        .map(|(orphan, (word, hint))| (orphan, word, hint))
    {
        let id = orphan["id"].as_str().expect("an id");
        let refused = server.post(&format!("/api/v1/orphans/{id}/remove"), json!({})).await;
        assert_eq!(refused.problem(), (409, "orphan-not-ours".to_owned()));
        assert!(
            refused.text().contains(word) && refused.text().contains(hint),
            "{}",
            refused.text()
        );
    }
    assert_eq!(server.app.store.orphan_asked().await.expect("readable"), []);
    let never = format!("/api/v1/orphans/orph_{}/remove", "0".repeat(32));
    assert_eq!(server.post(&never, json!({})).await.problem(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn the_list_comes_in_pages_and_for_operators_only() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let names = ["wn-one", "wn-two", "wn-three"];
    report(&server, names.map(|name| seen(name, OrphanProof::Ours, "why")).into()).await;
    let mut path = "/api/v1/orphans?limit=2".to_owned();
    let mut found = Vec::new();
    for _ in 0..2 {
        let page = server.get(&path).await.json();
        let items = page["items"].as_array().expect("items").clone();
        found.extend(items.into_iter().map(|item| item["name"].as_str().unwrap_or("").to_owned()));
        path =
            format!("/api/v1/orphans?limit=2&cursor={}", page["nextCursor"].as_str().unwrap_or(""));
    }
    assert_eq!(found, names);
    let hidden = server.send(&tenant.owner, Method::GET, "/api/v1/orphans", None).await;
    assert_eq!(hidden.problem(), (404, "not-found".to_owned()));
}
