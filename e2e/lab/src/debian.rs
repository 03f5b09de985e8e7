//! Debian packages: some are unpacked into the cache, none of those is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cache;
use crate::command::{capture, logged};
use crate::context::Context;
use crate::digest::Digest;

/// Programs that the lab runs beside the ones it builds: CNI plugins, nft and busybox.
pub(crate) const TOOLS: Packages = Packages {
    name: "tools",
    list: &[
        "busybox-static",
        "containernetworking-plugins",
        "nftables",
        "libbsd0",
        "libedit2",
        "libgmp10",
        "libjansson4",
        "libmd0",
        "libmnl0",
        "libnftables1",
        "libnftnl11",
        "libxtables12",
    ],
};

/// Python, for the agents' image, with everything that its standard library and
/// the linter of the example load.
pub(crate) const PYTHON: Packages = Packages {
    name: "python",
    list: &[
        "libbz2-1.0",
        "libc6",
        "libcrypt1",
        "libdb5.3",
        "libexpat1",
        "libffi8",
        "libgcc-s1",
        "liblzma5",
        "libnsl2",
        "libpython3.11-minimal",
        "libpython3.11-stdlib",
        "libsqlite3-0",
        "libssl3",
        "libuuid1",
        "media-types",
        "python3-pyflakes",
        "python3.11-minimal",
        "zlib1g",
    ],
};

/// Something that must be installed: what shows that it is, and the package that brings it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub(crate) probe: Probe,
    pub(crate) package: &'static str,
}

/// What building needs.
pub(crate) const BUILD_NEEDS: [Need; 6] = [
    Need { probe: Probe::Program("gcc"), package: "gcc" },
    Need { probe: Probe::Program("pkg-config"), package: "pkg-config" },
    Need { probe: Probe::File("/usr/include/stdlib.h"), package: "libc6-dev" },
    Need { probe: Probe::File("/usr/include/seccomp.h"), package: "libseccomp-dev" },
    Need { probe: Probe::Program("ip"), package: "iproute2" },
    Need { probe: Probe::Program("nsenter"), package: "util-linux" },
];

/// What tests need beside that and [`install_postgresql`].
pub(crate) const TEST_NEEDS: [Need; 1] = [Need { probe: Probe::Program("curl"), package: "curl" }];

/// A set of packages that is fetched and unpacked as one.
#[derive(Debug)]
pub(crate) struct Packages {
    name: &'static str,
    list: &'static [&'static str],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Probe {
    Program(&'static str),
    File(&'static str),
    /// Whether it is installed was found out already: it is not.
    Nothing,
}

/// Unpacked packages.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    pub(crate) root: PathBuf,
    pub(crate) key: String,
}

impl Packages {
    /// Fetches and unpacks the packages unless the cache holds them.
    pub(crate) fn fetch(&self, cx: &Context) -> Result<Unpacked> {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let mut digest = Digest::default();
        digest.add(release).add(std::env::consts::ARCH).add(self.list.join(" "));
        let key = digest.key();
        let root = cx.layout.cache.join("debian").join(format!("{}-{key}", self.name));
        if root.exists() {
            cache::used(&root)?;
            return Ok(Unpacked { root, key });
        }
        let _task = cx.progress.task(format!("fetch Debian packages ({})", self.name));
        let archives = root.with_extension("archives");
        let unfinished = root.with_extension("unfinished");
        for folder in [&archives, &unfinished] {
            cache::renew(folder)?;
        }
        self.download(cx, &archives)?;
        for archive in archives.read_dir()? {
            let archive = archive?.path();
            capture(Command::new("dpkg").arg("-x").arg(archive).arg(&unfinished))?;
        }
        cache::keep(&unfinished, &root)?;
        cache::remove(&archives)?;
        Ok(Unpacked { root, key })
    }

    fn download(&self, cx: &Context, folder: &Path) -> Result<()> {
        let download = || {
            let mut apt = Command::new("apt-get");
            apt.args(["download", "-qq"]).args(self.list).current_dir(folder);
            logged(&cx.cancel, &mut apt, &cx.layout.build_log("debian"))
        };
        if download().is_ok() {
            return Ok(());
        }
        cx.cancel.check()?;
        update(cx)?;
        download()
    }
}

/// Installs what is missing.
pub(crate) fn install(cx: &Context, needs: &[Need]) -> Result<()> {
    let missing: Vec<_> =
        needs.iter().filter(|need| !need.probe.holds()).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let _task = cx.progress.task(format!("install {}", missing.join(", ")));
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing);
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        logged(&cx.cancel, &mut apt, &cx.layout.build_log("debian"))
    };
    if install().is_err() {
        cx.cancel.check()?;
        update(cx)?;
        install().with_context(|| format!("install {}", missing.join(", ")))?;
    }
    Ok(())
}

/// Installs PostgreSQL's programs, for tests that start servers of their own; no server
/// of the machine is made.
pub(crate) fn install_postgresql(cx: &Context) -> Result<()> {
    let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten();
    if versions.flatten().any(|version| version.path().join("bin/initdb").exists()) {
        return Ok(());
    }
    install(cx, &[Need { probe: Probe::Nothing, package: "postgresql-common" }])?;
    let settings = Path::new("/etc/postgresql-common/createcluster.conf");
    let text = std::fs::read_to_string(settings).unwrap_or_default();
    if !text.lines().any(|line| line.trim_start().starts_with("create_main_cluster")) {
        std::fs::write(settings, text + "\ncreate_main_cluster = false\n")
            .with_context(|| format!("write {}", settings.display()))?;
    }
    install(cx, &[Need { probe: Probe::Nothing, package: "postgresql" }])
}

/// nft of [`TOOLS`], and where the libraries are that it needs.
pub(crate) fn nft(tools: &Path) -> (PathBuf, String) {
    let library = format!("{}-linux-gnu", std::env::consts::ARCH);
    let root = tools.display();
    let libraries = format!("{root}/usr/lib/{library}:{root}/lib/{library}");
    (tools.join("usr/sbin/nft"), libraries)
}

impl Probe {
    fn holds(self) -> bool {
        match self {
            Self::Nothing => false,
            Self::File(path) => Path::new(path).exists(),
            Self::Program(name) => {
                let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
                folders.iter().any(|folder| Path::new(folder).join(name).exists())
            }
        }
    }
}

fn update(cx: &Context) -> Result<()> {
    let mut apt = Command::new("apt-get");
    logged(&cx.cancel, apt.args(["update", "-qq"]), &cx.layout.build_log("debian"))
        .context("refresh the list of Debian packages")
}
