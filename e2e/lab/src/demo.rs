//! `demo`: what a person would do with Warren first, with its command line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::command::{output, tail};
use crate::context::Context;
use crate::kubectl;
use crate::lab::Lab;
use crate::shell;

const TENANT: &str = "demo";
/// The command line's exit code for something that is not there.
const NOT_FOUND: i32 = 3;
/// How long three small packages may take on a busy machine.
const SESSION_LIMIT: &str = "5m";
const REPORT_LINES: usize = 12;
const LOG_LINES: &str = "8";

/// An agent at work on a package.
struct Session {
    package: String,
    id: String,
}

struct Demo<'a> {
    cx: &'a Context,
    lab: Lab,
    warren: PathBuf,
    environment: Vec<(&'static str, String)>,
}

pub(crate) fn show(cx: &Context) -> Result<()> {
    let start = Instant::now();
    let lab = Lab::read(&cx.layout)?;
    let warren = lab.warren.clone().context("the lab is up without Warren")?;
    let environment = shell::variables(&cx.layout, &lab)?;
    let demo = Demo { cx, lab, warren, environment };
    demo.tenant()?;
    let sessions = demo.start_all()?;
    let states = demo.await_all(&sessions)?;
    demo.results(&sessions, &states)?;
    demo.objects()?;
    let seconds = start.elapsed().as_secs();
    say(&format!(
        "\nThat took {seconds} s. Warren's API is at {}; look around:\n\n  \
         eval \"$(cargo lab env)\"\n  \
         warren tenant describe {TENANT}\n  \
         warren session get --tenant {TENANT}\n  \
         cat \"$WARREN_LINK_FILE\"   # open it in a browser: the portal, as its first operator\n\n\
         `cargo lab down` stops everything and removes it.",
        demo.lab.api_url
    ));
    let failed = sessions.iter().zip(&states).find(|(_, state)| *state != "succeeded");
    failed.map_or(Ok(()), |(session, state)| bail!("the agent of {} {state}", session.package))
}

