//! What `up` prepared and the supervisor starts.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::cargo::{self, Form, Servers};
use crate::catalogue::{Ingredients, Written};
use crate::context::Context;
use crate::debian::{self, BUILD_NEEDS, PYTHON, TOOLS};
use crate::golang::{Built, Program, Tools};
use crate::host::Host;
use crate::imported;
use crate::python;
use crate::warren;

/// The names that hyperkube goes by.
const HYPERKUBE: [&str; 7] = [
    "kine",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
];

/// Paths of programs and images.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) host: Host,
    pub(crate) programs: BTreeMap<String, PathBuf>,
    /// Unpacked Debian packages with CNI plugins and nft.
    pub(crate) tools: PathBuf,
    pub(crate) images: Vec<Written>,
    /// containerd's store with those images, for nodes whose containerd is the lab's.
    pub(crate) store: Option<PathBuf>,
    /// Warren's binary, once it exists.
    pub(crate) warren: Option<PathBuf>,
    /// The simulator of Proxmox VE, beside Warren and where its machines can join the host cluster.
    pub(crate) simulator: Option<PathBuf>,
    /// Warren's runner, which goes into an image.
    pub(crate) runner: Option<PathBuf>,
    /// Source archives for agents to work on.
    pub(crate) packages: Vec<PathBuf>,
}

impl Plan {
    /// Builds and fetches what the cache lacks; `servers` builds Warren and what it works with, if they are wanted.
    pub(crate) fn prepare(
        cx: &Context,
        servers: impl FnOnce(&Context) -> Result<Option<Servers>>,
    ) -> Result<Self> {
        cx.host.check()?;
        debian::install(cx, &BUILD_NEEDS)?;
        let (warren, simulator) =
            servers(cx)?.map(|servers| (servers.warren, servers.simulator)).unzip();
        // Its machines join what can do without K3s' supervisor.
        let simulator = simulator.filter(|_| cx.host == Host::Parts);
        let runner = warren
            .is_some()
            .then(|| cargo::build(cx, "runner", "warren-runner", Form::Static))
            .transpose()?;
        let tools = TOOLS.fetch(cx)?;
        let python = PYTHON.fetch(cx)?;
        let built = build_programs(cx)?;
        let built_one = |name: &str| built.get(name).with_context(|| format!("{name} is built"));
        let images = Ingredients {
            tools: &tools,
            python: &python,
            vcluster: built_one("vcluster")?,
            vkube: built_one("vkube")?,
            coredns: built_one("coredns")?,
            runner: runner.as_deref(),
        }
        .write(cx)?;
        let store = match cx.host {
            Host::Parts => {
                let (containerd, ctr) = (built_one("containerd")?, built_one("ctr")?);
                Some(imported::prepare(cx, containerd, ctr, &images)?)
            }
            Host::K3s(_) => None,
        };
        let programs = built.into_iter().map(|(name, built)| (name, built.path)).collect();
        let packages = python::archives(cx)?;
        cache::prune(cx)?;
        let (host, tools) = (cx.host.clone(), tools.root);
        Ok(Self { host, programs, tools, images, store, warren, simulator, runner, packages })
    }

    /// Links all programs under the names they run by.
    pub(crate) fn link(&self, cx: &Context) -> Result<()> {
        let link = |target: &Path, name: &str| {
            let path = cx.layout.program(name);
            symlink(target, &path).with_context(|| format!("link {}", path.display()))
        };
        for (name, program) in &self.programs {
            link(program, name)?;
        }
        if let Some(hyperkube) = self.programs.get("hyperkube") {
            HYPERKUBE.iter().try_for_each(|name| link(hyperkube, name))?;
        }
        self.write_nft(&cx.layout.program("nft"))?;
        if let Some(warren) = &self.warren {
            warren::install(&cx.layout, warren)?;
        }
        if let Some(simulator) = &self.simulator {
            // A copy: cargo replaces its own while tests are built.
            std::fs::copy(simulator, cx.layout.program("proxmox-simulator"))
                .context("copy the simulator")?;
        }
        Ok(())
    }

    /// Debian's nft with the libraries that were unpacked beside it.
    fn write_nft(&self, path: &Path) -> Result<()> {
        let (nft, libraries) = debian::nft(&self.tools);
        let script = format!(
            "#!/bin/sh\nexport LD_LIBRARY_PATH='{libraries}'\nexec '{}' \"$@\"\n",
            nft.display()
        );
        std::fs::write(path, script)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o755))?;
        Ok(())
    }

    pub(crate) fn image(&self, name: &str) -> Result<&Written> {
        let image = self.images.iter().find(|image| image.name == name);
        image.with_context(|| format!("the lab made no image {name}"))
    }
}

/// Builds the Go programs, two at a time.
fn build_programs(cx: &Context) -> Result<BTreeMap<String, Built>> {
    let tools = Tools::find()?;
    let built = Mutex::new(BTreeMap::new());
    let build_list = |list: Vec<Program>| {
        for program in list.into_iter().filter(|program| cx.host.needs(program.name)) {
            let result = program.build(cx, &tools)?;
            let mut built = built.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            built.insert(program.name.into(), result);
        }
        anyhow::Ok(())
    };
    std::thread::scope(|scope| {
        let threads = Program::lists().map(|list| scope.spawn(|| build_list(list)));
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a build panicked")))
        })
    })?;
    Ok(built.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}
