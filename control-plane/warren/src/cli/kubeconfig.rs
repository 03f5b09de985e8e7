//! `warren kubeconfig`: a credential for a tenant's own API server.

use clap::{ArgGroup, Args};
use serde_json::Value;
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Context,
    options::{Connection, reference},
    problem::Failure,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren kubeconfig acme -o acme.kubeconfig && kubectl --kubeconfig acme.kubeconfig get pods
  warren kubeconfig acme --print | kubectl --kubeconfig /dev/stdin get namespaces")]
#[command(group(ArgGroup::new("target").required(true).args(["print", "file"])))]
pub(crate) struct Arguments {
    /// Name or id of the tenant
    #[arg(value_parser = reference)]
    tenant: String,
    /// Print it to stdout
    #[arg(long)]
    print: bool,
    /// Write it to a file that only you can read
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace the file even if it holds something else
    #[arg(long, requires = "file")]
    overwrite: bool,
    #[command(flatten)]
    pub(super) connection: Connection,
}

pub(super) async fn run(cx: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let path = ["api", "v1", "tenants", &arguments.tenant, "kubeconfig"];
    let bytes = cx.client.bytes(&path, "text/yaml, application/yaml, */*;q=0.5").await?;
    let Some(file) = &arguments.file else { return cx.printer.bytes(&bytes) };
    if !arguments.overwrite {
        check_replaceable(file, &bytes)?;
    }
    write_private(file, &bytes).map_err(|error| {
        Failure::local(format!("The file {} cannot be written", file.display()), &error)
    })?;
    let file = file.display();
    cx.messages
        .note(&format!("Written to {file}. Try: kubectl --kubeconfig {file} get namespaces"));
    Ok(())
}

/// A kubeconfig with other contexts is somebody's collection, and not ours to replace.
fn check_replaceable(file: &Path, new: &[u8]) -> Result<(), Failure> {
    let old = match fs::read(file) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure::local(format!("{} cannot be read", file.display()), &error));
        }
    };
    let contexts = |bytes: &[u8]| -> Option<Vec<Value>> {
        let document: Value = serde_saphyr::from_slice(bytes).ok()?;
        let contexts = document["contexts"].as_array()?;
        Some(contexts.iter().map(|context| context["name"].clone()).collect())
    };
    if old.is_empty() || (contexts(&old).is_some() && contexts(&old) == contexts(new)) {
        return Ok(());
    }
    Err(Failure::usage("The file holds something else")
        .detail(format!("{} is not an earlier kubeconfig of this tenant", file.display()))
        .hint("choose another file, or replace it with --overwrite"))
}

/// Mode 0600 from its first byte; readers see the old file or the whole new one.
fn write_private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_kubeconfig_is_private_and_replaces_only_its_own_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config");
        let ours = b"contexts:\n- name: warren-acme\n";
        check_replaceable(&file, ours).expect("nothing is there");
        write_private(&file, ours).expect("it can be written");
        let mode = fs::metadata(&file).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        check_replaceable(&file, ours).expect("an earlier one of the same tenant");
        fs::write(&file, "contexts:\n- name: warren-acme\n- name: home\n").expect("written");
        check_replaceable(&file, ours).expect_err("somebody's collection");
        fs::write(&file, "notes").expect("written");
        check_replaceable(&file, ours).expect_err("something else");
    }
}
