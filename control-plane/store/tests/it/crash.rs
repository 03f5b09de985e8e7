use crate::{
    on_both,
    world::{World, create, start_session},
};
use domain::{SessionId, TenantId};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

const URL: &str = "WARREN_TEST_CRASH_URL";
const FIRST_ID: &str = "WARREN_TEST_CRASH_FIRST_ID";
const CHILD: &str = "crash::child_that_writes_until_it_is_killed";

on_both! {
    a_killed_process_leaves_a_whole_record_with_everything_it_accepted,
}

async fn a_killed_process_leaves_a_whole_record_with_everything_it_accepted(world: World) {
    world.open().await.close().await.expect("the store can be closed");
    let mut accepted = Vec::new();
    for (round, lines) in [1, 7, 40, 90].into_iter().enumerate() {
        accepted.extend(killed_after(&world, round, lines));
        let store = world.open().await;
        for (tenant, session) in &accepted {
            let session = store.session_get(*session).await.expect("readable");
            assert_eq!(session.expect("it was accepted").tenant, *tenant);
            assert!(store.tenant_get(*tenant).await.expect("readable").is_some());
        }
        store.close().await.expect("the store can be closed");
        check(&world).await;
    }
    assert!(accepted.len() >= 138);
}

/// Lets a child write, kills it after `lines` accepted pairs, and tells what it had accepted.
fn killed_after(world: &World, round: usize, lines: usize) -> Vec<(TenantId, SessionId)> {
    let mut child = Command::new(std::env::current_exe().expect("a test has a file"))
        .args(["--exact", CHILD, "--ignored", "--nocapture", "--test-threads=1"])
        .env(URL, &world.url)
        .env(FIRST_ID, ((round + 1) * 1_000_000).to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a test can start itself");
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut accepted = Vec::new();
    for line in out.lines() {
        let line = line.expect("it is text");
        // A last line may be cut off by the kill; then it told nobody.
        let pair = line.strip_prefix("accepted ").and_then(|pair| pair.split_once(' '));
        let Some((tenant, session)) = pair else { continue };
        if let (Ok(tenant), Ok(session)) = (tenant.parse(), session.parse()) {
            accepted.push((tenant, session));
        }
        if accepted.len() == lines {
            child.kill().expect("it is ours");
        }
    }
    child.wait().expect("it is ours");
    assert!(accepted.len() >= lines, "it wrote until it was killed");
    accepted
}

/// Every tenant has its operation and its audit entry; nothing is half there.
async fn check(world: &World) {
    let tables = world.tables().await;
    let tenants = tables.number("SELECT count(*) FROM tenants").await;
    let sessions = tables.number("SELECT count(*) FROM sessions").await;
    let count = async |sql: &str| tables.number(sql).await;
    assert_eq!(count("SELECT count(DISTINCT tenant) FROM operations").await, tenants);
    assert_eq!(count("SELECT count(*) FROM audit WHERE action = 'tenant.create'").await, tenants);
    assert_eq!(count("SELECT count(*) FROM audit WHERE action = 'session.create'").await, sessions);
    assert_eq!(count("SELECT count(*) FROM outbox").await, 2 * tenants + sessions);
    assert!(tenants - sessions <= 4, "at most one pair per round is half done");
    if world.is_sqlite() {
        let broken = "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
        assert_eq!(count(broken).await, 0);
        assert_eq!(count("SELECT count(*) FROM pragma_foreign_key_check").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is started by a_killed_process_leaves_a_whole_record_with_everything_it_accepted"]
async fn child_that_writes_until_it_is_killed() {
    let Some(url) = std::env::var_os(URL) else { return };
    let first = std::env::var_os(FIRST_ID).expect("it is given with the URL");
    let first: u64 = first.to_str().and_then(|text| text.parse().ok()).expect("it is a number");
    let world = World::at(url.into_string().expect("a URL is text"), first);
    let store = world.open().await;
    for number in 0.. {
        let (tenant, _) = create(&store, &format!("tenant-{first}-{number}")).await;
        let session = start_session(&store, tenant.id).await;
        let mut out = std::io::stdout().lock();
        let told = writeln!(out, "accepted {} {}", tenant.id, session.id);
        told.and_then(|()| out.flush()).expect("somebody listens");
    }
}
