//! A log has every line once, whatever happens on its way.

use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant};
use serde_json::json;

/// A session of the agent image that runs a program in Python.
pub(crate) fn python(lab: &Lab, tenant: &TestTenant, code: &str) -> Result<String> {
    tenant.session(&json!({
        "image": lab.image("agent"), "command": ["/usr/bin/python3", "-c", code]}))
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
