//! The images that the lab makes: names, contents, users.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::command::{capture, logged};
use crate::context::Context;
use crate::debian::Unpacked;
use crate::digest::{Digest, sha256_file};
use crate::golang::{Built, COREDNS, KUBERNETES, VCLUSTER};
use crate::image::{Image, Layer};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    nobody:x:65534:65534:nobody:/:/bin/sh\n\
    agent:x:65532:65532:agent:/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nnobody:x:65534:\nagent:x:65532:\n";

/// The syncer gives pods with a subdomain an init container whose `sed` is told `\d`. Upstream's image is Alpine,
/// whose C library knows that for a digit; Debian's busybox has another one, which does not. This shell tells it
/// in other words.
const SHELL: &str = r#"#!/bin/busybox sh
for word; do
  shift
  set -- "$@" "${word//\\d/[0-9]}"
done
exec /bin/busybox sh "$@"
"#;

/// Parts of Debian's packages that nothing in a container reads.
const UNREAD: [&str; 6] = [
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/lintian/",
    "usr/share/binfmts/",
    "usr/share/applications/",
    "usr/share/pixmaps/",
];

/// An image on disk, ready for import.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Written {
    /// The short name that `lab.json` uses.
    pub(crate) name: String,
    pub(crate) reference: String,
    pub(crate) archive: PathBuf,
}

/// What the images are made from.
#[derive(Debug)]
pub(crate) struct Ingredients<'a> {
    pub(crate) tools: &'a Unpacked,
    pub(crate) python: &'a Unpacked,
    pub(crate) vcluster: &'a Built,
    pub(crate) vkube: &'a Built,
    pub(crate) coredns: &'a Built,
    /// Warren's runner, once it exists.
    pub(crate) runner: Option<&'a Path>,
}

impl Ingredients<'_> {
    /// Writes all images that can be made from what is there.
    pub(crate) fn write(&self, cx: &Context) -> Result<Vec<Written>> {
        let mut images = vec![
            ("pause", pause(cx)?),
            ("busybox", self.busybox()?),
            ("syncer", self.syncer()?),
            ("kubernetes", self.kubernetes()?),
            ("coredns", self.coredns()?),
        ];
        if let Some(runner) = self.runner {
            images.push(("runner", runner_image(runner)?));
        }
        let agent = cx.layout.checkout.join("docs/examples/lint-package/agent.py");
        images.push(("agent", self.agent(cx, &agent)?));

        let _task = cx.progress.task("write images");
        let write = |(name, image): (&str, Image)| {
            cx.cancel.check()?;
            let file = format!("{name}-{}.tar", image.key());
            let archive = cx.layout.cache.join("images").join(file);
            image.write(&archive)?;
            Ok(Written { name: name.into(), reference: image.reference(), archive })
        };
        images.into_iter().map(write).collect()
    }

    fn busybox(&self) -> Result<Image> {
        Ok(image("busybox", "1", &["/bin/sh"], self.with_busybox()?))
    }

    fn syncer(&self) -> Result<Image> {
        let mut layer = self.with_busybox()?;
        layer.script("bin/sh", SHELL);
        layer.file("vcluster", &self.vcluster.path, &self.vcluster.key)?;
        Ok(image("loft-sh/vcluster-oss", VCLUSTER, &["/vcluster", "start"], layer))
    }

    /// The virtual cluster's control plane. An init container copies the folder;
    /// an image volume mounts it. The links are relative, so both forms work.
    fn kubernetes(&self) -> Result<Image> {
        let mut layer = self.with_busybox()?;
        layer.file("kubernetes/vkube", &self.vkube.path, &self.vkube.key)?;
        for name in ["kine", "kube-apiserver", "kube-controller-manager"] {
            layer.link(&format!("kubernetes/{name}"), "vkube");
        }
        let version = format!("v{KUBERNETES}");
        let image = image("loft-sh/kubernetes", &version, &["/bin/sh"], layer);
        Ok(Image { user: "1000", ..image })
    }

    fn coredns(&self) -> Result<Image> {
        let mut layer = base();
        layer.file("coredns", &self.coredns.path, &self.coredns.key)?;
        Ok(image("coredns/coredns", COREDNS, &["/coredns"], layer))
    }

    /// A real Python with a linter, and the example's agent once it exists.
    fn agent(&self, cx: &Context, agent: &Path) -> Result<Image> {
        let mut layer = self.with_busybox()?;
        let python = compiled(cx, self.python)?;
        let is_read = |path: &str| !UNREAD.iter().any(|unread| path.starts_with(unread));
        layer.tree(&python.root, &python.key, is_read)?;
        layer.link("usr/bin/python3", "python3.11");
        if agent.exists() {
            layer.file("agent/agent.py", agent, &sha256_file(agent)?)?;
        }
        Ok(Image { user: "65532", ..image("warren/agent", "1", &["/usr/bin/python3"], layer) })
    }

    fn with_busybox(&self) -> Result<Layer> {
        let busybox = self.tools.root.join("bin/busybox");
        let mut layer = base();
        layer.file("bin/busybox", &busybox, &self.tools.key)?;
        let applets = capture(Command::new(&busybox).arg("--list"))?;
        for applet in applets.lines().filter(|applet| *applet != "busybox") {
            layer.link(&format!("bin/{applet}"), "busybox");
        }
        Ok(layer)
    }
}

