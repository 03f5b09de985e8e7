//! `bench`: measures Warren as it would be used, in the lab that is up.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cargo::{self, Form, cargo};
use crate::command::wait;
use crate::context::Context;
use crate::lab::Lab;
use crate::supervisor::{self, EndBy, Order};
use crate::warren;

pub(crate) fn run(
    cx: &Context,
    name: Option<String>,
    json: bool,
    runs: Option<usize>,
) -> Result<ExitCode> {
    Lab::read(&cx.layout)?.warren.context("the lab is up without Warren")?;
    let program = cargo::build(cx, "warren", "warren", Form::Lab)?;
    // Built before the measuring starts, with its progress shown.
    cargo::build(cx, "bench", "bench", Form::Lab)?;
    warren::install(&cx.layout, &program)?;
    let order = Order { restart: "warren".into(), signal: EndBy::Term };
    supervisor::send(&cx.layout.control_socket(), &order).context("start the optimised Warren")?;

    let mut bench = cargo(&cx.layout);
    bench.args(["run", "--quiet", "--profile", "lab", "--package", "bench", "--"]).args(name);
    if json {
        bench.arg("--json");
    }
    bench.args(runs.map(|runs| format!("--runs={runs}")));
    bench.env("WARREN_LAB", cx.layout.lab_json());
    let status = wait(&cx.cancel, &mut bench)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
