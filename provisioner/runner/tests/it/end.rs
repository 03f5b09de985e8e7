//! How an agent can end, and what becomes of what it leaves.

use crate::{
    bench::{Pod, exists, lines, pod_of_run, until, until_line},
    world::World,
};
use application::log::LogStream;
use domain::{Exit, SessionState};
use nix::sys::signal::Signal;
use std::{fs, path::Path};

#[tokio::test]
async fn the_runner_ends_as_the_agent_ended() {
    for (script, code, exit, reason) in [
        ("exit 3", 3, Exit { code: Some(3), signal: None }, "ExitCode"),
        ("kill -KILL $$", 137, Exit { code: None, signal: Some(9) }, "Signal"),
        ("kill -TERM $$", 143, Exit { code: None, signal: Some(15) }, "Signal"),
    ] {
        let (world, run, pod) = pod_of_run().await;
        assert_eq!(pod.shell(script).await.code, Some(code), "{script}");
        assert_eq!(world.outcome(&run).await, (SessionState::Failed, reason.to_owned()));
        let record = world.record(&run).await;
        assert_eq!(record.exit, Some(exit), "{script}");
        assert!(record.started_at.is_some() && record.exited_at.is_some());
    }
}

#[tokio::test]
async fn what_the_agent_used_is_measured() {
    let (world, run, pod) = pod_of_run().await;
    // About 50 MB in one process that then ends, and work of a fraction of a second.
    let script = "head -c 50000000 /dev/zero | tail -c 50000000 > /dev/null; \
                  i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    assert_eq!(pod.shell(script).await.code, Some(0));
    let usage = world.record(&run).await.usage.expect("it was reported");
    assert!(usage.peak_memory_bytes > 40_000_000, "{usage:?}");
    assert!(usage.cpu_ms > 10 && usage.wall_ms > 10, "{usage:?}");
    assert!(usage.cpu_ms < 2 * usage.wall_ms + 1000, "{usage:?}");
}

#[tokio::test]
async fn a_request_to_end_is_passed_to_the_whole_agent_and_left_to_the_watcher() {
    let (world, run, pod) = pod_of_run().await;
    let job = pod.start_shell(
        r#"trap 'wait; echo parent ends; exit 5' TERM
        sh -c 'trap "echo child ends; exit 0" TERM; echo child; while :; do sleep 0.05; done' &
        while :; do sleep 0.05; done"#,
    );
    until_line(&world, &run, "child").await;
    job.signal(Signal::SIGTERM);
    let ended = job.end().await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert_eq!(ended.out, "child\nchild ends\nparent ends\n");
    assert_eq!(lines(&world, &run, LogStream::Out).await, ["child", "child ends", "parent ends"]);
    assert_eq!(world.session(&run).await.state, SessionState::Running);
    let exit = world.record(&run).await.exit;
    assert_eq!(exit, Some(Exit { code: Some(5), signal: None }));
}

#[tokio::test]
async fn a_stop_ends_the_agent_and_the_session_is_stopped() {
    let (world, run, pod) = pod_of_run().await;
    let job = pod.start_shell("echo ready; exec sleep 600");
    until_line(&world, &run, "ready").await;
    let running = async || world.session(&run).await.state == SessionState::Running;
    until(&world, "the report of the start", running).await;
    let stopped = world
        .app
        .store
        .session_stop(&world.proof(), run.session, application::session::StopMode::Proven)
        .await;
    assert_eq!(stopped.expect("it runs").state, SessionState::Stopping);
    assert_eq!(job.end().await.code, Some(143));
    assert_eq!(world.session(&run).await.state, SessionState::Stopped);
}

