//! Writes container images: one uncompressed layer in an OCI layout, as a tar file
//! that containerd imports (image-spec: "OCI Image Layout Specification").

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::cache;
use crate::digest::{Digest, Hashing, files, sha256};

/// Changes when the same recipe would give another image.
const FORMAT: &str = "1";
const MEDIA: &str = "application/vnd.oci.image";

/// What one layer holds, by path without the leading slash.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Folder {
        mode: u32,
    },
    /// `key` stands for the content in the image's key.
    File {
        source: PathBuf,
        key: String,
        mode: u32,
    },
    Text {
        text: String,
        mode: u32,
    },
    Link {
        target: String,
    },
}

/// An image to be written.
#[derive(Debug)]
pub(crate) struct Image {
    /// Without registry and tag.
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) user: &'static str,
    pub(crate) layer: Layer,
}

impl Layer {
    pub(crate) fn folder(&mut self, path: &str, mode: u32) -> &mut Self {
        self.insert(path, Entry::Folder { mode })
    }

    /// Adds a program or other file whose content `key` stands for.
    pub(crate) fn file(&mut self, path: &str, source: &Path, key: &str) -> Result<&mut Self> {
        let metadata = source.metadata().with_context(|| format!("read {}", source.display()))?;
        let mode = metadata.permissions().mode() & 0o777;
        Ok(self.insert(path, Entry::File { source: source.into(), key: key.into(), mode }))
    }

    pub(crate) fn text(&mut self, path: &str, text: impl Into<String>) -> &mut Self {
        self.insert(path, Entry::Text { text: text.into(), mode: 0o644 })
    }

    /// Adds a program that is a text.
    pub(crate) fn script(&mut self, path: &str, text: impl Into<String>) -> &mut Self {
        self.insert(path, Entry::Text { text: text.into(), mode: 0o755 })
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.insert(path, Entry::Link { target: target.into() })
    }

    /// Adds the files below `root` that `wanted` takes; `key` stands for all of them.
    pub(crate) fn tree(
        &mut self,
        root: &Path,
        key: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<&mut Self> {
        for source in files(root)? {
            let path = source.strip_prefix(root)?.to_string_lossy().into_owned();
            if !wanted(&path) {
                continue;
            }
            if source.is_symlink() {
                let target = source.read_link()?.to_string_lossy().into_owned();
                self.link(&path, &target);
            } else {
                self.file(&path, &source, key)?;
            }
        }
        Ok(self)
    }

    fn insert(&mut self, path: &str, entry: Entry) -> &mut Self {
        let path = path.trim_start_matches('/');
        for (end, _) in path.match_indices('/') {
            let parent = self.entries.entry(path[..end].into());
            parent.or_insert(Entry::Folder { mode: 0o755 });
        }
        self.entries.insert(path.into(), entry);
        self
    }

    fn write(&self, out: impl Write) -> Result<()> {
        let mut tar = Builder::new(out);
        for (path, entry) in &self.entries {
            let (kind, mode) = match entry {
                Entry::Folder { mode } => (EntryType::Directory, *mode),
                Entry::File { mode, .. } | Entry::Text { mode, .. } => (EntryType::Regular, *mode),
                Entry::Link { .. } => (EntryType::Symlink, 0o777),
            };
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_mtime(0);
            header.set_size(0);
            match entry {
                Entry::Folder { .. } => tar.append_data(&mut header, path, std::io::empty())?,
                Entry::Link { target } => tar.append_link(&mut header, path, target)?,
                Entry::Text { text, .. } => {
                    header.set_size(text.len() as u64);
                    tar.append_data(&mut header, path, text.as_bytes())?;
                }
                Entry::File { source, .. } => {
                    let file = File::open(source)?;
                    header.set_size(file.metadata()?.len());
                    tar.append_data(&mut header, path, file)?;
                }
            }
        }
        tar.into_inner()?.flush()?;
        Ok(())
    }

    fn add_to(&self, digest: &mut Digest) {
        for (path, entry) in &self.entries {
            digest.add(path);
            match entry {
                Entry::Folder { mode } => digest.add("folder").add(mode.to_be_bytes()),
                Entry::File { key, mode, .. } => {
                    digest.add("file").add(mode.to_be_bytes()).add(key)
                }
                Entry::Text { text, mode } => digest.add("text").add(mode.to_be_bytes()).add(text),
                Entry::Link { target } => digest.add("link").add(target),
            };
        }
    }
}

impl Image {
    /// Stands for everything that the image is made from. It is part of the tag:
    /// importing other content under a known tag breaks image volumes.
    pub(crate) fn key(&self) -> String {
        let mut digest = Digest::default();
        digest.add(FORMAT).add(self.name).add(&self.version).add(self.user);
        digest.add(self.entrypoint.join("\0"));
        self.layer.add_to(&mut digest);
        digest.key()
    }

    /// The name that pods use.
    pub(crate) fn reference(&self) -> String {
        format!("lab.local/{}:{}-{}", self.name, self.version, self.key())
    }

