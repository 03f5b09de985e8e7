//! Following a log of 100 MiB while an agent writes it as fast as it can. Ours: Warren's text of the session,
//! followed over HTTP. Theirs: `kubectl logs -f` of a session's pod, with the tenant's kubeconfig. One session after
//! the other, each with one reader: two at once would share the machine. So the pods are the same on both sides, and
//! what the runner sends to Warren is sent while the other reader reads, too.
//!
//! The first line comes alone, some time after the reader: its own time of day against that at which it is read.
//! Then all the others: bytes from the time of the first of them until the last one is read. Every line has a
//! number, so what is lost or comes twice is counted.

use crate::{
    direct::Agent,
    figure::{Figure, Goal},
    machine::rest,
    probe,
};
use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::json;
use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// With its line feed, in bytes.
const LINE_BYTES: usize = 120;
/// 100 MiB of them.
const LINES: usize = (100 << 20) / LINE_BYTES;
/// What a reader may take, and what the agent may take, in seconds.
const PATIENCE_S: u64 = 240;
/// How long before the first line a reader is there.
const AHEAD_S: f64 = 1.0;
const MEBI: f64 = 1_048_576.0;

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let tenant = TestTenant::created_with_plan(lab, "bench-follow", "pro")?;
    tenant.wait_ready()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        rest()?;
        theirs.push(one(&tenant, kubectl)?);
        rest()?;
        ours.push(one(&tenant, follow)?);
    }
    tenant.removed(PATIENCE_S)?;
    let figure = |what: &str, unit, goal, value: fn(&Seen) -> f64| Figure {
        name: format!("log-follow{what}"),
        unit,
        ours: ours.iter().map(value).collect(),
        theirs: theirs.iter().map(value).collect(),
        goal,
    };
    Ok(vec![
        figure("", "MiB/s", Goal::RatioAtLeast(1.0), Seen::rate),
        figure(": first byte", "ms", Goal::AtMost(30.0), |seen| seen.delay * 1000.0),
        figure(": lost", "lines", Goal::Never(0.0), |seen| seen.count(|times| times == 0)),
        figure(": repeated", "lines", Goal::Never(0.0), |seen| seen.count(|times| times > 1)),
    ])
}

/// The agent: waits for its reader, writes the first line, then all the others, a thousand at a time.
fn agent(lab: &Lab) -> Agent {
    let code = format!(
        "
import sys, time
def write(first, end):
    now = time.time()
    line = lambda n: (b'%07d %.6f ' % (n, now)).ljust({LINE_BYTES} - 1, b'x') + b'\\n'
    sys.stdout.buffer.write(b''.join(line(n) for n in range(first, end)))
    sys.stdout.buffer.flush()
time.sleep(10)
write(0, 1)
time.sleep(2)
for first in range(1, {LINES}, 1000):
    write(first, min(first + 1000, {LINES}))
"
    );
    Agent::python(lab, &code).with_cpu("1")
}

fn one(tenant: &TestTenant, read: fn(&TestTenant, &str, &str) -> Result<Seen>) -> Result<Seen> {
    let mut body = agent(&tenant.lab).session();
    body["timeoutSeconds"] = json!(PATIENCE_S);
    let id = tenant.session(&body)?;
    let session = tenant.session_wait(&id, &["running"], PATIENCE_S)?;
    let run = session["run"]["id"].as_str().context("a run")?.trim_start_matches("run_");
    let job = format!("job/run-{run}");
    let path = "jsonpath={.status.ready}";
    until("the tenant knows that the pod runs", PATIENCE_S, || {
        let ready = tenant.kubectl(&["-n", "agents", "get", &job, "-o", path])?.success()?;
        Ok(if ready == "1" { Ok(()) } else { Err(ready) })
    })?;
    let start = probe::now();
    let seen = read(tenant, &id, &job)?;
    ensure!(seen.spoke - start > AHEAD_S, "the reader came too late for the first line");
    let session = tenant.session_end_told(&id, PATIENCE_S)?;
    ensure!(session["state"] == "succeeded", "{session}");
    Ok(seen)
}

