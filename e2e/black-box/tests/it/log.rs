//! A log has every line once, whatever happens on its way.

use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::json;
use std::{
    io::Read as _,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// A session of the agent image that runs a program in Python.
fn python(lab: &Lab, tenant: &TestTenant, code: &str) -> Result<String> {
    tenant.session(&json!({
        "image": lab.image("agent"), "command": ["/usr/bin/python3", "-c", code]}))
}

fn output(mut follower: Child) -> Result<String> {
    let mut text = String::new();
    follower.stdout.take().context("its output")?.read_to_string(&mut text)?;
    ensure!(follower.wait()?.success(), "a follower ends with its session");
    Ok(text)
}

#[test]
fn ten_followers_get_every_line_once_though_the_server_is_killed_twice() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "followed")?;
    let code = "import time\nfor n in range(1, 2001):\n  print('line', n, flush=True)\n  n % 10 or time.sleep(0.05)";
    let id = python(&lab, &tenant, code)?;
    tenant.session_wait(&id, &["running"], 60)?;
    let follow = ["session", "logs", &id, "--tenant", &tenant.name, "--follow"];
    let followers: Vec<Child> = (0..10)
        .map(|_| Ok(lab.warren_command(&follow).stdout(Stdio::piped()).spawn()?))
        .collect::<Result<_>>()?;
    let has_come = |lines: u64| {
        until("lines come", 60, || {
            let session = tenant.session_get(&id)?;
            let is_so = session["logLines"].as_u64().is_some_and(|known| known >= lines);
            Ok(if is_so { Ok(()) } else { Err(session.to_string()) })
        })
    };
    has_come(100)?;
    lab.restart("warren", "KILL")?;
    has_come(1000)?;
    lab.restart("warren", "KILL")?;
    let expected: Vec<String> = (1..=2000).map(|n| format!("line {n}")).collect();
    for follower in followers {
        let text = output(follower)?;
        ensure!(text.lines().eq(&expected), "a follower: {} lines", text.lines().count());
    }
    ensure!(tenant.session_end(&id, 60)?["state"] == "succeeded", "it knew nothing of it");
    ensure!(tenant.session_log(&id)?.lines().eq(&expected), "and the log that is kept");
    Ok(())
}

#[test]
fn lines_of_any_form_and_number_are_kept_as_they_were_written() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    // A hundred thousand lines a second, for ten seconds.
    let code = "import sys, time\nw = sys.stdout.buffer.write\n\
        w(b'x' * (1 << 20) + b'\\n' + b'\\xff\\xfe\\x1b[31mred\\x1b[0m\\n\\n')\n\
        start = time.monotonic()\n\
        for n in range(1000000):\n  w(b'%d of many lines that come fast\\n' % n)\n  \
        n % 1000 or time.sleep(max(0, start + n / 100000 - time.monotonic()))\n\
        w(b'no line feed follows')";
    let id = tenant.session(&json!({
        "image": lab.image("agent"), "command": ["/usr/bin/python3", "-c", code],
        "resources": {"cpu": "1"}}))?;
    let session = tenant.session_end(&id, 150)?;
    ensure!(session["state"] == "succeeded", "{session}");
    eprintln!("a million lines in {} ms", session["run"]["usage"]["wallMs"]);
    let log = tenant.session_log(&id)?;
    let mut lines = log.split('\n');
    ensure!(lines.next().is_some_and(|line| line == "x".repeat(1 << 20)), "one line of 1 MiB");
    ensure!(
        lines.next() == Some("\u{fffd}\u{fffd}\u{1b}[31mred\u{1b}[0m"),
        "what is not UTF-8 is marked"
    );
    ensure!(lines.next() == Some(""), "an empty line is one");
    for n in 0..1_000_000 {
        let expected = format!("{n} of many lines that come fast");
        let line = lines.next();
        ensure!(line == Some(&expected), "{expected}: {line:?}");
    }
    ensure!(lines.next() == Some("no line feed follows"), "the end of the log");
    ensure!(lines.all(str::is_empty), "and nothing after it");
    Ok(())
}

#[test]
fn of_a_pod_that_is_taken_away_while_lines_wait_what_was_sent_is_kept_and_the_rest_is_named()
-> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "taken-away")?;
    // More than the runner keeps in memory while Warren is away.
    let code = "import time\nfor n in range(1, 1000000):\n  print('line', n, 'x' * 1000, flush=True)\n  \
        n % 10 or time.sleep(0.01)";
    let id = tenant.session(&json!({
        "image": lab.image("agent"), "command": ["/usr/bin/python3", "-c", code],
        "gracePeriodSeconds": 1}))?;
    until("lines come", 60, || {
        let session = tenant.session_get(&id)?;
        let is_so = session["logLines"].as_u64().is_some_and(|known| known >= 100);
        Ok(if is_so { Ok(()) } else { Err(session.to_string()) })
    })?;
    let namespace = tenant.host_namespace()?;
    let frozen = lab.freeze("warren")?;
    let own = format!("warren.dev/session={}", id.trim_start_matches("ses_"));
    let start = Instant::now();
    until("many lines wait", 11, || {
        let left = Duration::from_secs(10).saturating_sub(start.elapsed());
        Ok(if left.is_zero() { Ok(()) } else { Err(format!("{left:?}")) })
    })?;
    lab.kubectl(&["-n", &namespace, "delete", "pod", "-l", &own, "--grace-period=2"])?.success()?;
    drop(frozen);

    let session = tenant.session_end(&id, 90)?;
    ensure!(session["cause"]["class"] == "infrastructure", "{session}");
    let log = tenant.session_log(&id)?;
    let kept =
        log.lines().zip(1..).take_while(|(line, n)| line.starts_with(&format!("line {n} x")));
    let kept = kept.count();
    ensure!(kept >= 100 && kept == log.lines().count(), "{kept} of {}", log.lines().count());
    ensure!(session["run"]["logComplete"] == false, "that its end is missing is told: {session}");
    Ok(())
}
