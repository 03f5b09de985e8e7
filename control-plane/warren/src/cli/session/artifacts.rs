//! `warren session artifacts`: what the agent left, listed or brought here.

use clap::Args;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    io::{self, Write as _},
    path::{Component, Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;

use super::{
    super::{
        Context,
        answer::{Artifact, decode, items},
        format::bytes,
        output::Table,
        problem::{Exit, Failure, chain},
    },
    One,
};

/// A download on which nothing came for this long is given up.
const IDLE: Duration = Duration::from_mins(1);
const ATTEMPTS: u32 = 3;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren session artifacts ses_0198… --tenant acme
  warren session artifacts ses_0198… --tenant acme --download out/")]
pub(crate) struct Artifacts {
    #[command(flatten)]
    one: One,
    /// Write them into this folder
    #[arg(long, value_name = "DIR")]
    download: Option<PathBuf>,
}

impl Artifacts {
    pub(super) async fn run(&self, cx: &Context) -> Result<(), Failure> {
        let answer = cx.client.get(&self.one.path(&["artifacts"])).await?;
        let values = items(answer, &["items", "artifacts"])?;
        let artifacts: Vec<Artifact> = values.iter().map(decode).collect::<Result<_, _>>()?;
        if let Some(folder) = &self.download {
            return self.download(cx, &artifacts, &values, folder).await;
        }
        list(cx, &artifacts, &values)?;
        if artifacts.is_empty() {
            cx.messages.note("The session has left no files (yet).");
        }
        Ok(())
    }

    async fn download(
        &self,
        cx: &Context,
        artifacts: &[Artifact],
        values: &[Value],
        folder: &Path,
    ) -> Result<(), Failure> {
        for artifact in artifacts {
            let target = target(folder, &artifact.path)?;
            let mut attempt = 1;
            loop {
                match self.fetch(cx, artifact, &target).await {
                    Err(failure) if failure.is_unreachable && attempt < ATTEMPTS => attempt += 1,
                    outcome => break outcome?,
                }
            }
        }
        let count = artifacts.len();
        list(cx, artifacts, values)?;
        cx.messages.note(&format!("{count} files written to {}", folder.display()));
        Ok(())
    }

    /// Brings one file here; it appears under its name only when it is whole and the right one.
    async fn fetch(&self, cx: &Context, artifact: &Artifact, file: &Path) -> Result<(), Failure> {
        let unwritable = |error: &io::Error| {
            Failure::local(format!("{} cannot be written", file.display()), error)
        };
        let folder = file.parent().expect("the target is a file in a folder");
        fs::create_dir_all(folder).map_err(|error| unwritable(&error))?;
        let mut part =
            tempfile::NamedTempFile::new_in(folder).map_err(|error| unwritable(&error))?;
        let mut segments = vec!["artifacts"];
        segments.extend(artifact.path.split('/'));
        let mut response = cx.client.open(&self.one.path(&segments), &[], "*/*").await?;
        let mut transfer =
            cx.messages.transfer(format!("Downloading {}", artifact.path), artifact.size);
        let (mut hash, mut done) = (Sha256::new(), 0);
        loop {
            let chunk = match timeout(IDLE, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(broke_off(artifact, &chain(&error))),
                Err(_) => return Err(broke_off(artifact, "nothing came for a minute")),
            };
            done += chunk.len() as u64;
            if done > artifact.size {
                return Err(differs(artifact));
            }
            hash.update(&chunk);
            part.write_all(&chunk).map_err(|error| unwritable(&error))?;
            transfer.at(done);
        }
        let digest = domain::Digest::of_sha256(hash.finalize().into());
        if done != artifact.size || digest.to_string() != artifact.digest {
            return Err(differs(artifact));
        }
        part.persist(file).map_err(|error| unwritable(&error.error))?;
        Ok(())
    }
}

fn list(cx: &Context, artifacts: &[Artifact], values: &[Value]) -> Result<(), Failure> {
    let names: Vec<_> = artifacts.iter().map(|artifact| artifact.path.clone()).collect();
    cx.printer.list("artifact", &names, values, || {
        if artifacts.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["PATH", "SIZE", "DIGEST"]);
        for Artifact { path, size, digest } in artifacts {
            table.row([path.clone(), bytes(*size), digest.clone()]);
        }
        table.text(0)
    })
}

/// Where a file goes. The agent chose its name, so it must not lead out of the folder.
fn target(folder: &Path, path: &str) -> Result<PathBuf, Failure> {
    let is_inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || path.contains('\0') || path.ends_with('/') || !is_inside {
        return Err(Failure::new(Exit::Failure, "An artifact has a name that leads elsewhere")
            .detail(format!("{path:?} is not downloaded")));
    }
    Ok(folder.join(path))
}

fn broke_off(artifact: &Artifact, why: &str) -> Failure {
    let title = format!("Downloading {} broke off", artifact.path);
    let mut failure = Failure::new(Exit::Failure, title).detail(why);
    failure.is_unreachable = true;
    failure
}

fn differs(artifact: &Artifact) -> Failure {
    Failure::new(Exit::Failure, "An artifact is not what the server said")
        .detail(format!("{} does not have its size and digest", artifact.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_an_artifact_leads_out_of_the_folder() {
        let folder = Path::new("out");
        assert_eq!(target(folder, "a/b.txt").ok(), Some(PathBuf::from("out/a/b.txt")));
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a/", "./a"] {
            assert!(target(folder, path).is_err(), "{path}");
        }
    }
}
