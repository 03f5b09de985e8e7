//! Where the lab keeps its things.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Serialize, de::DeserializeOwned};

/// Marks a folder as one that `down` may delete.
const MARKER: &str = ".warren-lab";

/// The folders of one lab.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// What was built and fetched; survives `down`.
    pub(crate) cache: PathBuf,
    /// What runs; deleted by `down`.
    pub(crate) state: PathBuf,
    /// The sources that this program was built from.
    pub(crate) checkout: PathBuf,
}

impl Layout {
    pub(crate) fn new(cache: PathBuf, state: PathBuf) -> Result<Self> {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .context("this crate lies two folders below the checkout")?
            .to_owned();
        for path in [&cache, &state] {
            ensure!(path.is_absolute(), "{} is not an absolute path", path.display());
            ensure!(!path.starts_with("/run"), "{}: nodes hide /run", path.display());
        }
        ensure!(!cache.starts_with(&state), "the cache must not lie inside the state");
        Ok(Self { cache, state, checkout })
    }

    /// Makes the state folder and its marker; refuses a folder with anybody else's files.
    pub(crate) fn create_state(&self) -> Result<()> {
        let state = &self.state;
        if state.exists() && !self.owns_state() && state.read_dir()?.next().is_some() {
            bail!("{} holds files that are not the lab's", state.display());
        }
        std::fs::create_dir_all(state)?;
        std::fs::write(state.join(MARKER), "`cargo lab down` deletes this folder.\n")?;
        for folder in ["bin", "kine", "log", "nodes", "pid", "pki", "storage"] {
            std::fs::create_dir_all(state.join(folder))?;
        }
        Ok(())
    }

    /// Whether the state folder was made by a lab.
    pub(crate) fn owns_state(&self) -> bool {
        self.state.join(MARKER).exists()
    }

    pub(crate) fn log(&self, part: &str) -> PathBuf {
        self.state.join("log").join(format!("{part}.log"))
    }

    /// Holds the process number of a part that runs.
    pub(crate) fn pid(&self, part: &str) -> PathBuf {
        self.state.join("pid").join(part)
    }

    /// The log of builds and downloads; it outlives the lab.
    pub(crate) fn build_log(&self, name: &str) -> PathBuf {
        self.cache.join("log").join(format!("{name}.log"))
    }

    /// The link to a program that runs under its own name.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.state.join("bin").join(name)
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.state.join("pki").join(file)
    }

    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.pki(&format!("{user}.kubeconfig"))
    }

    pub(crate) fn node(&self, node: &str) -> PathBuf {
        self.state.join("nodes").join(node)
    }

    /// Files on a private mount that hold the nodes' mount namespaces.
    pub(crate) fn namespaces(&self) -> PathBuf {
        self.state.join("namespaces")
    }

    pub(crate) fn plan(&self) -> PathBuf {
        self.state.join("plan.json")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.state.join("supervisor.json")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.state.join("supervisor.sock")
    }

    /// A Python environment with Kubernetes' client, while tests run.
    pub(crate) fn python(&self) -> PathBuf {
        self.state.join("python")
    }

    /// What tests read.
    pub(crate) fn lab_json(&self) -> PathBuf {
        self.state.join("lab.json")
    }
}

/// Writes a file so that a reader sees the old content or the new, never a part.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(value)?;
    let next = path.with_extension("next");
    std::fs::write(&next, text).with_context(|| format!("write {}", next.display()))?;
    std::fs::rename(&next, path).with_context(|| format!("write {}", path.display()))
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("understand {}", path.display()))
}
