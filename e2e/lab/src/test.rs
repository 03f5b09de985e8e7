//! `test`: everything that the project claims about itself, checked; the lab is up
//! while those tests run that need it.

mod count;
mod group;
mod tools;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::Signal;

use crate::cancel::Attempt;
use crate::cargo::{Tests, build_tests, cargo};
use crate::context::Context;
use crate::debian::{self, TEST_NEEDS, TOOLS};
use crate::layout::read_json;
use crate::plan::Plan;
use crate::record::{Health, Record};
use crate::{clean, golang, python, up};
use count::Count;
use group::{Check, Group, Outcome};
use tools::Tool;

/// The limit for what every agent's pod copies at its start.
const RUNNER_BYTES: u64 = 3 << 20;

/// How many histories of sessions are simulated.
const HISTORIES: &str = "10000";

/// How the names of tests begin that have the lab to themselves.
const ALONE: &str = "alone::";

/// How long the supervisor may take to notice that a part is dead.
const TOLD: Duration = Duration::from_secs(5);

/// Runs all tests from nothing to nothing.
pub(crate) fn test(cx: &Context) -> Result<ExitCode> {
    if clean::is_anything_left(&cx.layout)? {
        cx.progress.say("a lab is there: it is taken down, tests start from nothing");
        clean::down(cx)?;
    }
    let start = Instant::now();
    let mut outcomes = Vec::new();
    thread::scope(|scope| {
        let tools = scope.spawn(|| tools::install(cx));
        let prepared = prepare(cx);
        if let Err(error) = &prepared {
            cx.progress.say(format!("the lab cannot be prepared, the rest goes on: {error:#}"));
        }
        thread::scope(|scope| {
            let others = scope.spawn(|| {
                let mut outcomes = vec![example(cx), runner_size(cx, &prepared), go(cx)];
                let tools = tools.join().unwrap_or_else(|_| Err(anyhow!("installing panicked")));
                outcomes.push(dependencies(cx, tools));
                outcomes
            });
            outcomes.extend(workspace(cx));
            outcomes.extend(others.join().unwrap_or_default());
        });
        outcomes.push(simulation(cx));
        let (shared, tests) = sharing(cx, prepared);
        outcomes.push(shared);
        outcomes.push(alone(cx, tests));
        outcomes.push(taken_down(cx));
    });
    let took = start.elapsed().as_secs();
    cx.progress.say(format!("all of it took {} min {} s", took / 60, took % 60));
    summary(&outcomes)
}

/// What the lab and the tests that look at it are made of.
#[derive(Debug)]
struct Prepared {
    plan: Plan,
    tests: Vec<PathBuf>,
}

/// Builds and fetches everything that later steps need.
fn prepare(cx: &Context) -> Result<Prepared> {
    debian::install(cx, &TEST_NEEDS)?;
    debian::install_postgresql(cx)?;
    tools::rust_components(cx)?;
    let mut tests = Vec::new();
    let plan = Plan::prepare(cx, |cx| {
        let Tests { servers, black_box } = build_tests(cx)?;
        tests = black_box;
        Ok(Some(servers))
    })?;
    Ok(Prepared { plan, tests })
}

/// What cargo says about the workspace; these share its folder, so one goes after the other.
fn workspace(cx: &Context) -> Vec<Outcome> {
    let check = |arguments: &str, count| {
        let mut command = cargo(&cx.layout);
        command.args(arguments.split_whitespace());
        Check::program(command, count)
    };
    let mut rust_tests = cargo(&cx.layout);
    rust_tests.args(["test", "--workspace", "--exclude", "black-box", "--no-fail-fast"]);
    rust_tests.env("WARREN_TEST_POSTGRES", "required");
    let mut failures = Vec::new();
    let clients = [
        ("WARREN_FAKEPVE", python::with_proxmox(cx)),
        ("PROXMOX_SIMULATOR_PYTHON", python::with_proxmoxer(cx)),
    ];
    for (name, python) in clients {
        match python {
            Ok(python) => drop(rust_tests.env(name, python.join("bin/python3"))),
            Err(error) => failures.push(Check::Fact(Err(error))),
        }
    }
    let rust_tests = [Check::program(rust_tests, Count::Cargo)].into_iter().chain(failures);
    let mut rustdoc = cargo(&cx.layout);
    rustdoc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    let clippy = "clippy --workspace --all-targets -- -D warnings";
    vec![
        Group::new(cx, "format").run([check("fmt --all --check -- --color never", Count::One)]),
        Group::new(cx, "clippy").run([check(clippy, Count::One)]),
        Group::new(cx, "rust tests").run(rust_tests),
        Group::new(cx, "rustdoc").run([Check::program(rustdoc, Count::One)]),
    ]
}

