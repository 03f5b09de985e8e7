//! Habits of the real server that are easily overlooked.

use crate::server::{Reply, SECRET, Server};
use anyhow::{Context as _, Result, ensure};
use proxmox_client::{
    Begun, Client, ConfigChange, Destroy, Error, Fault, Missing, NodeName, Slot, Version, Vm, VmId,
};
use serde_json::{Value, json};
use std::{error::Error as _, fmt::Write as _};

fn vm(client: &Client) -> Result<Vm> {
    Ok(client.node(&NodeName::new("pve1")?).vm(VmId::new(120)?))
}

#[tokio::test]
async fn what_is_wrong_may_stand_only_in_the_reason_phrase() -> Result<()> {
    let reason = "Configuration file 'nodes/pve1/qemu-server/120.conf' does not exist";
    for body in [Value::Null, json!({ "data": null })] {
        let server = Server::start(move |_| Reply::Error(500, reason, body.clone())).await?;
        let error = vm(&server.client()?)?.config().await.err().context("an error")?;
        ensure!(error.is_vm_missing() && error.to_string().contains(reason), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_message_says_more_than_the_reason_phrase() -> Result<()> {
    let server = Server::start(|_| {
        Reply::Error(
            500,
            "unable to",
            json!({ "data": null, "message": "unable to\nVM is locked (backup)\n" }),
        )
    })
    .await?;
    let error =
        vm(&server.client()?)?.destroy(Destroy::everything()).await.err().context("an error")?;
    ensure!(error.fault() == Some(&Fault::Locked { lock: "backup".to_owned() }), "{error}");
    Ok(())
}

#[tokio::test]
async fn refused_parameters_are_named() -> Result<()> {
    let server = Server::start(|_| {
        let errors =
            json!({ "cores": "type check ('integer') failed - got 'x'", "memory": "too small\n" });
        Reply::Error(
            400,
            "Parameter verification failed.",
            json!({ "data": null, "errors": errors }),
        )
    })
    .await?;
    let change = ConfigChange::new().cores(2)?;
    let error = vm(&server.client()?)?.change(&change).await.err().context("an error")?;
    let Some(Fault::BadParameter { fields }) = error.fault() else { anyhow::bail!("{error:?}") };
    ensure!(fields.len() == 2 && fields[1].to_string() == "memory: too small", "{fields:?}");
    ensure!(error.to_string().contains("cores: type check"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_taken_number_is_told_as_a_refused_parameter() -> Result<()> {
    let server = Server::start(|request| match request.query.as_str() {
        "vmid=120" => {
            let errors = json!({ "vmid": "VM 120 already exists on node 'pve1'" });
            Reply::Error(
                400,
                "Parameter verification failed.",
                json!({ "data": null, "errors": errors }),
            )
        }
        "vmid=121" => Reply::Data(json!("121")),
        _ => Reply::error(500, "cluster not ready - no quorum?"),
    })
    .await?;
    let client = server.client()?;
    ensure!(!client.is_free(VmId::new(120)?).await?);
    ensure!(client.is_free(VmId::new(121)?).await?);
    ensure!(client.is_free(VmId::new(122)?).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_closed_after_an_error_does_no_harm() -> Result<()> {
    let server = Server::start(|request| match request.path.as_str() {
        "/nodes" => Reply::Data(json!([])),
        _ => Reply::error(500, "hostname lookup 'pve1' failed - failed to get address info"),
    })
    .await?;
    let client = server.client()?;
    for _ in 0..3 {
        client.nodes().await?;
        let error = vm(&client)?.config().await.err().context("an error")?;
        ensure!(error.fault() == Some(&Fault::NotFound(Missing::Node)));
    }
    ensure!(server.requests().len() == 6, "nothing was sent twice: {:?}", server.calls());
    Ok(())
}

#[tokio::test]
async fn reads_share_a_connection_and_a_write_has_its_own() -> Result<()> {
    let server = Server::start(|request| match request.method.as_str() {
        "GET" => Reply::Data(json!([])),
        _ => Reply::Data(Value::Null),
    })
    .await?;
    let client = server.client()?;
    for _ in 0..2 {
        client.nodes().await?;
        vm(&client)?.regenerate_cloud_init().await?;
    }
    let connections: Vec<usize> =
        server.requests().iter().map(|request| request.connection).collect();
    ensure!(connections[0] == connections[2], "{connections:?}");
    ensure!(
        connections[1] != connections[0] && connections[1] != connections[3],
        "{connections:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_resize_is_done_at_once_or_begins_a_task() -> Result<()> {
    let server = Server::start(|_| Reply::Data(Value::Null)).await?;
    let begun = vm(&server.client()?)?.grow_to(Slot::scsi(0)?, 40).await?;
    ensure!(matches!(begun, Begun::Done));
    let server =
        Server::start(|_| Reply::Data(json!(crate::answers::upid("resize", "120")))).await?;
    let begun = vm(&server.client()?)?.grow(Slot::scsi(0)?, 10).await?;
    ensure!(matches!(begun, Begun::Task(task) if task.upid().kind() == "resize"));
    let size = server.requests()[0].form();
    ensure!(size.contains(&("size".to_owned(), "+10G".to_owned())), "{size:?}");
    Ok(())
}

#[tokio::test]
async fn what_a_release_does_not_have_is_not_sent() -> Result<()> {
    let server =
        Server::start(|_| Reply::Data(json!({ "version": "7.4-17", "release": "7.4" }))).await?;
    let client = server.client()?;
    let change = ConfigChange::new().upgrades_at_first_start(false);
    let error = vm(&client)?.change(&change).await.err().context("an error")?;
    let Error::TooOld { needs, found, .. } = error else { anyhow::bail!("{error:?}") };
    ensure!(needs == Version::V8_0 && found == Version { major: 7, minor: 4, patch: 17 });
    ensure!(vm(&client)?.stop_overruling_shutdown().await.is_err());
    ensure!(
        server.calls() == ["GET /version"],
        "the release was asked for once: {:?}",
        server.calls()
    );
    Ok(())
}

#[tokio::test]
async fn another_address_is_not_followed() -> Result<()> {
    let server = Server::start(|_| Reply::error(301, "Moved Permanently")).await?;
    let error = server.client()?.nodes().await.err().context("an error")?;
    ensure!(matches!(error, Error::Refused { status: 301, .. }), "{error:?}");
    ensure!(server.requests().len() == 1);
    Ok(())
}

#[tokio::test]
async fn an_error_holds_neither_the_token_nor_a_parameter() -> Result<()> {
    let server = Server::start(|request| match request.method.as_str() {
        "PUT" => Reply::Close,
        _ => Reply::error(500, "something"),
    })
    .await?;
    let client = server.client()?;
    let change = ConfigChange::new().password(&"hunter2".into());
    let lost = vm(&client)?.change(&change).await.err().context("an error")?;
    let refused = vm(&client)?.begin_change(&change).await.err().context("an error")?;
    for error in [lost, refused] {
        let mut text = format!("{error:?} {error} {client:?}");
        let mut source = error.source();
        while let Some(error) = source {
            write!(text, "{error:?} {error}")?;
            source = error.source();
        }
        ensure!(!text.contains("hunter2") && !text.contains(SECRET), "{text}");
    }
    Ok(())
}
