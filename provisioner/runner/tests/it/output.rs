//! What an agent writes arrives: once, in order, whatever happens on the way.

use crate::{
    bench::{exists, lines, pod_of_run, until, until_line},
    road::Road,
    world::{DEADLINE, sha256},
};
use application::{
    blobs::BlobPath,
    log::{LogStream, PlainText},
};
use domain::SessionState;
use std::fs;
use tokio::time::timeout;

#[tokio::test]
async fn both_outputs_are_kept_and_shown_in_the_pods_own_log() {
    let (world, run, pod) = pod_of_run().await;
    let ended = pod.shell("echo to out; echo to err >&2; printf 'no line feed'").await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.out, "to out\nno line feed");
    assert_eq!(ended.err, "to err\n");
    assert_eq!(lines(&world, &run, LogStream::Out).await, ["to out", "no line feed"]);
    assert_eq!(lines(&world, &run, LogStream::Err).await, ["to err"]);
    assert_eq!(world.session(&run).await.state, SessionState::Succeeded);
}

#[tokio::test]
async fn twenty_thousand_lines_arrive_once_and_in_order() {
    let (world, run, pod) = pod_of_run().await;
    assert_eq!(pod.shell("seq 1 20000").await.code, Some(0));
    let expected: Vec<String> = (1..=20_000).map(|number| number.to_string()).collect();
    assert_eq!(world.texts(&run).await, expected);
}

#[tokio::test]
async fn a_line_of_a_mebibyte_is_one_line_when_it_is_read() {
    let (world, run, pod) = pod_of_run().await;
    let script = "head -c 786432 /dev/urandom | base64 -w 0; echo; echo after; printf 'no end'";
    let ended = pod.shell(script).await;
    assert_eq!(ended.code, Some(0));
    let (line, _) = ended.out.split_once('\n').expect("lines");
    assert_eq!(line.len(), 1 << 20);
    let lines = world.log(&run).await;
    assert!((66..70).contains(&lines.len()), "{}", lines.len());
    let (mut text, mut plain) = (PlainText::default(), String::new());
    for line in &lines {
        text.add(line.stream, line.part, &line.text, &mut plain);
    }
    assert!(plain == ended.out + "\n", "it is not what was written");
}

#[tokio::test]
async fn bytes_that_need_six_on_the_way_are_not_too_many_for_one_request() {
    let (world, run, pod) = pod_of_run().await;
    assert_eq!(pod.shell("head -c 3000000 /dev/zero; echo end >&2").await.code, Some(0));
    let zeros = lines(&world, &run, LogStream::Out).await;
    assert_eq!(zeros.concat().len(), 3_000_000);
    assert_eq!(lines(&world, &run, LogStream::Err).await, ["end"]);
}

#[tokio::test]
async fn output_that_is_no_text_arrives_with_the_rest_intact() {
    let (world, run, pod) = pod_of_run().await;
    let script = r"printf 'a\377b\000c\342\202\254\r\n\033[1mbold\n'; head -c 300000 /dev/urandom";
    assert_eq!(pod.shell(script).await.code, Some(0));
    let texts = world.texts(&run).await;
    assert_eq!(texts[0], "a\u{fffd}b\0c\u{20ac}\r");
    assert_eq!(texts[1], "\u{1b}[1mbold");
    assert_eq!(world.session(&run).await.state, SessionState::Succeeded);
}

#[tokio::test]
async fn lines_that_are_written_while_warren_is_away_arrive_when_it_is_back() {
    let (mut world, run, pod) = pod_of_run().await;
    // Forty lines in four seconds, and a sign when more than two have passed with Warren away.
    let job = pod.start_shell(
        r#"for i in $(seq 1 40); do
            echo $i
            [ $i = 30 ] && touch "$POD/outputs/thirty"
            [ $i = 5 ] && while [ ! -e "$POD/away" ]; do sleep 0.02; done
            sleep 0.1
        done"#,
    );
    until_line(&world, &run, "5").await;
    world.go_away().await;
    fs::write(pod.path("away"), "").expect("a new file");
    let thirty = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        while !exists(&pod.path("outputs/thirty")) {
            tick.tick().await;
        }
    };
    timeout(DEADLINE, thirty).await.expect("the agent goes on without Warren");
    world.serve().await;
    assert_eq!(job.end().await.code, Some(0));
    let expected: Vec<String> = (1..=40).map(|number| number.to_string()).collect();
    assert_eq!(world.texts(&run).await, expected);
    assert_eq!(world.session(&run).await.state, SessionState::Succeeded);
}

#[tokio::test]
async fn more_lines_than_fit_into_memory_wait_on_disk_while_warren_is_away() {
    let (mut world, run, pod) = pod_of_run().await;
    let job = pod.start_shell(
        r#"echo 1; while [ ! -e "$POD/away" ]; do sleep 0.02; done
        seq 2 200000; ls -A "$WARREN_OUTPUT_DIR" > "$POD/files"; touch "$POD/outputs/written""#,
    );
    // The pod's own log is read all the time.
    let job = tokio::spawn(job.end());
    until_line(&world, &run, "1").await;
    world.go_away().await;
    fs::write(pod.path("away"), "").expect("a new file");
    let written = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        while !exists(&pod.path("outputs/written")) {
            tick.tick().await;
        }
    };
    timeout(DEADLINE, written).await.expect("the agent goes on without Warren");
    world.serve().await;
    assert_eq!(job.await.expect("it does not panic").code, Some(0));
    let expected: Vec<String> = (1..=200_000).map(|number| number.to_string()).collect();
    assert!(world.texts(&run).await == expected, "lines are lost, repeated or out of order");
    let files = fs::read_to_string(pod.path("files")).expect("the agent wrote it");
    assert_eq!(files, "", "the agent does not see the file");
}

