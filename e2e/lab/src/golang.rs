//! Programs built from pinned Go modules, cached by what they are made from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cache;
use crate::command::{capture, logged};
use crate::context::Context;
use crate::digest::{Digest, files};

/// Versions that the programs report; the modules' `go.mod` files pin the sources.
pub(crate) const KUBERNETES: &str = "1.36.2";
pub(crate) const CONTAINERD: &str = "2.2.1";
pub(crate) const RUNC: &str = "1.3.4";
pub(crate) const VCLUSTER: &str = "0.36.1";
pub(crate) const COREDNS: &str = "1.14.2";

const KUBERNETES_TAGS: &str = "netgo,osusergo,static_build,sqlite_omit_load_extension";
const CONTAINERD_TAGS: &str = "no_btrfs,no_devmapper,no_zfs,no_aufs,static_build,netgo,osusergo";

/// One Go program and how to build it.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// The folder below `e2e/lab/go`.
    module: &'static str,
    package: &'static str,
    cgo: bool,
    tags: &'static str,
    ldflags: String,
}

/// A program that was built, and the key that its content hangs on.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    pub(crate) path: PathBuf,
    pub(crate) key: String,
}

impl Program {
    fn new(name: &'static str, module: &'static str, package: &'static str) -> Self {
        Self { name, module, package, cgo: false, tags: "netgo", ldflags: "-s -w".into() }
    }

    fn kubernetes(name: &'static str, package: &'static str) -> Self {
        let packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
        let variables = [
            ("gitVersion", &*format!("v{KUBERNETES}")),
            ("gitMajor", "1"),
            ("gitMinor", "36"),
            ("gitTreeState", "clean"),
            ("gitCommit", "0000000000000000000000000000000000000000"),
            ("buildDate", "2026-01-01T00:00:00Z"),
        ];
        let set = packages.iter().flat_map(|package| {
            variables.map(|(variable, value)| format!("-X {package}.{variable}={value}"))
        });
        let set = set.collect::<Vec<_>>().join(" ");
        let ldflags = format!("-s -w {set} -extldflags -static");
        // kine keeps its data with SQLite, which is C.
        Self { cgo: true, tags: KUBERNETES_TAGS, ldflags, ..Self::new(name, "host", package) }
    }

    fn containerd(name: &'static str, package: &'static str) -> Self {
        let version = "github.com/containerd/containerd/v2/version.Version";
        let ldflags = format!("-s -w -X {version}=v{CONTAINERD}");
        Self { tags: CONTAINERD_TAGS, ldflags, ..Self::new(name, "containerd", package) }
    }