    /// Writes the image unless the file is there.
    pub(crate) fn write(&self, archive: &Path) -> Result<()> {
        if archive.exists() {
            cache::used(archive)?;
            return Ok(());
        }
        let folder = archive.parent().context("an archive lies in a folder")?;
        std::fs::create_dir_all(folder)?;
        let layer = archive.with_extension("layer");
        let unfinished = archive.with_extension("unfinished");
        self.write_archive(&layer, &unfinished)
            .with_context(|| format!("write image {}", self.name))?;
        std::fs::remove_file(layer)?;
        cache::keep(&unfinished, archive)
    }

    fn write_archive(&self, layer: &Path, archive: &Path) -> Result<()> {
        let mut hashing = Hashing::new(BufWriter::new(File::create(layer)?));
        self.layer.write(&mut hashing)?;
        let (layer_digest, layer_length) = hashing.finish();
        let config = self.config(&layer_digest).to_string();
        let manifest = manifest(&config, &layer_digest, layer_length).to_string();
        let index = index(&manifest, &self.reference())?.to_string();

        let mut tar = Builder::new(BufWriter::new(File::create(archive)?));
        let mut add = |path: &str, content: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content)
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        add("index.json", index.as_bytes())?;
        add(&blob(&sha256(manifest.as_bytes())), manifest.as_bytes())?;
        add(&blob(&sha256(config.as_bytes())), config.as_bytes())?;
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(layer_length);
        tar.append_data(&mut header, blob(&layer_digest), File::open(layer)?)?;
        tar.into_inner()?.flush()?;
        Ok(())
    }

    fn config(&self, layer_digest: &str) -> Value {
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "User": self.user,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        })
    }
}

fn manifest(config: &str, layer_digest: &str, layer_length: u64) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": format!("{MEDIA}.manifest.v1+json"),
        "config": descriptor("config.v1+json", &sha256(config.as_bytes()), config.len() as u64),
        "layers": [descriptor("layer.v1.tar", layer_digest, layer_length)],
    })
}

fn index(manifest: &str, reference: &str) -> Result<Value> {
    let digest = sha256(manifest.as_bytes());
    let mut entry = descriptor("manifest.v1+json", &digest, manifest.len() as u64);
    let tag = reference.rsplit_once(':').map(|(_, tag)| tag);
    ensure!(tag.is_some(), "{reference} has no tag");
    entry["platform"] = json!({"architecture": architecture(), "os": "linux"});
    entry["annotations"] = json!({
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": tag,
    });
    Ok(json!({
        "schemaVersion": 2,
        "mediaType": format!("{MEDIA}.index.v1+json"),
        "manifests": [entry],
    }))
}

fn descriptor(kind: &str, digest: &str, length: u64) -> Value {
    json!({
        "mediaType": format!("{MEDIA}.{kind}"),
        "digest": format!("sha256:{digest}"),
        "size": length,
    })
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

/// This machine's architecture by Go's name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn image(text: &str) -> Image {
        let mut layer = Layer::default();
        layer.text("etc/deep/hosts", text).link("bin/sh", "busybox").folder("tmp", 0o1777);
        let (entrypoint, version) = (vec!["/bin/sh".into()], "1".into());
        Image { name: "busybox", version, entrypoint, user: "", layer }
    }

    fn read(archive: &Path, name: &str) -> Vec<u8> {
        let mut tar = tar::Archive::new(File::open(archive).expect("was written"));
        let mut entries = tar.entries().expect("is a tar file").map(|entry| entry.expect("whole"));
        let mut entry = entries
            .find(|entry| entry.path().expect("has a path").as_ref() == Path::new(name))
            .unwrap_or_else(|| panic!("{name} is in the archive"));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("whole");
        content
    }

    #[test]
    fn every_digest_of_an_image_leads_to_its_blob() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = folder.path().join("busybox.tar");
        let image = image("127.0.0.1 localhost");
        image.write(&archive).expect("is written");

        let follow = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().expect("has a digest");
            let content = read(&archive, &blob(digest.trim_start_matches("sha256:")));
            assert_eq!(digest, format!("sha256:{}", sha256(&content)));
            assert_eq!(descriptor["size"], content.len());
            content
        };
        let index: Value = serde_json::from_slice(&read(&archive, "index.json")).expect("JSON");
        let entry = &index["manifests"][0];
        assert_eq!(entry["annotations"]["io.containerd.image.name"], image.reference());
        let manifest: Value = serde_json::from_slice(&follow(entry)).expect("JSON");
        let config: Value = serde_json::from_slice(&follow(&manifest["config"])).expect("JSON");
        let layer = follow(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&layer)));
    }

    #[test]
    fn folders_come_before_what_they_hold() {
        let mut bytes = Vec::new();
        image("").layer.write(&mut bytes).expect("memory takes everything");
        let mut tar = tar::Archive::new(&bytes[..]);
        let entries = tar.entries().expect("is a tar file");
        let paths: Vec<_> = entries
            .map(|entry| entry.expect("whole").path().expect("a path").display().to_string())
            .collect();
        let expected = ["bin", "bin/sh", "etc", "etc/deep", "etc/deep/hosts", "tmp"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn other_content_has_another_tag() {
        assert_ne!(image("a").reference(), image("b").reference());
        assert_eq!(image("a").reference(), image("a").reference());
    }
}
