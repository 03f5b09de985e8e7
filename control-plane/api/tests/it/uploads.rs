//! Inputs that are uploaded in pieces.

use crate::harness::{Answer, TestApp, TestTenant, digest, request};
use application::housekeeping::Housekeeping;
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use futures::stream;
use std::io;

const WHOLE: &[u8] = b"hello, wide world";

fn path(tenant: &TestTenant, whole: &[u8]) -> String {
    format!("{}/uploads/{}", tenant.path, digest(whole))
}

async fn progress(server: &TestApp, tenant: &TestTenant) -> (String, String) {
    let answer = server.send(&tenant.owner, Method::HEAD, &path(tenant, WHOLE), None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    (answer.header("upload-offset").to_owned(), answer.header("upload-complete").to_owned())
}

async fn send(
    server: &TestApp,
    tenant: &TestTenant,
    offset: usize,
    complete: &str,
    body: impl Into<Body>,
) -> Answer {
    let request = request(&tenant.owner, Method::PATCH, &path(tenant, WHOLE))
        .header("upload-offset", offset)
        .header("upload-length", WHOLE.len())
        .header("upload-complete", complete);
    server.call(request.body(body.into())).await
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off_and_is_an_input_when_it_is_whole() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let at = |offset: &str, complete: &str| (offset.to_owned(), complete.to_owned());
    assert_eq!(progress(&server, &tenant).await, at("0", "?0"));
    let more = send(&server, &tenant, 0, "?0", "hello").await;
    assert_eq!((more.status, more.header("upload-offset")), (StatusCode::NO_CONTENT, "5"));
    let wrong = send(&server, &tenant, 0, "?0", "hello").await;
    assert_eq!(wrong.problem(), (409, "upload-offset".to_owned()));
    assert_eq!(wrong.header("upload-offset"), "5");

    let broken = stream::iter([Ok(", wide"), Err(io::Error::other("gone"))]);
    let broken = send(&server, &tenant, 5, "?1", Body::from_stream(broken)).await;
    assert_eq!(broken.problem(), (400, "body-interrupted".to_owned()));
    assert_eq!(progress(&server, &tenant).await, at("11", "?0"), "what came is kept");
    let blob = format!("{}/blobs/{}", tenant.path, digest(WHOLE));
    let is_there = async || server.send(&tenant.owner, Method::HEAD, &blob, None).await.status;
    assert_eq!(is_there().await, StatusCode::NOT_FOUND);

    let rest = send(&server, &tenant, 11, "?1", &WHOLE[11..]).await;
    assert_eq!((rest.status, &rest.json()["size"]), (StatusCode::CREATED, &17.into()));
    assert_eq!(is_there().await, StatusCode::OK);
    assert_eq!(progress(&server, &tenant).await, at("17", "?1"));
    assert_eq!(server.files().len(), 1, "{:#?}", server.files());
}

#[tokio::test]
async fn a_piece_says_where_it_belongs_and_a_wrong_whole_is_not_kept() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let bare = server.send(&tenant.owner, Method::PATCH, &path(&tenant, WHOLE), None).await;
    assert_eq!(bare.problem(), (400, "invalid-header".to_owned()));
    assert_eq!(bare.json()["errors"].as_array().map(Vec::len), Some(3));
    let wrong = send(&server, &tenant, 0, "?1", "jello, wide world").await;
    assert_eq!(wrong.problem(), (422, "digest-mismatch".to_owned()));
    let long = send(&server, &tenant, 0, "?1", "more than it was said to be").await;
    assert_eq!(long.problem(), (413, "body-too-large".to_owned()));
    assert_eq!(server.files(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_unfinished_takes_room_and_ends_a_day_after_its_last_piece() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    let there = domain::Digest::of_sha256([1; 32]);
    server.app.store.blob_put(tenant.id, &there, (2 << 30) - 20).await.expect("there is room");
    assert_eq!(send(&server, &tenant, 0, "?0", "hello").await.status, StatusCode::NO_CONTENT);
    let other = format!("{}/blobs/{}", tenant.path, digest(b"sixteen letters!"));
    let put = async || {
        let request = request(&tenant.owner, Method::PUT, &other).header("content-length", 16);
        server.call(request.body(Body::from("sixteen letters!"))).await
    };
    assert_eq!(put().await.problem(), (422, "quota-exceeded".to_owned()));
    let partial = server.files().pop().expect("the piece");
    let then = std::time::SystemTime::from(jiff::Timestamp::UNIX_EPOCH);
    let file = std::fs::File::options().append(true).open(&partial).expect("it is there");
    file.set_modified(then).expect("its time can be set");
    Housekeeping::default().look(&server.app).await.expect("everything can be removed");
    assert_eq!(server.files(), Vec::<String>::new());
    assert_eq!(put().await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn nothing_unfinished_is_left_of_a_removed_tenant() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    assert_eq!(send(&server, &tenant, 0, "?0", "hello").await.status, StatusCode::NO_CONTENT);
    server.send(&tenant.owner, Method::DELETE, &tenant.path, None).await;
    let refused = send(&server, &tenant, 5, "?1", &WHOLE[5..]).await;
    assert_eq!(refused.problem(), (409, "tenant-deleting".to_owned()));
    server.app.store.tenant_remove(tenant.id, Vec::new(), None).await.expect("it was asked for");
    Housekeeping::default().look(&server.app).await.expect("everything can be removed");
    assert_eq!(server.files(), Vec::<String>::new());
}
