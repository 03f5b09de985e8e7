//! The host cluster, made in one of two ways: of the parts that K3s is made of, each a
//! process of its own, or of a `k3s` binary that somebody gives. Both have the same
//! nodes, addresses, certificates and pod network, and what the lab adds to them (DNS,
//! storage, network policies) is the same too.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::command::capture;
use crate::control_plane::{self, control_proxy, local_storage};
use crate::golang::KUBERNETES;
use crate::k3s;
use crate::layout::Layout;
use crate::network::{CONTROL_ADDRESS, NODES};
use crate::node::{self, network_policy};
use crate::part::Part;
use crate::plan::Plan;

/// Programs that a `k3s` binary holds itself.
const IN_K3S: [&str; 3] = ["containerd", "containerd-shim-runc-v2", "ctr"];

/// How the host cluster is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Host {
    Parts,
    /// By this `k3s` binary.
    K3s(PathBuf),
}

/// Parts that start side by side, and what they make together.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) parts: Vec<Part>,
    pub(crate) makes: Made,
}

/// What a stage has made once its parts are healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// Something that only later stages need.
    Ground,
    ApiServer,
    /// Nodes that can run pods.
    Nodes,
}

impl Host {
    pub(crate) fn new(k3s: Option<PathBuf>) -> Result<Self> {
        let Some(k3s) = k3s else { return Ok(Self::Parts) };
        // Nodes start it from elsewhere.
        let path = std::path::absolute(&k3s).with_context(|| format!("find {}", k3s.display()))?;
        Ok(Self::K3s(path))
    }

    /// Fails unless the binary can take the parts' place.
    pub(crate) fn check(&self) -> Result<()> {
        let Self::K3s(k3s) = self else { return Ok(()) };
        let said = capture(Command::new(k3s).arg("--version"))
            .with_context(|| format!("WARREN_K3S={}", k3s.display()))?;
        check_version(&said).with_context(|| format!("WARREN_K3S={}", k3s.display()))
    }

    /// Whether a program has to be built for it.
    pub(crate) fn needs(&self, program: &str) -> bool {
        *self == Self::Parts || !IN_K3S.contains(&program)
    }

    /// Writes the configuration of everything and makes the nodes' mount namespaces.
    pub(crate) fn prepare(&self, layout: &Layout, plan: &Plan) -> Result<()> {
        control_plane::prepare(layout)?;
        for node in &NODES {
            node::prepare(layout, node)?;
            match self {
                Self::Parts => node::prepare_parts(layout, plan, node)?,
                Self::K3s(_) => k3s::prepare(layout, plan, node)?,
            }
        }
        node::prepare_proxy(layout, "control", CONTROL_ADDRESS)
    }

    /// Everything that runs but Warren, in the order of its start.
    pub(crate) fn stages(&self, layout: &Layout) -> Vec<Stage> {
        let mut stages = match self {
            Self::Parts => control_plane::stages(layout),
            Self::K3s(program) => k3s::stages(layout, program),
        };
        let beside = [control_proxy(layout), local_storage(layout)];
        let policies = NODES.iter().map(|node| network_policy(layout, node));
        if let Some(last) = stages.last_mut() {
            last.parts.extend(beside.into_iter().chain(policies));
        }
        stages
    }
}

/// Tenants' API servers are of the lab's version, and no newer than the host's.
fn check_version(said: &str) -> Result<()> {
    let minor = KUBERNETES.rsplit_once('.').map_or(KUBERNETES, |(minor, _)| minor);
    let expected = format!("k3s version v{minor}.");
    let first = said.lines().next().unwrap_or_default();
    ensure!(first.starts_with(&expected), "says {first:?}; the lab is made for K3s {minor}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_k3s_of_another_minor_version_is_refused() {
        check_version("k3s version v1.36.5+k3s1 (0123abcd)\ngo version go1.26.3\n")
            .expect("is of the lab's version");
        for other in ["k3s version v1.35.9+k3s1 (0123abcd)", "k3s version v1.3.6", "busybox", ""] {
            let error = check_version(other).expect_err("is not of the lab's version");
            assert!(error.to_string().ends_with("the lab is made for K3s 1.36"), "{error}");
        }
    }

    #[test]
    fn a_k3s_binary_brings_its_own_containerd_and_nothing_else() {
        let k3s = Host::new(Some("bin/k3s".into())).expect("this folder has a path");
        let left_out: Vec<_> = crate::golang::Program::lists()
            .into_iter()
            .flatten()
            .filter(|program| !k3s.needs(program.name))
            .map(|program| program.name)
            .collect();
        assert_eq!(left_out, IN_K3S);
        assert!(IN_K3S.iter().all(|name| Host::Parts.needs(name)));
    }
}
