//! The machine that both sides of a figure run on.

use anyhow::{Context, Result, ensure};
use black_box::run;
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// Lets time pass between two looks at the same thing.
#[expect(clippy::disallowed_methods, reason = "what holds over time is measured by waiting")]
pub(crate) fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// Lets the machine finish what the run before has left: memory to write down, pods to take away. The other side
/// must not pay for that.
pub(crate) fn rest() -> Result<()> {
    const SHARE: f64 = 0.25;
    run(&mut Command::new("sync"), "")?.success()?;
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut before = processors()?;
    loop {
        wait(Duration::from_secs(1));
        let (busy, all) = processors()?;
        let share = (busy - before.0) / (all - before.1).max(1.0);
        if share < SHARE {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the machine is {:.0} % busy for a minute",
            share * 100.0
        );
        before = (busy, all);
    }
}

/// The time of all processors since the start that was spent on work of this machine, and all of it; proc(5),
/// `/proc/stat`.
fn processors() -> Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let line = stat.lines().next().context("a line for all processors")?;
    let times: Vec<f64> = line.split_whitespace().skip(1).flat_map(str::parse).collect();
    let [user, nice, system, idle, io_wait, irq, soft_irq, steal] =
        times.first_chunk().context("eight times of processors")?;
    let busy = user + nice + system + irq + soft_irq;
    Ok((busy, busy + idle + io_wait + steal))
}
