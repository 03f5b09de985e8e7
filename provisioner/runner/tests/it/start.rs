//! What has to be so before the agent starts.

use crate::{
    bench::{Pod, exists, pod_of_run},
    world::{DEADLINE, World, inline},
};
use domain::{Input, InputSource, SessionState};
use std::{fs, os::unix::fs::PermissionsExt};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    process::Command,
    time::timeout,
};

#[tokio::test]
async fn inputs_are_there_read_only_when_the_agent_starts() {
    let world = World::start().await;
    let digest = world.blob(b"\x00large\xff").await;
    let blob = Input { name: "b.bin".to_owned(), source: InputSource::Blob(digest) };
    let run = world.run(vec![inline("a.txt", "hello\n"), blob]).await;
    let pod = Pod::new(&world, &run).await;
    let ended = pod
        .shell(
            r#"cat "$POD/inputs/a.txt"
            od -An -tx1 "$POD/inputs/b.bin"
            stat -c %a "$POD/inputs/a.txt" "$WARREN_INPUT_MANIFEST"
            grep -c "\"name\":\"b.bin\",\"path\":\"$POD/*inputs/b.bin\"" "$WARREN_INPUT_MANIFEST"
            ls -A "$POD/inputs""#,
        )
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let expected =
        "hello\n 00 6c 61 72 67 65 ff\n444\n444\n1\na.txt\nb.bin\nmanifest.json\n".to_owned();
    assert_eq!(ended.out, expected);
}

#[tokio::test]
async fn the_agent_does_not_learn_where_warren_is() {
    let (_world, _run, pod) = pod_of_run().await;
    let ended = pod.shell("env | grep -o '^WARREN_[A-Z_]*' | sort").await;
    let expected = "WARREN_INPUT_MANIFEST\nWARREN_OUTPUT_DIR\nWARREN_RUN_DIR\nWARREN_RUN_ID\n\
                    WARREN_SESSION_ID\n";
    assert_eq!(ended.out, expected);
}

#[tokio::test]
async fn an_input_that_is_not_the_promised_one_keeps_the_agent_from_starting() {
    let world = World::start().await;
    let digest = world.blob(b"promised").await;
    fs::write(world.blob_file(&digest), b"tampered").expect("it is there");
    let blob = Input { name: "b.bin".to_owned(), source: InputSource::Blob(digest) };
    let run = world.run(vec![blob]).await;
    let pod = Pod::new(&world, &run).await;
    let ended = pod.shell("touch \"$POD/started\"").await;
    assert_eq!(ended.code, Some(65), "{ended:?}");
    assert!(!exists(&pod.path("started")));
    assert!(!exists(&pod.path("inputs/b.bin")));
    assert_eq!(world.outcome(&run).await, (SessionState::Failed, "NotStarted".to_owned()));
    let log = world.texts(&run).await.join("\n");
    assert!(log.contains("input b.bin has digest sha256:"), "{log}");
}

#[tokio::test]
async fn a_token_that_is_not_this_runs_keeps_the_agent_from_starting() {
    let (world, run, pod) = pod_of_run().await;
    let other = world.run(Vec::new()).await;
    for token in [format!("wrr_{}", "A".repeat(43)), other.token.clone()] {
        fs::write(pod.path("run/token"), &token).expect("it is there");
        let ended = pod.shell("touch \"$POD/started\"").await;
        assert_eq!(ended.code, Some(77), "{ended:?}");
        assert!(!exists(&pod.path("started")));
        assert!(!ended.err.contains(&token), "the token is a secret");
    }
    for run in [run, other] {
        assert_eq!(world.session(&run).await.state, SessionState::Starting);
    }
}

#[tokio::test]
async fn an_endpoint_with_a_certificate_of_somebody_else_is_not_told_the_token() {
    let (world, run, mut pod) = pod_of_run().await;
    let other = World::start().await;
    fs::write(pod.path("run/ca.crt"), &other.authority).expect("it is there");
    // A wire between both, which counts.
    let wire = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    pod.endpoint = wire.local_addr().expect("a bound listener");
    let job = pod.start_shell("touch \"$POD/started\"");
    for _ in 0..4 {
        let accepted = timeout(DEADLINE, wire.accept()).await.expect("the runner tries again");
        let mut runner = accepted.expect("a connection").0;
        let mut warren = TcpStream::connect(world.address).await.expect("the endpoint is up");
        // The runner goes away in the middle of the handshake.
        let _ = copy_bidirectional(&mut runner, &mut warren).await;
    }
    job.signal(nix::sys::signal::SIGTERM);
    let ended = job.end().await;
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert!(!exists(&pod.path("started")));
    assert_eq!(world.session(&run).await.state, SessionState::Starting);
}

