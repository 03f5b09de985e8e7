//! A token that is not accepted.

use crate::server::{Reply, Server, TOKEN, client, quick};
use anyhow::{Context as _, Result, ensure};
use proxmox_client::{ApiToken, Error, Fault, Repeat, Timing};
use serde_json::{Value, json};
use std::time::Duration;

/// Refuses the usual token as slowly as the real server, made shorter, and accepts any other.
async fn server() -> Result<Server> {
    Server::start(|request| {
        let sent = request.headers.get("authorization").cloned().unwrap_or_default();
        if sent.contains(TOKEN) {
            let refusal = Reply::Error(401, "Authentication failed!", Value::Null);
            Reply::After(Duration::from_millis(150), Box::new(refusal))
        } else {
            Reply::Data(json!([]))
        }
    })
    .await
}

#[tokio::test]
async fn a_bad_token_is_one_slow_refusal_and_not_a_storm() -> Result<()> {
    let server = server().await?;
    let client = server.client()?;
    let results = futures::future::join_all((0..20).map(|_| client.nodes())).await;
    ensure!(server.requests().len() == 1, "{}", server.requests().len());
    let mut sent = 0;
    for result in results {
        let error = result.err().context("an error")?;
        ensure!(error.fault() == Some(&Fault::Unauthorized) && error.repeat() == Repeat::Never);
        let Error::Unauthorized { text, was_sent, .. } = error else { anyhow::bail!("{error:?}") };
        ensure!(text == "Authentication failed!");
        sent += usize::from(was_sent);
    }
    ensure!(sent == 1);
    ensure!(client.nodes().await.is_err());
    ensure!(server.requests().len() == 1, "and none later");
    Ok(())
}

#[tokio::test]
async fn a_new_token_is_tried_at_once() -> Result<()> {
    let server = server().await?;
    let client = server.client()?;
    ensure!(client.nodes().await.is_err());
    client.replace_token(ApiToken::new("warren@pve!other", "secret".to_owned())?);
    client.nodes().await?;
    ensure!(client.token_id() == "warren@pve!other");
    Ok(())
}

#[tokio::test]
async fn after_a_while_the_token_is_tried_again() -> Result<()> {
    let server = server().await?;
    let timing = Timing { cool_down: Duration::from_millis(200), ..quick() };
    let client = client(&[&server], timing)?;
    ensure!(client.nodes().await.is_err());
    tokio::time::sleep(Duration::from_millis(250)).await;
    ensure!(client.nodes().await.is_err());
    ensure!(server.requests().len() == 2);
    Ok(())
}
