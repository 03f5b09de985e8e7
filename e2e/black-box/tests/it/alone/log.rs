//! Logs while the server is killed or away.

use crate::log::python;
use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::json;
use std::{
    io::Read as _,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

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
