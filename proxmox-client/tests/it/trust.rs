//! Which certificates are accepted, and by what a refusal says why.

use crate::{
    certificate::{Authority, Identity},
    server::{Reply, Server, quick, token},
};
use anyhow::{Context as _, Result, ensure};
use proxmox_client::{Client, Error, Fingerprint, NodeName, Pins, Settings, Trust, VmId};
use serde_json::{Value, json};

fn trusting(server: &Server, trust: Trust) -> Result<Client> {
    let settings = Settings::new(vec![server.host()?], trust, token()?);
    Ok(Client::new(Settings { timing: quick(), ..settings })?)
}

async fn refusal(client: &Client) -> Result<String> {
    let error = client.nodes().await.err().context("the server was trusted")?;
    let Error::Untrusted { reason, .. } = error else { anyhow::bail!("{error:?}") };
    Ok(reason)
}

fn empty() -> Reply {
    Reply::Data(json!([]))
}

#[tokio::test]
async fn a_pin_accepts_its_certificate_and_no_other() -> Result<()> {
    let server = Server::start(|_| empty()).await?;
    trusting(&server, Trust::Pinned(Pins::new([server.fingerprint])))?.nodes().await?;
    let other = Pins::new([Fingerprint::of(b"another certificate")]);
    let client = trusting(&server, Trust::Pinned(other))?;
    let reason = refusal(&client).await?;
    ensure!(reason.contains(&server.fingerprint.to_string()), "{reason}");
    let vm = client.node(&NodeName::new("pve1")?).vm(VmId::new(120)?);
    ensure!(matches!(vm.start().await, Err(Error::Untrusted { .. })));
    ensure!(server.requests().len() == 1, "the token went only to the server that is trusted");
    Ok(())
}

#[tokio::test]
async fn a_pin_does_not_look_at_dates_and_names() -> Result<()> {
    let expired = Authority::new()?.sign(&["elsewhere"], -1)?;
    let server = Server::start_as(&expired, |_| empty()).await?;
    trusting(&server, Trust::Pinned(Pins::new([server.fingerprint])))?.nodes().await?;
    Ok(())
}

#[tokio::test]
async fn the_authority_of_the_cluster_covers_its_nodes() -> Result<()> {
    let authority = Authority::new()?;
    let server =
        Server::start_as(&authority.sign(&["pve1", "127.0.0.1"], 700)?, |_| empty()).await?;
    trusting(&server, Trust::Authority(authority.pem()))?.nodes().await?;
    let other = Authority::new()?;
    let reason = refusal(&trusting(&server, Trust::Authority(other.pem()))?).await?;
    ensure!(!reason.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_expired_certificate_and_another_name_are_refused() -> Result<()> {
    let authority = Authority::new()?;
    let server = Server::start_as(&authority.sign(&["127.0.0.1"], -1)?, |_| empty()).await?;
    let reason = refusal(&trusting(&server, Trust::Authority(authority.pem()))?).await?;
    ensure!(reason.contains("expired"), "{reason}");
    let server = Server::start_as(&authority.sign(&["pve9"], 700)?, |_| empty()).await?;
    let reason = refusal(&trusting(&server, Trust::Authority(authority.pem()))?).await?;
    ensure!(reason.contains("name") || reason.contains("127.0.0.1"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn the_machine_does_not_trust_a_cluster_by_itself() -> Result<()> {
    let server = Server::start(|_| empty()).await?;
    refusal(&trusting(&server, Trust::System)?).await?;
    trusting(&server, Trust::AnyCertificateEvenAnAttackers)?.nodes().await?;
    Ok(())
}

#[tokio::test]
async fn the_pins_of_other_nodes_are_learnt_from_a_trusted_one() -> Result<()> {
    let peer = Server::start(|_| empty()).await?;
    let fingerprint = peer.fingerprint;
    let server = Server::start(move |_| {
        let pin: Value = fingerprint.to_string().into();
        Reply::Data(json!([{ "node": "pve1", "ssl_fingerprint": pin }, { "node": "pve2" }]))
    })
    .await?;
    let pins = Pins::new([server.fingerprint]);
    refusal(&trusting(&peer, Trust::Pinned(pins.clone()))?).await?;
    let client = trusting(&server, Trust::Pinned(pins.clone()))?;
    ensure!(client.learn_pins().await? == [fingerprint]);
    ensure!(client.learn_pins().await?.is_empty(), "nothing new");
    trusting(&peer, Trust::Pinned(pins))?.nodes().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_must_hold_the_key_of_the_pinned_certificate() -> Result<()> {
    let real = Identity::alone()?;
    let thief = Identity::alone()?.pretending_to_be(&real);
    let server = Server::start_as(&thief, |_| empty()).await?;
    let client = trusting(&server, Trust::Pinned(Pins::new([real.fingerprint()])))?;
    ensure!(client.nodes().await.is_err());
    ensure!(server.requests().is_empty(), "the token was not sent");
    Ok(())
}