fn example(cx: &Context) -> Outcome {
    let group = Group::new(cx, "python");
    let check = python::with_linter(cx).map_or_else(
        |error| Check::Fact(Err(error)),
        |python| {
            let mut unittest = Command::new(python.join("bin/python3"));
            unittest.current_dir(cx.layout.checkout.join("docs/examples/lint-package"));
            unittest.args(["-B", "-m", "unittest", "-v"]);
            Check::program(unittest, Count::Python)
        },
    );
    group.run([check])
}

fn runner_size(cx: &Context, prepared: &Result<Prepared>) -> Outcome {
    let size = || {
        let prepared = prepared.as_ref().map_err(|_| anyhow!("nothing was built"))?;
        let runner = prepared.plan.runner.as_ref().context("the runner was not built")?;
        let bytes = runner.metadata()?.len();
        let text = format!("the runner has {bytes} bytes; at most {RUNNER_BYTES} are allowed");
        ensure!(bytes <= RUNNER_BYTES, "{text}");
        Ok(text)
    };
    Group::new(cx, "runner size").run([Check::Fact(size())])
}

/// Our own Go packages. The programs around Kubernetes and DNS are a few lines each,
/// which their build checks; vetting them would compile Kubernetes once more.
fn go(cx: &Context) -> Outcome {
    let group = Group::new(cx, "go");
    let packages = ["./internal/...", "./cmd/network-policy", "./cmd/local-storage"];
    let mut format = Command::new("gofmt");
    format.arg("-l").arg(cx.layout.checkout.join("e2e/lab/go"));
    let mut vet = golang::own(cx, "vet");
    vet.args(packages);
    let mut test = golang::own(cx, "test");
    test.args(["-json", "-count=1"]).args(packages);
    let mut checks = vec![Check::program(format, Count::Silent), Check::program(vet, Count::One)];
    checks.push(match TOOLS.fetch(cx) {
        Ok(tools) => {
            let (nft, libraries) = debian::nft(&tools.root);
            test.env("LAB_NFT", nft).env("LD_LIBRARY_PATH", libraries);
            Check::program(test, Count::Go)
        }
        Err(error) => Check::Fact(Err(error)),
    });
    group.run(checks)
}

fn dependencies(cx: &Context, tools: Result<[Tool; 2]>) -> Outcome {
    let checks = match tools {
        Ok([deny, machete]) => {
            let mut licences = deny.command(cx);
            licences.args(["--color", "never", "check", "bans", "licenses", "sources"]);
            vec![
                Check::program(licences, Count::One),
                Check::program(machete.command(cx), Count::One),
            ]
        }
        Err(error) => vec![Check::Fact(Err(error))],
    };
    Group::new(cx, "dependencies").run(checks)
}

/// Thousands of histories of sessions. They use all processors, and tests of the lab beside them would not keep their limits.
fn simulation(cx: &Context) -> Outcome {
    let mut histories = cargo(&cx.layout);
    let words = "test --workspace --exclude black-box --lib simulation::whatever";
    histories.args(words.split_whitespace()).env("WARREN_SIMULATIONS", HISTORIES);
    Group::new(cx, "simulation").run([Check::program(histories, Count::Cargo)])
}

