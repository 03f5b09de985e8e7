//! Several API hosts.

use crate::server::{Reply, Server, nobody, quick, token};
use anyhow::{Context as _, Result, ensure};
use proxmox_client::{Client, Error, NodeName, Pins, Settings, Trust, VmId};
use serde_json::json;

async fn settings(servers: &[&Server]) -> Result<Settings> {
    let mut hosts = vec![nobody().await?];
    for server in servers {
        hosts.push(server.host()?);
    }
    let pins = Pins::new(servers.iter().map(|server| server.fingerprint));
    Ok(Settings { hosts, trust: Trust::Pinned(pins), token: token()?, timing: quick() })
}

#[tokio::test]
async fn a_write_goes_to_another_host_while_nothing_of_it_was_sent() -> Result<()> {
    let server =
        Server::start(|_| Reply::Data(json!(crate::answers::upid("qmstart", "120")))).await?;
    let client = Client::new(settings(&[&server]).await?)?;
    drop(client.node(&NodeName::new("pve1")?).vm(VmId::new(120)?).start().await?);
    ensure!(server.requests().len() == 1);
    let hosts = client.hosts();
    ensure!(
        hosts[1].is_current && hosts[0].failures == 1 && hosts[0].reason.is_some(),
        "{hosts:?}"
    );
    Ok(())
}

#[tokio::test]
async fn it_stays_with_the_host_that_has_answered() -> Result<()> {
    let one = Server::start(|_| Reply::Data(json!([]))).await?;
    let other = Server::start(|_| Reply::Data(json!([]))).await?;
    let client = Client::new(settings(&[&one, &other]).await?)?;
    for _ in 0..5 {
        client.nodes().await?;
    }
    ensure!(one.requests().len() == 5 && other.requests().is_empty());
    ensure!(client.hosts()[0].failures == 1, "the first one was asked once");
    Ok(())
}

#[tokio::test]
async fn a_read_that_one_host_cannot_hand_on_goes_to_another_one() -> Result<()> {
    let one = Server::start(|_| Reply::error(595, "No route to host")).await?;
    let other = Server::start(|_| Reply::Data(json!([]))).await?;
    let client = Client::new(settings(&[&one, &other]).await?)?;
    client.nodes().await?;
    ensure!(one.requests().len() == 1 && other.requests().len() == 1);
    Ok(())
}

#[tokio::test]
async fn when_all_hosts_are_gone_each_is_named() -> Result<()> {
    let hosts = vec![nobody().await?, nobody().await?];
    let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let settings = Settings {
        timing: quick(),
        ..Settings::new(hosts, Trust::Pinned(Pins::default()), token()?)
    };
    let client = Client::new(settings)?;
    for _ in 0..3 {
        ensure!(client.nodes().await.is_err());
    }
    let error = client.nodes().await.err().context("an error")?;
    let Error::Unreachable { source, .. } = &error else { anyhow::bail!("{error:?}") };
    ensure!(names.iter().all(|name| source.to_string().contains(name)), "{source}");
    Ok(())
}

#[tokio::test]
async fn one_host_alone_is_asked_once_however_the_others_are() -> Result<()> {
    let good = Server::start(|_| Reply::Data(json!({ "version": "8.4.1" }))).await?;
    let ill = Server::start(|_| Reply::error(595, "No route to host")).await?;
    let client = Client::new(settings(&[&good, &ill]).await?)?;
    for host in client.hosts() {
        let (asked, alone) = ((&good, &ill), client.alone(&host.host));
        let answer = alone.greet().await;
        let is_good = host.host == good.host()?;
        ensure!(answer.is_ok() == is_good, "{answer:?}");
        ensure!(alone.hosts().len() == 1 && asked.1.requests().len() <= 1);
    }
    ensure!(good.requests().len() == 1 && ill.requests().len() == 1, "nobody was asked again");
    ensure!(client.hosts().iter().all(|host| host.failures == 0), "the others know nothing of it");
    Ok(())
}
