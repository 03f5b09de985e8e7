//! The command line alone: a tenant's and a session's whole life without another tool.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, run, until};
use serde_json::Value;

#[test]
fn a_tenant_and_a_session_live_and_end_by_the_command_line_alone() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let name = format!("by-hand-{}", std::process::id());
    let warren = |arguments: &[&str]| lab.warren(arguments)?.success();
    let json = |text: String| -> Result<Value> {
        serde_json::from_str(&text).with_context(|| format!("JSON: {text}"))
    };

    let created = json(warren(&["tenant", "create", &name, "--plan", "starter", "-o", "json"])?)?;
    ensure!(created["phase"] == "pending", "it comes at once: {created}");
    warren(&["tenant", "wait", &name])?;
    let tenant = json(warren(&["tenant", "get", &name, "-o", "json"])?)?;
    ensure!(tenant["phase"] == "ready" && tenant["id"] == created["id"], "{tenant}");
    let described = warren(&["tenant", "describe", &name])?;
    for word in ["ControlPlaneReady", "DnsReady", "everything is as it should be", "OVERHEAD"] {
        ensure!(described.contains(word), "{word}: {described}");
    }
    let kubeconfig = warren(&["kubeconfig", &name, "--print"])?;
    ensure!(kubeconfig.contains("client-certificate-data"), "a credential of its own");
    let explained = warren(&["explain", "tenant", &name])?;
    ensure!(!explained.to_lowercase().contains("apply"), "nothing would be changed: {explained}");

    let image = lab.image("busybox");
    let start = |script: &str| -> Result<String> {
        let what = ["session", "run", "-t", &name, "--image", image, "--label", "team=blue"];
        let rest = ["-o", "json", "--", "/bin/sh", "-c", script];
        let session = json(warren(&[&what[..], &rest[..]].concat())?)?;
        ensure!(session["spec"]["labels"]["team"] == "blue", "it keeps its label: {session}");
        session["id"].as_str().map(str::to_owned).context("an id")
    };
    let done = start("echo hello; echo '{\"sum\":3}' > $WARREN_OUTPUT_DIR/result.json")?;
    warren(&["session", "wait", "-t", &name, &done])?;
    let session = json(warren(&["session", "get", "-t", &name, &done, "-o", "json"])?)?;
    ensure!(session["state"] == "succeeded", "{session}");
    ensure!(warren(&["session", "logs", "-t", &name, &done])? == "hello\n", "its log");
    let result = json(warren(&["session", "result", "-t", &name, &done])?)?;
    ensure!(result["sum"] == 3, "its result: {result}");
    let stopped = start("sleep 600")?;
    warren(&["session", "stop", "-t", &name, &stopped])?;
    let end = lab.warren(&["session", "wait", "-t", &name, &stopped])?;
    ensure!(end.code != 0 && end.text().contains("stopped"), "{}", end.text());

    warren(&["tenant", "delete", &name, "--yes", "--wait"])?;
    let gone = lab.warren(&["tenant", "get", &name])?;
    ensure!(gone.code != 0 && gone.stderr.contains("not"), "it is gone: {}", gone.text());
    Ok(())
}

#[test]
fn the_audit_log_proves_itself_and_a_change_in_it_is_named() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("audit.jsonl");
    let path = file.to_str().context("a path")?;
    let warren = |arguments: &[&str]| lab.warren(arguments)?.success();
    let made = warren(&["token", "create", "--operators", "--name", "for the log", "-o", "json"])?;
    let made: Value = serde_json::from_str(&made)?;
    let token = made["id"].as_str().context("an id")?;
    warren(&["token", "revoke", token, "--operators"])?;
    let listed = warren(&["audit", "list", "--action", "token", "--limit", "200"])?;
    ensure!(listed.contains("token.revoke") && listed.contains(token), "{listed}");

    let text = until("both are sealed", 10, || {
        warren(&["audit", "export", "--file", path])?;
        let text = std::fs::read_to_string(&file)?;
        let is_there = text.matches(token).count() == 2;
        Ok(if is_there { Ok(text) } else { Err("not sealed yet".to_owned()) })
    })?;
    // Nobody is asked: the file is all that it takes.
    let verify = |more: &[&str]| {
        let mut command = lab.warren_command(&[&["audit", "verify", path], more].concat());
        command.env("WARREN_URL", "http://127.0.0.1:1").env_remove("WARREN_TOKEN_FILE");
        run(&mut command, "")
    };
    let said = verify(&[])?.success()?;
    let last = said.lines().find_map(|line| line.strip_prefix("Last: ")).context("its end")?;
    verify(&["--last", last])?.success()?;

    let revoked = text.lines().find(|line| line.contains(token) && line.contains("token.revoke"));
    let revoked: Value = serde_json::from_str(revoked.context("the line")?)?;
    let line = format!("\"action\":\"token.revoke\",\"target\":\"{token}\"");
    std::fs::write(&file, text.replace(&line, &line.replace("revoke", "create")))?;
    let found = verify(&[])?;
    let named = format!("entry {} was altered", revoked["entry"]["sequence"]);
    ensure!(found.code == 1 && found.stderr.contains(&named), "{}", found.text());
    Ok(())
}
