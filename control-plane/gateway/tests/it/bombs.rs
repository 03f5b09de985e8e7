//! What is small and claims or becomes much is refused by name, and what came before it stays.

use crate::{
    endpoint::{answer, world_with_run},
    world::sha256,
};
use application::{Artifact, blobs::BlobPath};
use reqwest::{Method, StatusCode};

const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

#[tokio::test]
async fn a_body_is_never_unpacked() {
    let (_world, _run, runner) = world_with_run().await;
    for (method, path) in
        [(Method::POST, "/logs"), (Method::PUT, "/result"), (Method::PUT, "/artifacts/a")]
    {
        let request = runner.request(method, path).header("content-encoding", "gzip").body("x");
        let (status, problem) = answer(request).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
        assert_eq!(problem["code"], "unsupported-encoding");
    }
}

#[tokio::test]
async fn a_result_is_refused_when_it_is_nested_too_deep_for_its_readers() {
    let (world, run, runner) = world_with_run().await;
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let put = async |json: String| answer(runner.request(Method::PUT, "/result").body(json)).await;
    assert_eq!(put(nested(128)).await.0, StatusCode::CREATED);
    for depth in [129, 500_000] {
        let (status, problem) = put(nested(depth)).await;
        assert_eq!(status, UNPROCESSABLE);
        assert_eq!(problem["detail"], "a result is nested at most 128 deep");
    }
    let kept = world.app.blobs.get(&BlobPath::result(run.id)).await.expect("readable");
    assert_eq!(kept.expect("the good one").len(), 256);
}

#[tokio::test]
async fn artifacts_without_room_are_refused_before_they_are_sent() {
    let (world, run, runner) = world_with_run().await;
    let digest = sha256(b"bytes");
    let noted = |path: &str, size| Artifact {
        path: path.to_owned(),
        size,
        digest: digest.clone(),
        blob: BlobPath::artifact(run.id, &digest).to_string(),
    };
    let put = async |path: &str| {
        let request = runner.request(Method::PUT, &format!("/artifacts/{path}"));
        let request = request.header("X-Content-Sha256", digest.digits());
        answer(request.body("bytes")).await
    };
    let store = &world.app.store;
    store.artifact_put(run.id, noted("large", (1 << 30) - 4)).await.expect("noted");
    let (status, problem) = put("a").await;
    assert_eq!(status, UNPROCESSABLE);
    let told = "an artifact of 5 bytes has no room: 4 are left of 1073741824";
    assert_eq!(problem["detail"], told);
    assert_eq!(put("large").await.0, StatusCode::CREATED, "it replaces what was there");
    assert_eq!(put("a").await.0, StatusCode::CREATED);
    for number in 2..10_000 {
        store.artifact_put(run.id, noted(&number.to_string(), 0)).await.expect("noted");
    }
    let (status, problem) = put("b").await;
    assert_eq!(status, UNPROCESSABLE);
    assert_eq!(problem["detail"], "a run has at most 10000 artifacts");
    assert_eq!(put("a").await.0, StatusCode::CREATED, "what is there can be replaced");
}
