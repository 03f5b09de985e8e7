//! The steps in which a machine becomes a node of the host cluster.

use super::{
    host,
    owned::{Machine, look},
    power,
};
use crate::{
    machines::{NodeContext, OwnNode},
    node::Ready,
    sagas::{Step, StepError},
};
use async_trait::async_trait;
use jiff::SignedDuration;
use planning::{
    Rendered,
    machine::{
        admit_patch, node_key, password_key, prove, render_password, render_token, token_key,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use std::time::Duration;

/// How long a join token lives: as long as a machine may take to boot. It is deleted at first sight of the node.
const TOKEN_LIVES: SignedDuration = SignedDuration::from_mins(15);
/// Between two looks at a node that is expected.
const LOOK: Duration = Duration::from_millis(500);
/// How many of them before the token is looked after again.
const LOOKS: usize = 60;

/// Tells the host which node to expect, and with which token and password.
#[derive(Debug)]
pub(super) struct Admit;

#[async_trait]
impl Step<OwnNode> for Admit {
    fn name(&self) -> &'static str {
        "admit"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let (host, node) = (host::server(cx), &cx.subject.node);
        // A node that is there has used its token; another one would only be stolen.
        if host::registered(&host, node).await?.is_none() {
            let secrets = cx.cx.store.node_secrets(node.id).await?;
            if host.get(&password_key(&node.name)).await?.is_none() {
                let password = hashed(cx, secrets.password.clone()).await?;
                host::ensure(&host, &password).await?;
            }
            // One that is there is left to die at its time.
            if host.get(&token_key(&secrets.token_id)).await?.is_none() {
                let token = (secrets.token_id.as_str(), secrets.token_secret.expose_secret());
                let expiration = cx.now() + TOKEN_LIVES;
                host::ensure(&host, &render_token(node, token, expiration)).await?;
            }
        }
        host::tell_expected(cx, None).await?;
        Ok(format!("the host cluster expects {}; its join token lives for 15 minutes", node.name))
    }

    async fn undo(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let host = host::server(cx);
        host::forget_token(cx).await?;
        host::remove(&host, &password_key(&cx.subject.node.name)).await?;
        host::tell_expected(cx, Some(&cx.subject.node)).await?;
        Ok("token and password are gone, and the name is not expected any more".to_owned())
    }
}

/// Hashes the password of a node's name; that it takes a while is its purpose.
async fn hashed(cx: &NodeContext<'_>, password: SecretString) -> Result<Rendered, StepError> {
    let (name, random) = (cx.subject.node.name.clone(), cx.cx.ids.secret());
    let hash = tokio::task::spawn_blocking(move || {
        let mut salt = [0; 8];
        salt.copy_from_slice(&random[..8]);
        render_password(&name, password.expose_secret(), salt)
    });
    hash.await.map_err(|error| StepError::Retry(error.to_string()))
}

/// Waits for the node and takes its token away as soon as it is there.
#[derive(Debug)]
pub(super) struct Join;

#[async_trait]
impl Step<OwnNode> for Join {
    fn name(&self) -> &'static str {
        "join"
    }

    fn deadline(&self) -> SignedDuration {
        SignedDuration::from_mins(10)
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let host = host::server(cx);
        cx.progress.say("the machine is booting").await;
        loop {
            // A token that has expired is removed by the host, and lets nobody in: it is made anew.
            Admit.run(cx).await?;
            for _ in 0..LOOKS {
                if host::registered(&host, &cx.subject.node).await?.is_some() {
                    host::forget_token(cx).await?;
                    return Ok("the node has registered, and its join token is gone".to_owned());
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    async fn undo(&self, _: &NodeContext<'_>) -> Result<String, StepError> {
        Ok("its node goes when its machine is switched off".to_owned())
    }
}

/// Compares the node with the machine that was made, and lets pods onto it only then.
#[derive(Debug)]
pub(super) struct Verify;

#[async_trait]
impl Step<OwnNode> for Verify {
    fn name(&self) -> &'static str {
        "verify"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let (host, node) = (host::server(cx), &cx.subject.node);
        let cluster = host::cluster(cx).await?;
        let object = loop {
            // For a while the host believes of a machine that is gone what it heard last.
            let Machine::Ours { .. } = look(cx).await? else { return Err(power::gone()) };
            let Some(object) = host::registered(&host, node).await? else {
                return Err(StepError::Retry(format!("{} is not there any more", node.name)));
            };
            if Ready::of(&object).holds() {
                break object;
            }
            cx.progress.say("its kubelet is not ready yet").await;
            tokio::time::sleep(LOOK).await;
        };
        prove(&object, node, &cluster).map_err(|impostor| {
            let hint =
                "the machine is stopped and destroyed; find out who has joined with its token";
            StepError::fail(
                "impostor",
                format!("{} is not the machine that was made: {impostor}", node.name),
                hint,
            )
        })?;
        host.merge(&node_key(&node.name), &admit_patch(&object, &cluster)).await?;
        let version = object.pointer("/status/nodeInfo/kubeletVersion").and_then(Value::as_str);
        Ok(format!(
            "it is the machine that was made; its kubelet is {}",
            version.unwrap_or("unknown")
        ))
    }

    async fn undo(&self, _: &NodeContext<'_>) -> Result<String, StepError> {
        Ok("its label and taints go with the node".to_owned())
    }
}
