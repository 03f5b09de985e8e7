//! Artifacts that come in pieces.

use crate::{
    endpoint::{Runner, world_with_run},
    world::{NewRun, World, sha256},
};
use application::{
    blobs::{BlobPath, Owner},
    housekeeping::Housekeeping,
};
use futures::{StreamExt as _, join, stream};
use reqwest::{Body, Method, Response, StatusCode};
use std::{
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// How far Warren says that an artifact is, and whether it is kept.
async fn progress(runner: &Runner, bytes: &[u8]) -> (u64, bool) {
    let request = runner.request(Method::HEAD, "/artifacts/a");
    let request = request.header("x-content-sha256", sha256(bytes).digits());
    let answer = request.send().await.expect("the endpoint answers");
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    (offset(&answer), answer.headers()["upload-complete"] == "?1")
}

fn offset(answer: &Response) -> u64 {
    let offset = answer.headers()["upload-offset"].to_str().expect("text");
    offset.parse().expect("a number")
}

async fn send(
    runner: &Runner,
    whole: &[u8],
    offset: usize,
    is_last: bool,
    body: impl Into<Body>,
) -> reqwest::Result<Response> {
    let request = runner.request(Method::PATCH, "/artifacts/a");
    let request = request.header("x-content-sha256", sha256(whole).digits());
    let request = request.header("upload-offset", offset).header("upload-length", whole.len());
    let request = request.header("upload-complete", if is_last { "?1" } else { "?0" });
    request.body(body).send().await
}

#[tokio::test]
async fn an_artifact_goes_on_where_it_broke_off_and_is_kept_when_it_is_whole() {
    const WHOLE: &[u8] = b"hello, wide world";
    let (world, run, runner) = world_with_run().await;
    assert_eq!(progress(&runner, WHOLE).await, (0, false));
    let more = send(&runner, WHOLE, 0, false, "hello").await.expect("an answer");
    assert_eq!((more.status(), offset(&more)), (StatusCode::NO_CONTENT, 5));
    let wrong = send(&runner, WHOLE, 0, false, "hello").await.expect("an answer");
    assert_eq!((wrong.status(), offset(&wrong)), (StatusCode::CONFLICT, 5));

    let broken = stream::iter([Ok(", wide"), Err(io::Error::other("gone"))]);
    let broken = Body::wrap_stream(broken);
    assert!(send(&runner, WHOLE, 5, true, broken).await.is_err());
    let (there, _) = progress(&runner, WHOLE).await;
    assert!(there == 5 || there == 11, "{there}");
    assert_eq!(world.app.store.artifact_list(run.id).await.expect("readable"), []);

    let there = usize::try_from(there).expect("a few");
    let rest = send(&runner, WHOLE, there, true, &WHOLE[there..]).await.expect("an answer");
    assert_eq!(rest.status(), StatusCode::CREATED);
    assert_eq!(progress(&runner, WHOLE).await, (17, true));
    let kept = world.app.store.artifact_list(run.id).await.expect("readable");
    let bytes = world.app.blobs.get(&BlobPath::stored(&kept[0].blob)).await.expect("readable");
    assert_eq!(bytes.expect("it is there"), WHOLE);
    let none = world.app.blobs.partial_usage(&Owner::run(run.id), &sha256(b"")).await;
    assert_eq!(none.expect("readable").count, 0);
}

#[tokio::test]
async fn pieces_of_another_whole_are_thrown_away_at_the_end() {
    const WHOLE: &[u8] = b"what was promised";
    let (world, run, runner) = world_with_run().await;
    let more = send(&runner, WHOLE, 0, false, "what was ").await.expect("an answer");
    assert_eq!(more.status(), StatusCode::NO_CONTENT);
    let wrong = send(&runner, WHOLE, 9, true, "achieved").await.expect("an answer");
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(progress(&runner, WHOLE).await, (0, false));
    let long = send(&runner, WHOLE, 0, true, "much more than was promised").await;
    assert_eq!(long.expect("an answer").status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(progress(&runner, WHOLE).await, (0, false));
    assert_eq!(world.app.store.artifact_list(run.id).await.expect("readable"), []);
}

#[tokio::test]
async fn whoever_goes_on_takes_over_from_a_connection_that_hangs() {
    const WHOLE: &[u8] = b"hello, world";
    let (world, run, runner) = world_with_run().await;
    let some = stream::iter([Ok::<_, io::Error>("hello")]);
    let hangs = Body::wrap_stream(some.chain(stream::pending()));
    let goes_on = async {
        let file = partial(&world, &run, WHOLE);
        while std::fs::metadata(&file).map_or(0, |metadata| metadata.len()) < 5 {
            tokio::task::yield_now().await;
        }
        assert_eq!(progress(&runner, WHOLE).await, (5, false));
        send(&runner, WHOLE, 5, true, &WHOLE[5..]).await.expect("an answer").status()
    };
    let (hung, went_on) = join!(send(&runner, WHOLE, 0, true, hangs), goes_on);
    assert_eq!(hung.expect("an answer").status(), StatusCode::CONFLICT);
    assert_eq!(went_on, StatusCode::CREATED);
}

/// Where the pieces wait.
fn partial(world: &World, run: &NewRun, whole: &[u8]) -> PathBuf {
    let folder = world.folder.path().join("blobs/partial");
    folder.join(format!("run-{}", run.id.digits())).join(sha256(whole).digits())
}

#[tokio::test]
async fn what_is_unfinished_takes_room_until_a_day_after_its_last_piece() {
    let (world, run, runner) = world_with_run().await;
    let whole = vec![7; 1000];
    let more = send(&runner, &whole, 0, false, vec![7; 600]).await.expect("an answer");
    assert_eq!(more.status(), StatusCode::NO_CONTENT);
    let huge = runner
        .request(Method::PATCH, "/artifacts/b")
        .header("x-content-sha256", sha256(b"b").digits())
        .header("upload-offset", 0)
        .header("upload-length", (1 << 30) - 599)
        .header("upload-complete", "?0")
        .body("");
    let refused = huge.send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem = refused.text().await.expect("text");
    assert!(problem.contains("1073741224 are left of 1073741824"), "{problem}");

    let file = partial(&world, &run, &whole);
    let age = |hours: u64| {
        let then = SystemTime::from(world.app.clock.now()) - Duration::from_hours(hours);
        let file = std::fs::File::options().append(true).open(&file).expect("it is there");
        file.set_modified(then).expect("its time can be set");
    };
    for (hours, is_there) in [(23, true), (25, false)] {
        age(hours);
        Housekeeping::default().look(&world.app).await.expect("everything can be removed");
        assert_eq!(file.exists(), is_there, "{hours}");
    }
    assert_eq!(progress(&runner, &whole).await, (0, false));
}
