use crate::{
    on_both,
    world::{World, create, start_session},
};
use domain::{Digest, RunId};
use std::time::Duration;
use store::{Artifact, Blob, Change, LogAppendError, LogGrowth, LogSegment, Store, StoreError};

fn segment(first: u64, lines: u64) -> LogSegment {
    let path = format!("runs/x/logs/{first:012}.ndjson");
    LogSegment { first, lines, bytes: lines * 10, path, digest: Digest::of_sha256([1; 32]) }
}

async fn run(store: &Store) -> RunId {
    let (tenant, _) = create(store, "acme").await;
    let session = start_session(store, tenant.id).await;
    store.run_create(session.id, 1).await.expect("it is queued").run.id
}

on_both! {
    a_log_refuses_a_gap_and_ignores_a_repeat,
    the_same_lines_sent_many_times_at_once_are_kept_once,
    the_files_of_a_run_are_listed_by_path_and_a_newer_one_replaces,
    an_upload_belongs_to_one_tenant_and_is_noted_once,
}

async fn a_log_refuses_a_gap_and_ignores_a_repeat(world: World) {
    let store = world.open().await;
    let run = run(&store).await;
    let mut changes = store.changes();
    assert_eq!(
        store.log_append(run, segment(1, 10), LogGrowth::default()).await.expect("it is next"),
        11
    );
    assert_eq!(changes.try_recv(), Ok(Change::Log(run)));
    let gap = store.log_append(run, segment(12, 1), LogGrowth::default()).await;
    assert!(matches!(gap, Err(LogAppendError::Gap { next: 11 })), "{gap:?}");
    for (first, lines) in [(1, 10), (5, 2), (10, 1), (3, 0)] {
        let next = store.log_append(run, segment(first, lines), LogGrowth::default()).await;
        assert_eq!(next.expect("it is there already"), 11);
    }
    let overlap = store.log_append(run, segment(10, 2), LogGrowth::default()).await;
    assert!(matches!(overlap, Err(LogAppendError::Overlap { next: 11 })), "{overlap:?}");
    let none = store.log_append(run, segment(0, 12), LogGrowth::default()).await;
    assert!(matches!(none, Err(LogAppendError::Store(StoreError::Refused(_)))), "{none:?}");
    assert!(changes.try_recv().is_err(), "nobody is woken");
    assert_eq!(
        store.log_append(run, segment(11, 5), LogGrowth::default()).await.expect("it is next"),
        16
    );

    let firsts = async |from| -> Vec<u64> {
        let segments = store.log_segments(run, from).await.expect("readable");
        segments.iter().map(|segment| segment.first).collect()
    };
    assert_eq!(firsts(1).await, [1, 11]);
    assert_eq!(firsts(10).await, [1, 11]);
    assert_eq!(firsts(11).await, [11]);
    assert_eq!(firsts(16).await, [] as [u64; 0]);
    assert_eq!(store.log_segments(run, 11).await.expect("readable"), [segment(11, 5)]);
    let next = store.run_get(run).await.expect("readable").expect("it exists").next_log_line;
    assert_eq!(next, 16);
}

async fn the_same_lines_sent_many_times_at_once_are_kept_once(world: World) {
    let store = world.open().await;
    let run = run(&store).await;
    let appends = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(
            async move { store.log_append(run, segment(1, 3), LogGrowth::default()).await },
        )
    });
    for append in appends.collect::<Vec<_>>() {
        let next = append.await.expect("it does not panic").expect("they are there");
        assert_eq!(next, 4);
    }
    assert_eq!(store.log_segments(run, 1).await.expect("readable"), [segment(1, 3)]);
}

async fn the_files_of_a_run_are_listed_by_path_and_a_newer_one_replaces(world: World) {
    let store = world.open().await;
    let run = run(&store).await;
    let artifact = |path: &str, size| Artifact {
        path: path.to_owned(),
        size,
        digest: Digest::of_sha256([3; 32]),
        blob: format!("runs/x/artifacts/{size}"),
    };
    for (path, size) in [("b/c.txt", 1), ("a.txt", 2), ("b/c.txt", u64::from(u32::MAX) * 4)] {
        store.artifact_put(run, artifact(path, size)).await.expect("the run exists");
    }
    let expected = [artifact("a.txt", 2), artifact("b/c.txt", u64::from(u32::MAX) * 4)];
    assert_eq!(store.artifact_list(run).await.expect("readable"), expected);
    let usage = store.artifact_usage(run, "a.txt").await.expect("readable");
    assert_eq!((usage.count, usage.bytes), (1, u64::from(u32::MAX) * 4));
    let usage = store.artifact_usage(run, "c").await.expect("readable");
    assert_eq!((usage.count, usage.bytes), (2, u64::from(u32::MAX) * 4 + 2));
    let unknown = RunId::new(uuid::Uuid::from_u128(4040));
    let error = store.artifact_put(unknown, artifact("x", 1)).await;
    assert!(matches!(error, Err(StoreError::NotFound)), "{error:?}");
}

async fn an_upload_belongs_to_one_tenant_and_is_noted_once(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (other, _) = create(&store, "other").await;
    let digest = Digest::of_sha256([5; 32]);
    let puts = (0..4).map(|_| {
        let (store, digest) = (store.clone(), digest.clone());
        tokio::spawn(async move { store.blob_put(tenant.id, &digest, 12).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.expect("it does not panic").expect("the tenant exists");
    }
    let found = store.blob_get(tenant.id, &digest).await.expect("readable");
    assert_eq!(found, Some(Blob { digest: digest.clone(), size: 12 }));
    assert_eq!(store.blob_get(other.id, &digest).await.expect("readable"), None);
}

/// A runner sends lines for as long as its answers are no answers, as it does over the network, while the database
/// loses every connection again and again, as when it fails over or starts anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_loses_its_connections_loses_and_doubles_no_line() {
    const SEGMENTS: u64 = 60;
    let Some(world) = World::postgres().await else { return };
    let store = world.open().await;
    let run = run(&store).await;
    let tables = world.tables().await;
    let cut = async {
        loop {
            let all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
            tables.number(all).await;
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    };
    let send = async {
        let (mut next, mut failures) = (1, 0_u32);
        while next <= SEGMENTS * 10 {
            match store.log_append(run, segment(next, 10), LogGrowth::default()).await {
                Ok(expected) => next = expected,
                // Whether it was written nobody knows: it is sent again.
                Err(LogAppendError::Store(StoreError::Database(_))) => failures += 1,
                Err(error) => unreachable!("{error:?}"),
            }
        }
        failures
    };
    let failures = tokio::select! {
        () = cut => unreachable!("it goes on for ever"),
        failures = send => failures,
    };
    assert!(failures > 0, "the connections were cut");
    let segments = store.log_segments(run, 1).await;
    let segments = match segments {
        Ok(segments) => segments,
        // The last cut may have hit the connections for reading.
        Err(_) => store.log_segments(run, 1).await.expect("a new connection"),
    };
    let firsts: Vec<u64> = segments.iter().map(|segment| segment.first).collect();
    let expected: Vec<u64> = (0..SEGMENTS).map(|number| number * 10 + 1).collect();
    assert_eq!(firsts, expected, "each line once");
}