#[tokio::test]
async fn result_and_artifacts_are_kept_and_links_are_named() {
    let (world, run, pod) = pod_of_run().await;
    let script = r#"cd "$WARREN_OUTPUT_DIR"; mkdir -p deep/er
        echo '{"answer": 42}' > result.json
        printf report > 'deep/er/r ü.txt'; : > empty; ln -s /etc/passwd link; mkfifo pipe"#;
    assert_eq!(pod.shell(script).await.code, Some(0));
    let result = world.app.blobs.get(&BlobPath::result(run.id)).await.expect("it can be read");
    assert_eq!(result.expect("it is there"), "{\"answer\": 42}\n");
    let artifacts = world.app.store.artifact_list(run.id).await.expect("the record answers");
    let found: Vec<_> = artifacts.iter().map(|a| (a.path.as_str(), a.size, &a.digest)).collect();
    let (report, empty) = (sha256(b"report"), sha256(b""));
    assert_eq!(found, [("deep/er/r ü.txt", 6, &report), ("empty", 0, &empty)]);
    let texts = world.texts(&run).await;
    let expected = [
        "warren-runner: link is left out: it is a symbolic link",
        "warren-runner: pipe is left out: it is not a regular file",
    ];
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_result_that_is_no_json_is_told_and_does_not_fail_the_session() {
    let (world, run, pod) = pod_of_run().await;
    let ended = pod.shell("echo '{oops' > \"$WARREN_OUTPUT_DIR/result.json\"").await;
    assert_eq!(ended.code, Some(0));
    let texts = world.texts(&run).await.join("\n");
    assert!(texts.contains("result.json is left out"), "{texts}");
    assert!(texts.contains("the result is not JSON: line 1"), "{texts}");
    assert_eq!(world.session(&run).await.state, SessionState::Succeeded);
}

#[tokio::test]
async fn a_large_artifact_arrives_whole() {
    let (world, run, pod) = pod_of_run().await;
    let script = r#"head -c 20000000 /dev/zero > "$WARREN_OUTPUT_DIR/zeros""#;
    assert_eq!(pod.shell(script).await.code, Some(0));
    let artifacts = world.app.store.artifact_list(run.id).await.expect("the record answers");
    assert_eq!(artifacts[0].digest, sha256(&vec![0; 20_000_000]));
    until(&world, "the end", async || world.session(&run).await.state.is_final()).await;
}

#[tokio::test]
async fn bombs_are_refused_and_named_and_everything_else_is_kept() {
    let (world, run, pod) = pod_of_run().await;
    let script = r#"cd "$WARREN_OUTPUT_DIR"
        truncate -s 8T sparse; printf good > good
        touch "$(printf 'a\nwarren-runner: all is well')"
        mkfifo "$(printf 'pipe\nwarren-runner: all is well')"
        i=0; while [ $i -lt 300 ]; do mkdir deep && cd deep || break; i=$((i+1)); done"#;
    assert_eq!(pod.shell(script).await.code, Some(0));
    let artifacts = world.app.store.artifact_list(run.id).await.expect("the record answers");
    let names: Vec<&str> = artifacts.iter().map(|artifact| artifact.path.as_str()).collect();
    assert_eq!(names, ["good"]);
    let texts = world.texts(&run).await;
    let told = |part: &str| texts.iter().any(|text| text.contains(part));
    assert!(told("sparse is left out: it has 8796093022208 bytes"), "{texts:#?}");
    assert!(told(r"pipe\nwarren-runner: all is well is left out: it is not"), "{texts:#?}");
    assert!(told("deep/deep is left out: its path is too long"), "{texts:#?}");
    assert!(texts.iter().all(|text| !text.contains('\n')), "{texts:#?}");
    assert_eq!(world.session(&run).await.state, SessionState::Succeeded);
}

#[tokio::test]
async fn a_large_artifact_goes_on_where_its_connection_broke() {
    const SIZE: usize = 20_000_000;
    let (world, run, mut pod) = pod_of_run().await;
    let road = Road::to(pod.endpoint, SIZE as u64 * 2 / 5).await;
    pod.endpoint = road.address;
    let script = format!("head -c {SIZE} /dev/zero > \"$WARREN_OUTPUT_DIR/zeros\"");
    assert_eq!(pod.shell(&script).await.code, Some(0));
    let artifacts = world.app.store.artifact_list(run.id).await.expect("the record answers");
    assert_eq!(artifacts[0].digest, sha256(&vec![0; SIZE]));
    let sent = road.sent();
    assert!(sent < SIZE as u64 * 13 / 10, "{sent} bytes for {SIZE}: it began anew");
    let texts = world.texts(&run).await;
    assert_eq!(texts, Vec::<String>::new());
}
