//! What goes wrong between the client and the server, and what is made of it.

use crate::{
    answers::upid,
    server::{Reply, Server, client, nobody, quick, token},
};
use anyhow::{Context as _, Result, ensure};
use proxmox_client::{
    Client, CloneOptions, Error, Fault, FileName, Node, NodeName, Pins, Repeat, Sent, Settings,
    StorageId, Timing, Trust, VmId,
};
use serde_json::json;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

fn node(client: &Client) -> Result<Node> {
    Ok(client.node(&NodeName::new("pve1")?))
}

async fn begin_clone(client: &Client) -> Result<Error> {
    let template = node(client)?.vm(VmId::new(9000)?);
    let result = template.clone_to(VmId::new(120)?, &CloneOptions::new()).await;
    result.err().context("the clone was accepted")
}

fn unknown(error: &Error) -> Result<&Sent> {
    let Error::OutcomeUnknown { sent, .. } = error else { anyhow::bail!("{error:?}") };
    Ok(sent)
}

/// Answers the first request so, and later ones well.
fn first(reply: Reply) -> impl Fn(&crate::server::Recorded) -> Reply + Send + Sync {
    let count = AtomicUsize::new(0);
    move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => reply.clone(),
        _ => Reply::Data(json!([])),
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_told_and_not_sent_again() -> Result<()> {
    for reply in [Reply::Close, Reply::Cut] {
        let server = Server::start(first(reply)).await?;
        let error = begin_clone(&server.client()?).await?;
        let sent = unknown(&error)?;
        ensure!(error.repeat() == Repeat::AfterLook);
        ensure!(sent.task == Some("qmclone") && sent.vm == Some(VmId::new(9000)?));
        ensure!(
            sent.node == Some(NodeName::new("pve1")?)
                && sent.call.path == "/nodes/pve1/qemu/9000/clone"
        );
        ensure!(server.requests().len() == 1, "{:?}", server.calls());
    }
    Ok(())
}

#[tokio::test]
async fn the_task_of_a_lost_answer_is_found() -> Result<()> {
    // The server's clock says 12:40:01, and the task began a second earlier.
    let task = |time: u32, kind: &str, user: &str| json!({ "upid": format!("UPID:pve1:0000A1B2:00ABCDEF:{time:08X}:{kind}:9000:{user}:"), "status": "OK" });
    let now = 1_795_351_201;
    let server = Server::start(move |request| match request.method.as_str() {
        "POST" => Reply::Close,
        _ => Reply::Data(json!([
            task(now - 1, "qmclone", "warren@pve!control"),
            task(now - 600, "qmclone", "warren@pve!control"),
            task(now - 1, "qmclone", "root@pam"),
            task(now, "qmstart", "warren@pve!control"),
        ])),
    })
    .await?;
    let client = server.client()?;
    let error = begin_clone(&client).await?;
    let found = client.find_task(unknown(&error)?).await?;
    ensure!(found.len() == 1 && found[0].upid.started() == now - 1, "{found:?}");
    let query = server.requests().last().context("a look")?.form();
    let has = |key: &str, value: &str| query.contains(&(key.to_owned(), value.to_owned()));
    ensure!(
        has("source", "all") && has("vmid", "9000") && has("typefilter", "qmclone"),
        "{query:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_read_whose_answer_is_lost_is_sent_again() -> Result<()> {
    for reply in [
        Reply::Close,
        Reply::Cut,
        Reply::error(596, "Broken pipe"),
        Reply::error(502, "Bad Gateway"),
    ] {
        let server = Server::start(first(reply)).await?;
        server.client()?.nodes().await?;
        ensure!(server.requests().len() == 2, "{:?}", server.calls());
    }
    Ok(())
}

#[tokio::test]
async fn a_read_is_not_sent_for_ever() -> Result<()> {
    let server = Server::start(|_| Reply::error(595, "No route to host")).await?;
    let error = server.client()?.nodes().await.err().context("an error")?;
    ensure!(error.fault() == Some(&Fault::NodeUnreachable) && error.repeat() == Repeat::Later);
    ensure!(server.requests().len() == quick().reads);
    let server = Server::start(|_| Reply::Close).await?;
    let error = server.client()?.nodes().await.err().context("an error")?;
    ensure!(
        matches!(error, Error::NoAnswer { .. }) && error.repeat() == Repeat::Later,
        "{error:?}"
    );
    ensure!(server.requests().len() == quick().reads);
    Ok(())
}

#[tokio::test]
async fn a_read_that_was_refused_is_not_sent_again() -> Result<()> {
    let server = Server::start(|_| Reply::error(500, "cluster not ready - no quorum?")).await?;
    let error = server.client()?.nodes().await.err().context("an error")?;
    ensure!(error.fault() == Some(&Fault::NoQuorum));
    ensure!(server.requests().len() == 1);
    Ok(())
}

#[tokio::test]
async fn a_write_to_a_node_that_was_not_reached_has_not_happened() -> Result<()> {
    let server = Server::start(|_| Reply::error(595, "Connection refused")).await?;
    let error = begin_clone(&server.client()?).await?;
    ensure!(error.fault() == Some(&Fault::NodeUnreachable) && error.repeat() == Repeat::Later);
    ensure!(server.requests().len() == 1);
    Ok(())
}

#[tokio::test]
async fn a_write_that_something_on_the_way_lost_may_have_happened() -> Result<()> {
    for (status, reason) in
        [(596, "Broken pipe"), (599, "Timeout"), (502, "Bad Gateway"), (504, "Gateway Timeout")]
    {
        let server = Server::start(move |_| Reply::error(status, reason)).await?;
        let error = begin_clone(&server.client()?).await?;
        unknown(&error).with_context(|| format!("status {status}"))?;
        ensure!(server.requests().len() == 1);
    }
    Ok(())
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() -> Result<()> {
    let settings = Settings {
        timing: quick(),
        ..Settings::new(vec![nobody().await?], Trust::Pinned(Pins::default()), token()?)
    };
    let client = Client::new(settings)?;
    let error = begin_clone(&client).await?;
    ensure!(
        matches!(error, Error::Unreachable { .. }) && error.repeat() == Repeat::Later,
        "{error:?}"
    );
    ensure!(client.hosts()[0].failures == 1);
    Ok(())
}

#[tokio::test]
async fn a_mute_server_is_left_alone_for_a_while() -> Result<()> {
    let server = Server::start(|_| Reply::Mute).await?;
    let timing =
        Timing { read: Duration::from_millis(200), write: Duration::from_millis(200), ..quick() };
    let client = client(&[&server], timing)?;
    let error = begin_clone(&client).await?;
    unknown(&error)?;
    let error = client.nodes().await.err().context("an error")?;
    ensure!(matches!(error, Error::Unreachable { .. }), "it is not asked again: {error:?}");
    ensure!(server.requests().len() == 1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let error = client.nodes().await.err().context("an error")?;
    ensure!(matches!(error, Error::NoAnswer { .. }), "a single call tries it: {error:?}");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_told() -> Result<()> {
    let server = Server::start(|_| Reply::Noise).await?;
    let error = server.client()?.nodes().await.err().context("an error")?;
    ensure!(
        matches!(error, Error::Unreadable { .. }) && error.repeat() == Repeat::Never,
        "{error:?}"
    );
    let server = Server::start(|_| Reply::Data(json!([{ "node": "not a node" }]))).await?;
    let error = server.client()?.nodes().await.err().context("an error")?;
    ensure!(matches!(error, Error::Unreadable { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn no_more_calls_go_to_a_node_than_it_has_workers() -> Result<()> {
    let server = Server::start(|_| {
        let answer = Reply::Data(json!(upid("qmstart", "120")));
        Reply::After(Duration::from_millis(20), Box::new(answer))
    })
    .await?;
    let client = server.client()?;
    let vm = node(&client)?.vm(VmId::new(120)?);
    drop(vm.start().await?);
    let starts = (0..12).map(|_| vm.start());
    for result in futures::future::join_all(starts).await {
        drop(result?);
    }
    ensure!(server.most_at_once() == 3, "{}", server.most_at_once());
    Ok(())
}

#[tokio::test]
async fn a_call_that_waits_too_long_for_its_turn_is_told() -> Result<()> {
    let server = Server::start(|request| match request.method.as_str() {
        "GET" => Reply::Data(json!([])),
        _ => Reply::Mute,
    })
    .await?;
    let timing = Timing { write: Duration::from_millis(50), ..quick() };
    let client = client(&[&server], timing)?;
    client.nodes().await?;
    let storage = node(&client)?.storage(&StorageId::new("local")?);
    let name = FileName::new("seed.iso")?;
    let uploads: Vec<_> = (0..3)
        .map(|_| {
            let (storage, name) = (storage.clone(), name.clone());
            tokio::spawn(async move { storage.upload_iso(&name, b"image").await.map(drop) })
        })
        .collect();
    while server.requests().len() < 4 {
        tokio::task::yield_now().await;
    }
    let error = node(&client)?.vm(VmId::new(120)?).start().await.err().context("an error")?;
    ensure!(
        matches!(error, Error::Busy { limit: 3, .. }) && error.repeat() == Repeat::Later,
        "{error:?}"
    );
    ensure!(server.requests().len() == 4, "nothing was sent");
    uploads.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}