    /// All programs, in two lists that may be built side by side: each holds whole
    /// modules, so that neither compiles what the other is compiling.
    pub(crate) fn lists() -> [Vec<Self>; 2] {
        let host = vec![
            Self::kubernetes("hyperkube", "./cmd/hyperkube"),
            Self::kubernetes("vkube", "./cmd/vkube"),
            Self::new("coredns", "host", "./cmd/coredns"),
            Self::new("network-policy", "host", "./cmd/network-policy"),
            Self::new("local-storage", "host", "./cmd/local-storage"),
        ];
        let others = vec![
            Self::containerd("containerd", "github.com/containerd/containerd/v2/cmd/containerd"),
            Self::containerd(
                "containerd-shim-runc-v2",
                "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            ),
            Self::containerd("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
            Self {
                cgo: true,
                tags: "seccomp,netgo,osusergo",
                ldflags: format!("-s -w -extldflags -static -X main.version={RUNC}"),
                ..Self::new("runc", "runc", "github.com/opencontainers/runc")
            },
            Self::new("vcluster", "vcluster", "github.com/loft-sh/vcluster/cmd/vcluster"),
        ];
        [host, others]
    }

    fn folder(&self, cx: &Context) -> PathBuf {
        cx.layout.checkout.join("e2e/lab/go").join(self.module)
    }

    /// Builds the program unless the cache holds it.
    pub(crate) fn build(&self, cx: &Context, tools: &Tools) -> Result<Built> {
        let key = self.key(cx, tools).with_context(|| format!("hash sources of {}", self.name))?;
        let folder = cx.layout.cache.join("go").join(format!("{}-{key}", self.name));
        let path = folder.join(self.name);
        if path.exists() {
            cache::used(&folder)?;
            return Ok(Built { path, key });
        }
        let _task = cx.progress.task(format!("build {}", self.name));
        std::fs::create_dir_all(&folder)?;
        let unfinished = folder.join("unfinished");
        let mut go = go("build", self.cgo, self.tags);
        go.current_dir(self.folder(cx)).args(["-ldflags", &self.ldflags, "-o"]);
        go.arg(&unfinished).arg(self.package);
        logged(&cx.cancel, &mut go, &cx.layout.build_log(self.name))
            .with_context(|| format!("build {}", self.name))?;
        std::fs::rename(unfinished, &path)?;
        Ok(Built { path, key })
    }

    fn key(&self, cx: &Context, tools: &Tools) -> Result<String> {
        let mut digest = Digest::default();
        digest.add(self.name).add(self.package).add(self.tags).add(&self.ldflags);
        digest.add(&tools.go).add(if self.cgo { &*tools.cc } else { "" });
        let module = self.folder(cx);
        for source in files(&module)? {
            let name = source.strip_prefix(&module)?;
            if self.is_made_from(name) {
                digest.add(name.to_string_lossy().as_bytes()).add_file(&source)?;
            }
        }
        Ok(digest.key())
    }

    /// Whether a file of the module can change the program: other programs'
    /// own sources and tests cannot.
    fn is_made_from(&self, name: &Path) -> bool {
        let name = name.to_string_lossy();
        let foreign = name.starts_with("cmd/")
            && !name.starts_with(&format!("{}/", self.package.trim_start_matches("./")));
        let unused = name.starts_with("internal/") && !self.uses(&name);
        let source = name.ends_with(".go") && !name.ends_with("_test.go");
        matches!(&*name, "go.mod" | "go.sum") || (source && !foreign && !unused)
    }

    /// Whether the program uses one of our own packages.
    fn uses(&self, name: &str) -> bool {
        let is_start = name.starts_with("internal/bootstrap/");
        match self.name {
            "vkube" => is_start,
            "network-policy" | "local-storage" => !is_start,
            _ => false,
        }
    }
}

/// `go build` as all programs are built; `go vet` and `go test` use the same
/// flags, so that they find what was compiled already.
fn go(verb: &str, cgo: bool, tags: &str) -> Command {
    let mut go = Command::new("go");
    go.env("CGO_ENABLED", if cgo { "1" } else { "0" }).env("GOFLAGS", "").arg(verb);
    go.args(["-mod=readonly", "-buildvcs=false", "-trimpath", "-tags", tags]);
    go
}

/// `go VERB` for the lab's own packages.
pub(crate) fn own(cx: &Context, verb: &str) -> Command {
    let mut go = go(verb, false, "netgo");
    go.current_dir(cx.layout.checkout.join("e2e/lab/go/host"));
    go
}

/// Versions of the compilers.
#[derive(Debug)]
pub(crate) struct Tools {
    go: String,
    cc: String,
}

impl Tools {
    pub(crate) fn find() -> Result<Self> {
        let go = capture(Command::new("go").args(["env", "GOVERSION"]))
            .context("building the lab needs Go")?;
        let cc = capture(Command::new("gcc").arg("-dumpfullversion"))?;
        Ok(Self { go, cc })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str) -> Program {
        let mut all = Program::lists().into_iter().flatten();
        all.find(|program| program.name == name).expect("the lab builds it")
    }

    #[test]
    fn a_change_of_one_program_leaves_the_others_built() {
        let changed = Path::new("cmd/network-policy/main.go");
        assert!(program("network-policy").is_made_from(changed));
        assert!(!program("hyperkube").is_made_from(changed));
        let start = Path::new("internal/bootstrap/objects.go");
        assert!(program("vkube").is_made_from(start));
        assert!(!program("network-policy").is_made_from(start));
    }

    #[test]
    fn a_new_requirement_rebuilds_every_program_of_the_module() {
        assert!(program("hyperkube").is_made_from(Path::new("go.sum")));
        assert!(program("local-storage").is_made_from(Path::new("go.mod")));
    }

    #[test]
    fn a_shared_package_rebuilds_those_that_use_it() {
        let changed = Path::new("internal/serve/serve.go");
        assert!(program("local-storage").is_made_from(changed));
        assert!(!program("hyperkube").is_made_from(changed));
    }

    #[test]
    fn a_changed_test_rebuilds_nothing() {
        let changed = Path::new("internal/serve/serve_test.go");
        assert!(!program("local-storage").is_made_from(changed));
    }
}