/// Brings the lab up and looks at it from outside, several tests at a time. Nothing else runs meanwhile that would take
/// time from these tests, which have limits. Gives what has the tests.
fn sharing(cx: &Context, prepared: Result<Prepared>) -> (Outcome, Result<Vec<PathBuf>>) {
    let group = Group::new(cx, "lab tests");
    let ready = || {
        let Prepared { plan, tests } = prepared.context("prepare the lab")?;
        ensure!(!tests.is_empty(), "there are no tests of the lab");
        let client = python::with_client(cx)?;
        up::bring_up(cx, &plan)?;
        std::os::unix::fs::symlink(client, cx.layout.python())?;
        anyhow::Ok(tests)
    };
    match ready() {
        Ok(tests) => (look(cx, group, &tests, "4", &["--skip", ALONE]), Ok(tests)),
        Err(error) => {
            let outcome = group.run([Check::Fact(Err(error))]);
            (outcome, Err(anyhow!("the lab is not up")))
        }
    }
}

/// Those that have the lab to themselves, one after the other: they would wait for all others, and all others for them.
fn alone(cx: &Context, tests: Result<Vec<PathBuf>>) -> Outcome {
    let group = Group::new(cx, "lab alone");
    match tests {
        Ok(tests) => look(cx, group, &tests, "1", &[ALONE]),
        Err(error) => group.run([Check::Fact(Err(error))]),
    }
}

/// Runs tests that look at the lab; what it wrote is kept if one fails.
fn look(
    cx: &Context,
    group: Group<'_>,
    tests: &[PathBuf],
    threads: &str,
    which: &[&str],
) -> Outcome {
    let checks = tests.iter().map(|program| {
        let mut test = Command::new(program);
        test.current_dir(cx.layout.checkout.join("e2e/black-box")).args(which);
        test.env("WARREN_LAB", cx.layout.lab_json()).env("RUST_TEST_THREADS", threads);
        Check::program(test, Count::Cargo)
    });
    group.run_with(checks, |has_failed| {
        if has_failed && cx.layout.record().exists() {
            up::keep_logs(cx);
        }
        Ok(())
    })
}

/// Kills a part, which is to be told, and then the supervisor: taking the lab down after
/// that is the harder way.
fn taken_down(cx: &Context) -> Outcome {
    let group = Group::new(cx, "lab down");
    let record = || read_json::<Record>(&cx.layout.record()).context("the lab is not up");
    let told = || {
        let mut known = record()?;
        let part = known.part_mut("warren").context("Warren is a part of it")?.process;
        part.signal(Signal::KILL);
        cx.cancel.until(TOLD, "the death of a part is told", || {
            Attempt::retry(record().and_then(|mut now| {
                let part = now.part_mut("warren").context("it is not listed any more")?;
                let is_told = part.health == Health::Died && part.detail.contains("signal");
                ensure!(is_told, "{:?} {}", part.health, part.detail);
                ensure!(!now.is_healthy(), "the lab is said to be well");
                Ok("a part that was killed is listed as such".to_owned())
            }))
        })
    };
    let crash = || {
        if let Ok(record) = record() {
            record.supervisor.signal(Signal::KILL);
        }
        clean::down(&cx.patient()).context("take the lab down")?;
        ensure!(!clean::is_anything_left(&cx.layout)?, "something of the lab is left");
        anyhow::Ok("no process, namespace, mount, control group or file is left".to_owned())
    };
    group.run(vec![Check::Fact(told()), Check::Fact(crash())])
}

/// Prints what became of every group and, as the last line, of all tests.
fn summary(outcomes: &[Outcome]) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<14} {:>7} {:>7} {:>8}", "GROUP", "PASSED", "FAILED", "SECONDS")?;
    for outcome in outcomes {
        let Outcome { name, tally, took } = outcome;
        let seconds = took.as_secs_f64();
        writeln!(out, "{name:<14} {:>7} {:>7} {seconds:>8.1}", tally.passed, tally.failed)?;
    }
    let passed: u64 = outcomes.iter().map(|outcome| outcome.tally.passed).sum();
    let failed: u64 = outcomes.iter().map(|outcome| outcome.tally.failed).sum();
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