#[tokio::test]
async fn a_result_that_is_not_what_the_session_declares_is_no_success() {
    let schema = serde_json::json!({ "type": "object", "required": ["rows"], "properties": {
        "rows": { "type": "integer" } } });
    let writes = |result: &str| {
        format!(
            r#"mkdir -p "$WARREN_OUTPUT_DIR"; echo '{result}' > "$WARREN_OUTPUT_DIR/result.json""#
        )
    };
    for (script, state, reason) in [
        (writes(r#"{"rows": 3}"#), SessionState::Succeeded, "Completed"),
        (writes(r#"{"rows": "three"}"#), SessionState::Failed, "ResultInvalid"),
        ("exit 0".to_owned(), SessionState::Failed, "ResultMissing"),
        ("exit 4".to_owned(), SessionState::Failed, "ExitCode"),
    ] {
        let world = World::start().await;
        let spec = World::spec(Vec::new());
        let spec = domain::SessionSpec { result_schema: Some(schema.clone()), ..spec };
        let run = world.run_of(spec).await;
        Pod::new(&world, &run).await.shell(&script).await;
        assert_eq!(world.outcome(&run).await, (state, reason.to_owned()), "{script}");
        if reason == "ResultInvalid" {
            let cause = world.session(&run).await.cause.expect("a cause");
            let words = cause.evidence.words.clone().unwrap_or_default();
            assert!(words.starts_with("/rows: "), "the place and what is wrong: {words}");
        }
    }
}

#[tokio::test]
async fn orphans_of_the_agent_are_waited_for() {
    let (world, run, pod) = pod_of_run().await;
    // The shell between ends at once; its child becomes the runner's, and ends as well.
    let script = r#"sh -c 'sh -c "echo \$\$ > \"$POD/orphan\"" &'
        while [ ! -s "$POD/orphan" ]; do sleep 0.01; done
        while [ -e "/proc/$(cat "$POD/orphan")" ]; do sleep 0.01; done
        echo reaped"#;
    assert_eq!(pod.shell(script).await.code, Some(0));
    assert_eq!(world.texts(&run).await, ["reaped"]);
}

#[tokio::test]
async fn an_agent_that_closes_its_outputs_is_waited_for() {
    let (world, run, pod) = pod_of_run().await;
    let script = r#"echo bye; exec >&- 2>&-; sleep 0.5; echo late > "$POD/late"; exit 4"#;
    assert_eq!(pod.shell(script).await.code, Some(4));
    assert!(exists(&pod.path("late")));
    assert_eq!(world.texts(&run).await, ["bye"]);
}

#[tokio::test]
async fn a_process_that_the_agent_leaves_does_not_hold_up_the_end() {
    let (world, run, pod) = pod_of_run().await;
    let script = r#"sleep 600 & echo $! > "$POD/left"; setsid sleep 600 & printf unfinished"#;
    assert_eq!(pod.shell(script).await.code, Some(0));
    let texts = world.texts(&run).await;
    let note = "warren-runner: processes that the agent left behind are ended";
    assert_eq!(texts, ["unfinished", note]);
    assert_eq!(world.session(&run).await.state, SessionState::Succeeded);
    let left = fs::read_to_string(pod.path("left")).expect("its number was written");
    assert!(!exists(&Path::new("/proc").join(left.trim())));
}

#[tokio::test]
async fn a_run_that_is_over_for_warren_goes_on_to_its_own_end() {
    let (world, run, pod) = pod_of_run().await;
    let job = pod.start_shell(
        r#"echo ready; while [ ! -e "$POD/over" ]; do sleep 0.02; done; echo unheard; exit 6"#,
    );
    until_line(&world, &run, "ready").await;
    let running = async || world.session(&run).await.state == SessionState::Running;
    until(&world, "the report of the start", running).await;
    end_by_deadline(&world, &run).await;
    fs::write(pod.path("over"), "").expect("a new file");
    let ended = job.end().await;
    assert_eq!(ended.code, Some(6), "{ended:?}");
    assert!(ended.err.contains("does not accept the token"), "{}", ended.err);
    assert_eq!(world.texts(&run).await, ["ready"]);
    assert_eq!(world.session(&run).await.state, SessionState::TimedOut);
}

#[tokio::test]
async fn an_agent_whose_run_is_over_for_warren_is_ended() {
    let (world, run, pod) = pod_of_run().await;
    let job = pod.start_shell("echo ready; exec sleep 600");
    until_line(&world, &run, "ready").await;
    end_by_deadline(&world, &run).await;
    let ended = job.end().await;
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert!(ended.err.contains("the run is over for Warren"), "{}", ended.err);
}

#[tokio::test]
async fn an_agent_that_does_not_end_in_its_grace_period_is_killed_and_its_end_is_told() {
    let (world, run, pod) = pod_of_run().await;
    let job = pod.start_shell("trap '' TERM; echo ready; sleep 600");
    until_line(&world, &run, "ready").await;
    let running = async || world.session(&run).await.state == SessionState::Running;
    until(&world, "the report of the start", running).await;
    job.signal(Signal::SIGTERM);
    assert_eq!(job.end().await.code, Some(137));
    assert_eq!(world.record(&run).await.exit, Some(Exit { code: None, signal: Some(9) }));
    assert_eq!(world.texts(&run).await, ["ready"]);
}

/// What the watcher of a Job does when its time is up.
async fn end_by_deadline(world: &World, run: &crate::world::NewRun) {
    let session = world.session(run).await;
    let (id, revision) = (session.id, session.revision);
    let moved = world.app.store.session_move(id, revision, SessionState::TimedOut, None).await;
    moved.expect("nobody else moves it");
}