/// Compiles the standard library: Debian does it when a package is installed, and
/// without it every start of an agent in its read-only container compiles anew.
fn compiled(cx: &Context, python: &Unpacked) -> Result<Unpacked> {
    let mut digest = Digest::default();
    digest.add("compiled").add(&python.key);
    let root = python.root.with_file_name(format!("python-compiled-{}", digest.key()));
    if root.exists() {
        cache::used(&root)?;
    } else {
        let _task = cx.progress.task("compile Python's standard library");
        let unfinished = root.with_extension("unfinished");
        cache::remove(&unfinished)?;
        capture(Command::new("cp").arg("-a").arg(&python.root).arg(&unfinished))?;
        let mut compile = Command::new(unfinished.join("lib64/ld-linux-x86-64.so.2"));
        let folders = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"]
            .map(|folder| unfinished.join(folder).display().to_string());
        compile.arg("--library-path").arg(folders.join(":"));
        compile.arg(unfinished.join("usr/bin/python3.11"));
        compile.env("PYTHONHOME", unfinished.join("usr"));
        // By hash and unchecked: the image's files carry no times.
        compile.args(["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]);
        compile.arg("-s").arg(&unfinished).args(["-p", "/"]);
        compile.args(["usr/lib/python3.11", "usr/lib/python3"].map(|lib| unfinished.join(lib)));
        logged(&cx.cancel, &mut compile, &cx.layout.build_log("python"))?;
        cache::keep(&unfinished, &root)?;
    }
    Ok(Unpacked { root, key: digest.key() })
}

fn pause(cx: &Context) -> Result<Image> {
    let source = cx.layout.checkout.join("e2e/lab/images/pause.c");
    let mut digest = Digest::default();
    let key = digest.add("-static -O2").add_file(&source)?.key();
    let program = cx.layout.cache.join("pause").join(&key);
    if program.exists() {
        cache::used(&program)?;
    } else {
        std::fs::create_dir_all(program.parent().context("lies in the cache")?)?;
        let unfinished = program.with_extension("unfinished");
        let mut gcc = Command::new("gcc");
        capture(gcc.args(["-static", "-O2", "-s", "-o"]).arg(&unfinished).arg(source))?;
        cache::keep(&unfinished, &program)?;
    }
    let mut layer = Layer::default();
    layer.file("pause", &program, &key)?;
    Ok(Image { user: "65535", ..image("pause", "1", &["/pause"], layer) })
}

fn runner_image(runner: &Path) -> Result<Image> {
    let mut layer = base();
    layer.file("warren-runner", runner, &sha256_file(runner)?)?;
    let image = image("warren/runner", env!("CARGO_PKG_VERSION"), &["/warren-runner"], layer);
    Ok(Image { user: "65532", ..image })
}

fn image(name: &'static str, version: &str, entrypoint: &[&str], layer: Layer) -> Image {
    let entrypoint = entrypoint.iter().map(|&word| word.into()).collect();
    Image { name, version: version.into(), entrypoint, user: "", layer }
}

/// Folders and files that programs expect everywhere.
fn base() -> Layer {
    let mut layer = Layer::default();
    for folder in ["dev", "proc", "sys"] {
        layer.folder(folder, 0o755);
    }
    layer.folder("tmp", 0o1777);
    layer.text("etc/passwd", PASSWD).text("etc/group", GROUP);
    layer.text("etc/nsswitch.conf", "hosts: files dns\n");
    layer
}