fn follow(tenant: &TestTenant, id: &str, _: &str) -> Result<Seen> {
    let path = tenant.path(&format!("/sessions/{id}/logs?follow=true"));
    let request = tenant.lab.request(reqwest::Method::GET, &path)?.header("Accept", "text/plain");
    let limit = Duration::from_secs(PATIENCE_S);
    Seen::read(request.timeout(limit).send()?.error_for_status()?)
}

fn kubectl(tenant: &TestTenant, _: &str, job: &str) -> Result<Seen> {
    let mut command = tenant.kubectl_command()?;
    // It ends by itself when its one request has taken too long.
    command.arg(format!("--request-timeout={PATIENCE_S}s"));
    command.args(["-n", "agents", "logs", "--follow", "--container=agent", job]);
    let mut child = Reader(command.stdout(Stdio::piped()).spawn().context("start kubectl")?);
    let seen = Seen::read(child.0.stdout.take().context("its output")?)?;
    ensure!(child.0.wait()?.success(), "kubectl follows to the end");
    Ok(seen)
}

/// A program that reads along; it does not outlive this.
struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        // One that has ended needs nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a reader saw.
struct Seen {
    /// When the first line was written, by the agent's own word; the time of day in seconds, as everything here.
    spoke: f64,
    /// From then until it was read, in seconds.
    delay: f64,
    /// When the first of the many lines was written.
    flood: f64,
    /// When the last line was read.
    end: f64,
    /// How often each line was read.
    times: Vec<u8>,
}

impl Seen {
    fn read(input: impl Read) -> Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(PATIENCE_S);
        let mut times = vec![0; LINES];
        let (mut first, mut flood, mut end) = (None, None, 0.0);
        for line in BufReader::with_capacity(256 << 10, input).lines() {
            let line = line.context("read the log")?;
            ensure!(Instant::now() < deadline, "not at the end after {PATIENCE_S} s");
            // A line of the runner itself says that some of the agent's are missing.
            let Some((number, time)) = parse(&line) else { continue };
            end = probe::now();
            if let Some(count) = times.get_mut(number) {
                *count = u8::saturating_add(*count, 1);
            }
            if number == 0 {
                first.get_or_insert((time, end - time));
            } else {
                flood.get_or_insert(time);
            }
        }
        let (spoke, delay) = first.context("the first line")?;
        Ok(Self { spoke, delay, flood: flood.context("more lines")?, end, times })
    }

    /// MiB in a second, of what was read.
    #[expect(clippy::cast_precision_loss, reason = "a hundred million bytes")]
    fn rate(&self) -> f64 {
        let read = self.times.iter().map(|times| usize::from(*times)).sum::<usize>();
        (read * LINE_BYTES) as f64 / MEBI / (self.end - self.flood)
    }

    #[expect(clippy::cast_precision_loss, reason = "less than a million lines")]
    fn count(&self, is_meant: impl Fn(u8) -> bool) -> f64 {
        self.times.iter().filter(|times| is_meant(**times)).count() as f64
    }
}

/// The number of a whole line of the agent, and when it was written.
fn parse(line: &str) -> Option<(usize, f64)> {
    let mut words = line.splitn(3, ' ');
    let (number, time) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (line.len() + 1 == LINE_BYTES).then_some((number, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_missing_or_come_twice_are_counted() {
        let line = |n: usize| format!("{:x<119}\n", format!("{n:07} {n}.5 "));
        let note = "warren-runner: 1 lines are missing here\n".to_owned();
        let text = [line(0), line(1), note, line(3), line(3)].concat();
        let seen = Seen::read(text.as_bytes()).expect("a log");
        assert_eq!(seen.times[..4], [1, 1, 0, 2]);
        assert!((seen.spoke - 0.5).abs() < 1e-9 && (seen.flood - 1.5).abs() < 1e-9);
    }
}
