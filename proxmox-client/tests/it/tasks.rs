//! Tasks on the wire; how they are watched is tried with simulated time beside the code.

use crate::{
    answers::upid,
    server::{Recorded, Reply, Server},
};
use anyhow::{Context as _, Result, ensure};
use futures::TryStreamExt as _;
use proxmox_client::{Client, Error, Fault, Task, TaskEnd, TaskEvent};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

const MINUTE: Duration = Duration::from_mins(1);

fn task(client: &Client) -> Result<Task> {
    Ok(client.task(upid("qmclone", "9000").parse()?))
}

/// A task that runs while it is looked at so often, and then ends so.
fn ending(looks: usize, exit: &'static str) -> impl Fn(&Recorded) -> Reply + Send + Sync {
    let lines = [
        "create linked clone",
        "transferred 0.0 B of 2.0 GiB (0.00%)",
        "transferred 2.0 GiB of 2.0 GiB (100.00%)",
    ];
    let count = AtomicUsize::new(0);
    move |request| {
        if request.path.ends_with("/status") {
            let look = count.fetch_add(1, Ordering::Relaxed);
            return Reply::Data(if look < looks {
                json!({ "status": "running", "pid": 4711 })
            } else {
                json!({ "status": "stopped", "exitstatus": exit })
            });
        }
        let start =
            request.form().iter().find(|(key, _)| key == "start").map(|(_, value)| value.clone());
        let start: usize = start.and_then(|text| text.parse().ok()).unwrap_or(0);
        let known = count.load(Ordering::Relaxed).min(lines.len());
        let lines: Vec<Value> =
            (start..known).map(|i| json!({ "n": i + 1, "t": lines[i] })).collect();
        Reply::Whole(json!({ "data": lines, "total": known }))
    }
}

#[tokio::test]
async fn a_clone_is_followed_by_its_percentage() -> Result<()> {
    let server = Server::start(ending(3, "OK")).await?;
    let events: Vec<TaskEvent> = task(&server.client()?)?.watch(MINUTE).try_collect().await?;
    let percents: Vec<f64> = events
        .iter()
        .filter_map(|event| match event {
            TaskEvent::Progress(progress) => Some(progress.percent),
            TaskEvent::Line(_) | TaskEvent::Ended(_) => None,
        })
        .collect();
    ensure!(percents == [0.0, 100.0], "{events:?}");
    ensure!(events.last() == Some(&TaskEvent::Ended(TaskEnd::Ok)));
    Ok(())
}

#[tokio::test]
async fn the_fault_of_a_task_is_told_like_that_of_a_call() -> Result<()> {
    let text = "unable to create VM 120: config file already exists";
    let server = Server::start(ending(1, text)).await?;
    let error = task(&server.client()?)?.finish(MINUTE).await.err().context("an error")?;
    ensure!(error.fault() == Some(&Fault::AlreadyExists), "{error:?}");
    ensure!(error.to_string() == format!("task qmclone on pve1: {text}"), "{error}");
    ensure!(server.calls().iter().all(|call| call.ends_with("/status")), "no log was read");
    Ok(())
}

#[tokio::test]
async fn warnings_are_counted() -> Result<()> {
    let server = Server::start(ending(0, "WARNINGS: 2")).await?;
    ensure!(task(&server.client()?)?.finish(MINUTE).await? == 2);
    Ok(())
}

#[tokio::test]
async fn a_task_that_is_not_over_in_time_is_told_by_its_name() -> Result<()> {
    let server = Server::start(ending(usize::MAX, "")).await?;
    let result = task(&server.client()?)?.finish(Duration::from_millis(100)).await;
    let error = result.err().context("an error")?;
    let Error::StillRunning { upid, .. } = &error else { anyhow::bail!("{error:?}") };
    ensure!(upid.kind() == "qmclone");
    Ok(())
}

#[tokio::test]
async fn an_empty_log_has_no_lines() -> Result<()> {
    let server = Server::start(|_| {
        Reply::Whole(json!({ "data": [{ "n": 1, "t": "no content" }], "total": 1 }))
    })
    .await?;
    ensure!(task(&server.client()?)?.log(0).await?.lines.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_task_that_is_forgotten_is_not_found() -> Result<()> {
    let server = Server::start(|_| {
        let errors = json!({ "upid": "no such task" });
        Reply::Error(
            400,
            "Parameter verification failed.",
            json!({ "data": null, "errors": errors }),
        )
    })
    .await?;
    let error = task(&server.client()?)?.wait(MINUTE).await.err().context("an error")?;
    ensure!(error.fault() == Some(&Fault::NotFound(proxmox_client::Missing::Task)), "{error:?}");
    Ok(())
}