impl Demo<'_> {
    /// Makes the tenant, or takes the one of the last time.
    fn tenant(&self) -> Result<()> {
        let mut tenant = self.known_tenant()?;
        if tenant.as_ref().is_some_and(|known| !known["deletionRequestedAt"].is_null()) {
            self.step(&["tenant", "wait", TENANT, "--for", "deleted"])?;
            tenant = None;
        }
        match tenant {
            Some(_) => self.step(&["tenant", "wait", TENANT]),
            None => self.step(&["tenant", "create", TENANT, "--plan", "pro", "--wait"]),
        }
    }

    fn known_tenant(&self) -> Result<Option<Value>> {
        let said = self.ask(&["tenant", "get", TENANT, "-o", "json"])?;
        match said.status.code() {
            Some(0) => Ok(Some(serde_json::from_slice(&said.stdout)?)),
            Some(NOT_FOUND) => Ok(None),
            _ => bail!("look for the tenant: {}", String::from_utf8_lossy(&said.stderr)),
        }
    }

    /// Starts one agent for each package, all at once.
    fn start_all(&self) -> Result<Vec<Session>> {
        let image = self.lab.image("agent")?;
        ensure!(!self.lab.packages.is_empty(), "the lab fetched no packages");
        let start = Instant::now();
        let sessions = side_by_side(&self.lab.packages, |archive| {
            let input = archive.to_str().context("paths of the cache are text")?;
            let options =
                ["session", "run", "--tenant", TENANT, "--image", image, "--input", input];
            let agent = ["-o", "name", "--", "/usr/bin/python3", "/agent/agent.py"];
            let words = [&options[..], &agent].concat();
            self.announce(&words);
            let said = self.answer(&words)?;
            let id = said.trim().strip_prefix("session/").context("a session has a name")?;
            Ok(Session { package: file_name(archive), id: id.into() })
        })?;
        took(start);
        Ok(sessions)
    }

    /// Waits for the agents; gives back the states that they ended in.
    fn await_all(&self, sessions: &[Session]) -> Result<Vec<String>> {
        let start = Instant::now();
        let states = side_by_side(sessions, |session| {
            let words = ["session", "wait", &session.id, "--tenant", TENANT];
            self.announce(&words);
            let _task = self.cx.progress.task(format!("an agent checks {}", session.package));
            let more = ["--timeout", SESSION_LIMIT, "-o", "json"];
            // An exit code that is not 0 may also tell of an agent that failed.
            let said = self.ask(&[&words[..], &more].concat())?;
            let ended: Value = serde_json::from_slice(&said.stdout)
                .map_err(|_| anyhow!("{}", String::from_utf8_lossy(&said.stderr)))?;
            Ok(ended["state"].as_str().unwrap_or_default().to_owned())
        })?;
        took(start);
        Ok(states)
    }

    fn results(&self, sessions: &[Session], states: &[String]) -> Result<()> {
        const COLUMNS: [&str; 5] = ["package", "version", "modules", "lines", "findings"];
        let start = Instant::now();
        let mut rows = vec![COLUMNS.map(str::to_uppercase)];
        for (session, _) in sessions.iter().zip(states).filter(|(_, state)| *state == "succeeded") {
            let words = ["session", "result", &session.id, "--tenant", TENANT];
            self.announce(&words);
            let result: Value = serde_json::from_str(&self.answer(&words)?)?;
            rows.push(COLUMNS.map(|column| cell(&result[column])));
        }
        took(start);
        say(&table(&rows));
        self.report(sessions, states)?;
        // The log of one: the first that failed, if any did.
        let one = states.iter().position(|state| state != "succeeded").unwrap_or(0);
        self.step(&["session", "logs", &sessions[one].id, "--tenant", TENANT, "--tail", LOG_LINES])
    }

    /// Shows how the report of one begins, which its agent left as an artifact.
    fn report(&self, sessions: &[Session], states: &[String]) -> Result<()> {
        let mut done = sessions.iter().zip(states).filter(|(_, state)| *state == "succeeded");
        let Some((session, _)) = done.next() else { return Ok(()) };
        let folder = self.cx.layout.state.join("demo");
        let to = folder.to_str().context("paths of the state are text")?;
        let words = ["session", "artifacts", &session.id, "--tenant", TENANT, "--download", to];
        self.step(&words)?;
        let report =
            std::fs::read_to_string(folder.join("report.md")).context("read the report")?;
        let first: Vec<&str> = report.lines().take(REPORT_LINES).collect();
        say(&format!("{}\n…", first.join("\n")));
        Ok(())
    }

    /// Shows what Kubernetes knows of it, as the tenant sees it.
    fn objects(&self) -> Result<()> {
        let kubeconfig = self.cx.layout.state.join("demo.kubeconfig");
        let file = kubeconfig.to_str().context("paths of the state are text")?;
        let words = ["kubeconfig", TENANT, "--overwrite", "-o", file];
        self.announce(&words);
        let start = Instant::now();
        self.answer(&words)?;
        say("$ kubectl --kubeconfig demo.kubeconfig get jobs,pods -A");
        let mut get = kubectl::through_warren(&self.cx.layout, &kubeconfig);
        let said = output(&self.cx.cancel, get.args(["get", "jobs,pods", "-A"]))?;
        say(&text(said)?);
        took(start);
        Ok(())
    }

    /// Runs `warren` as a person would and shows what it says.
    fn step(&self, words: &[&str]) -> Result<()> {
        self.announce(words);
        let start = Instant::now();
        let task = self.cx.progress.task(words[..2].join(" "));
        let answer = self.answer(words)?;
        drop(task);
        say(answer.trim_end());
        took(start);
        Ok(())
    }

    /// What `warren` prints if it succeeds.
    fn answer(&self, words: &[&str]) -> Result<String> {
        text(self.ask(words)?).with_context(|| format!("warren {}", words[..2].join(" ")))
    }

    fn ask(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.warren);
        command.args(words).envs(self.environment.iter().map(|(name, value)| (name, value)));
        output(&self.cx.cancel, &mut command)
    }

    /// Prints a command line as a person would have typed it.
    fn announce(&self, words: &[&str]) {
        let image = self.lab.image("agent").unwrap_or_default();
        let short = |word: &&str| match *word {
            word if word == image => "$WARREN_IMAGE_AGENT".to_owned(),
            word if Path::new(word).is_file() && !word.starts_with("/usr") => {
                file_name(Path::new(word))
            }
            word => word.to_owned(),
        };
        let line: Vec<_> = words.iter().map(short).collect();
        say(&format!("$ warren {}", line.join(" ")));
    }
}

/// Does something with all of a list at the same time.
fn side_by_side<T: Sync, R: Send>(
    list: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = list.iter().map(|item| scope.spawn(move || work(item))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<R>>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
        };
        threads.into_iter().map(join).collect()
    })
}

fn text(said: Output) -> Result<String> {
    let errors = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "{}\n{}", said.status, tail(&errors));
    Ok(String::from_utf8(said.stdout)?)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A value of a result; of a list, how long it is.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.len().to_string(),
        Value::Null => "-".into(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Columns of equal width: names to the left, numbers to the right.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |n: usize| rows.iter().map(|row| row[n].len()).max().unwrap_or(0);
    let line = |row: &[String; N]| {
        let cells = row.iter().enumerate().map(|(n, cell)| match n {
            0 | 1 => format!("{cell:<0$}", width(n)),
            _ => format!("{cell:>0$}", width(n)),
        });
        format!("  {}", cells.collect::<Vec<_>>().join("  "))
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn took(start: Instant) {
    say(&format!("  ({:.1} s)", start.elapsed().as_secs_f64()));
}

/// Prints; nobody may be reading any more, which ends nothing.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_below_one_another() {
        let rows = [["PACKAGE", "VERSION", "LINES"], ["click", "8.3.1", "12345"]];
        let text = table(&rows.map(|row| row.map(String::from)));
        assert_eq!(text, "  PACKAGE  VERSION  LINES\n  click    8.3.1    12345");
    }
}
