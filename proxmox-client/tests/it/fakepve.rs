//! A second opinion: the client against a fake that nobody here wrote, and its requests against the public
//! descriptions of the API.
//!
//! Both come from Python packages that are installed for tests only and are no part of this project. They are
//! skipped where the environment does not name a Python that has them.

use crate::{
    certificate::Identity,
    server::{SECRET, TOKEN, quick, token},
};
use anyhow::{Context as _, Result, ensure};
use proxmox_client::{Client, Pins, Settings, Trust};
use serde_json::{Value, json};
use std::{path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// A Python with the packages, as `cargo lab test` names one.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where it is")]
pub(crate) fn python() -> Option<PathBuf> {
    let Ok(path) = std::env::var("WARREN_FAKEPVE") else {
        eprintln!("skipped: needs packages of Python; run `cargo lab test`");
        return None;
    };
    Some(path.into())
}

/// A program of this folder's Python ones.
pub(crate) fn program(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name)
}

/// The fake; it ends with this.
pub(crate) struct FakePve {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl FakePve {
    /// Starts it; nothing if there is no Python for it.
    pub(crate) async fn start() -> Result<Option<Self>> {
        let Some(python) = python() else { return Ok(None) };
        let identity = Identity::alone()?;
        let folder = tempfile::tempdir()?;
        let (certificate, key) = identity.files(folder.path())?;
        let mut process = Command::new(python)
            .arg("-B")
            .arg(program("fake.py"))
            .args([certificate, key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start the fake")?;
        let orders = process.stdin.take().context("its input")?;
        let mut answers = BufReader::new(process.stdout.take().context("its output")?).lines();
        let port = answers.next_line().await?.context("its port")?;
        let host = format!("https://127.0.0.1:{port}").parse()?;
        let trust = Trust::Pinned(Pins::new([identity.fingerprint()]));
        let settings = Settings { timing: quick(), ..Settings::new(vec![host], trust, token()?) };
        let client = Client::new(settings.clone())?;
        let mut fake = Self { client, settings, orders, answers, _process: process };
        fake.tell(json!({ "token": [TOKEN, SECRET] })).await?;
        Ok(Some(fake))
    }

    /// Tells it something and waits until it is so.
    pub(crate) async fn tell(&mut self, order: Value) -> Result<()> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await?;
        let answer = self.answers.next_line().await?;
        ensure!(answer.as_deref() == Some("done"), "{order}: {answer:?}");
        Ok(())
    }

    pub(crate) async fn set(&mut self, vm: u32, what: Value) -> Result<()> {
        self.tell(json!({ "vm": vm, "set": what })).await
    }
}