#[tokio::test]
async fn the_agent_starts_only_after_the_gate_is_shut() {
    let world = World::start().await;
    let run = world.run(Vec::new()).await;
    let gate = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let pod = Pod::with_gate(&world, &run, gate.local_addr().expect("a bound listener"));
    let job = pod.start_shell("touch \"$POD/started\"");
    for _ in 0..5 {
        let attempt = timeout(DEADLINE, gate.accept()).await;
        drop(attempt.expect("the runner tries again").expect("a connection"));
        assert!(!exists(&pod.path("started")));
    }
    assert_eq!(world.session(&run).await.state, SessionState::Starting);
    drop(gate);
    assert_eq!(job.end().await.code, Some(0));
    assert!(exists(&pod.path("started")));
    assert_eq!(world.session(&run).await.state, SessionState::Succeeded);
}

#[tokio::test]
async fn a_gate_that_was_shut_with_the_last_warren_says_nothing_of_the_next_one() {
    let mut world = World::start().await;
    let run = world.run(Vec::new()).await;
    let pod = Pod::new(&world, &run).await;
    world.go_away().await;
    // What is left of a Warren that ends: its port still takes connections, its gate does not.
    let ending = TcpListener::bind(world.address).await.expect("the port is free");
    let job = pod.start_shell("touch \"$POD/started\"");
    for _ in 0..4 {
        let attempt = timeout(DEADLINE, ending.accept()).await;
        drop(attempt.expect("the runner tries again").expect("a connection"));
    }
    let gate = TcpListener::bind(pod.gate).await.expect("the port is free");
    drop(ending);
    world.serve().await;
    for _ in 0..3 {
        let attempt = timeout(DEADLINE, gate.accept()).await;
        drop(attempt.expect("the runner tries the gate").expect("a connection"));
        assert!(!exists(&pod.path("started")));
    }
    drop(gate);
    assert_eq!(job.end().await.code, Some(0));
    assert!(exists(&pod.path("started")));
}

#[tokio::test]
async fn a_session_that_was_stopped_meanwhile_does_not_start_its_agent() {
    let (world, run, pod) = pod_of_run().await;
    let stopped = world
        .app
        .store
        .session_stop(&world.proof(), run.session, application::session::StopMode::Proven)
        .await;
    assert_eq!(stopped.expect("it is starting").state, SessionState::Stopping);
    let ended = pod.shell("touch \"$POD/started\"").await;
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert!(!exists(&pod.path("started")));
    assert_eq!(world.session(&run).await.state, SessionState::Stopped);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_in_plain_words() {
    for (program, code, reason) in
        [("missing", 127, "ProgramNotFound"), ("plain", 126, "ProgramNotExecutable")]
    {
        let (world, run, pod) = pod_of_run().await;
        fs::write(pod.path("plain"), "not a program").expect("a new file");
        let program = pod.path(program).display().to_string();
        let ended = pod.start(&[&program]).end().await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(world.outcome(&run).await, (SessionState::Failed, reason.to_owned()));
        let log = world.texts(&run).await.join("\n");
        assert!(log.contains(&format!("the program {program} cannot be started")), "{log}");
    }
}

#[tokio::test]
async fn a_try_out_says_whether_the_gate_is_shut_and_what_a_name_means() {
    let (world, _run, pod) = pod_of_run().await;
    for (name, address) in [("localhost", "found 127.0.0.1"), ("no.such.name.invalid", "unknown ")]
    {
        let tried = Command::new(env!("CARGO_BIN_EXE_warren-runner"))
            .args(["try-out", &world.address.to_string(), &pod.gate.to_string(), name])
            .output()
            .await
            .expect("it was built");
        let said = String::from_utf8_lossy(&tried.stdout).into_owned();
        assert!(said.starts_with("gate=refused\nuid_map="), "{said}");
        assert!(said.contains(&format!("\nname={address}")), "{said}");
    }
}

#[tokio::test]
async fn the_installed_runner_is_this_program_for_everybody_to_execute() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for _ in 0..2 {
        let installed = Command::new(env!("CARGO_BIN_EXE_warren-runner"))
            .arg("install")
            .arg(folder.path())
            .status()
            .await;
        assert!(installed.expect("it was built").success());
    }
    let runner = folder.path().join("runner");
    let mode = fs::metadata(&runner).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o555);
    let names = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(names, 1, "nothing half-written is left");
    let ended = Command::new(runner).arg("nonsense").output().await.expect("it can be executed");
    assert_eq!(ended.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("usage"));
}
