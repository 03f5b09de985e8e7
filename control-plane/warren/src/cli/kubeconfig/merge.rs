//! One kubeconfig among others, in a file that people and programs share.

use serde_json::{Value, json};
use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

use super::write_private;
use crate::cli::{options::variable, output::yaml, problem::Failure};

/// How long somebody else may have the file. `kubectl` takes the same lock, for a moment.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// What of a kubeconfig is a list of things with names.
const LISTS: [&str; 3] = ["clusters", "users", "contexts"];
/// What the last file is kept as.
const BACKUP: &str = "warren-backup";

/// Where `kubectl` looks: the first file of `KUBECONFIG`, or `~/.kube/config`.
pub(super) fn usual_file() -> Result<PathBuf, Failure> {
    let named = variable("KUBECONFIG");
    let first = named.as_ref().and_then(|named| named.split(':').find(|path| !path.is_empty()));
    if let Some(first) = first {
        return Ok(first.into());
    }
    let home = variable("HOME").ok_or_else(|| {
        Failure::usage("There is no place for it").hint("set KUBECONFIG or HOME, or use --output")
    })?;
    Ok(Path::new(&home).join(".kube/config"))
}

/// Puts what `new` has into a file, in the place of what has the same names there; what else is in it stays. Its first
/// context is the current one afterwards if that is wanted, or if there was none. Whether it is.
pub(super) async fn merge(file: &Path, new: &Value, is_switched: bool) -> Result<bool, Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::local(format!("The file {} cannot be changed", file.display()), error)
    };
    // A link stays one.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    let _lock = Lock::take(&file).await?;
    let old = match fs::read(&file) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(&error)),
    };
    let mut merged = read(&file, old.as_deref().unwrap_or_default())?;
    let is_current = put(&mut merged, new, is_switched);
    let bytes = yaml(&merged)?.into_bytes();
    if let Some(old) = old.filter(|old| *old != bytes) {
        write_private(&beside(&file, BACKUP), &old).map_err(|error| failed(&error))?;
    }
    write_private(&file, &bytes).map_err(|error| failed(&error))?;
    Ok(is_current)
}

fn read(file: &Path, text: &[u8]) -> Result<Value, Failure> {
    let unreadable = |detail: String| {
        Failure::usage("The file is no kubeconfig")
            .detail(format!("{}: {detail}", file.display()))
            .hint("mend it, or write to another file with --output")
    };
    if text.trim_ascii().is_empty() {
        return Ok(json!({}));
    }
    let read: Value =
        serde_saphyr::from_slice(text).map_err(|error| unreadable(error.to_string()))?;
    let is_list = |name: &&str| read[*name].is_array() || read[*name].is_null();
    match LISTS.iter().find(|name| !is_list(name)) {
        _ if !read.is_object() => Err(unreadable("it is no mapping".to_owned())),
        Some(name) => Err(unreadable(format!("{name} is no list"))),
        None => Ok(read),
    }
}

/// Whether the first context of `new` is the current one afterwards.
fn put(into: &mut Value, new: &Value, is_switched: bool) -> bool {
    for list in LISTS {
        let mut items: Vec<Value> = into[list].as_array().cloned().unwrap_or_default();
        for item in new[list].as_array().into_iter().flatten() {
            match items.iter_mut().find(|old| old["name"] == item["name"]) {
                Some(old) => *old = item.clone(),
                None => items.push(item.clone()),
            }
        }
        into[list] = items.into();
    }
    let current = &new["current-context"];
    if is_switched || into["current-context"].as_str().is_none_or(str::is_empty) {
        into["current-context"] = current.clone();
    }
    for (name, usual) in [("apiVersion", "v1"), ("kind", "Config")] {
        if into[name].is_null() {
            into[name] = usual.into();
        }
    }
    into["current-context"] == *current
}

/// A file of the same name with a further ending.
fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".");
    name.push(ending);
    name.into()
}

/// Nobody else who asks for it changes the file meanwhile.
///
/// Source: client-go, `tools/clientcmd`, `lockFile`.
struct Lock(PathBuf);

impl Lock {
    async fn take(file: &Path) -> Result<Self, Failure> {
        let path = beside(file, "lock");
        let until = Instant::now() + PATIENCE;
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => return Ok(Self(path)),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    let what = format!("The lock {} cannot be taken", path.display());
                    return Err(Failure::local(what, &error));
                }
                Err(_) if Instant::now() > until => {
                    return Err(Failure::usage("Somebody else is changing the file")
                        .detail(format!("{} is there", path.display()))
                        .hint("if nobody is, delete that file"));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever took it away has it.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "\
apiVersion: v1
kind: Config
preferences: {}
clusters:
- name: home
  cluster: {server: 'https://192.0.2.1:6443', insecure-skip-tls-verify: false}
- name: warren-acme
  cluster: {server: 'https://old.example/k8s/tn_1'}
users:
- name: home
  user: {token: '0123', password: 'yes'}
contexts:
- name: home
  context: {cluster: home, user: home, namespace: '1e3'}
current-context: home
";

    fn new() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "warren-acme",
            "clusters": [{ "name": "warren-acme", "cluster": { "server": "https://new" } }],
            "users": [{ "name": "warren-acme", "user": { "exec": { "command": "warren" } } }],
            "contexts": [{ "name": "warren-acme", "context": { "cluster": "warren-acme" } }],
        })
    }

    fn value(file: &Path) -> Value {
        serde_saphyr::from_slice(&fs::read(file).expect("it is there")).expect("it is YAML")
    }

    #[tokio::test]
    async fn what_else_is_in_the_file_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config");
        fs::write(&file, OLD).expect("written");
        assert!(!merge(&file, &new(), false).await.expect("it can be changed"));
        let (old, merged): (Value, _) = (serde_saphyr::from_str(OLD).expect("YAML"), value(&file));
        for (list, count) in [("clusters", 2), ("users", 2), ("contexts", 2)] {
            assert_eq!(merged[list][0], old[list][0], "{list}");
            assert_eq!(merged[list].as_array().map(Vec::len), Some(count), "{list}");
        }
        assert_eq!(merged["clusters"][1]["cluster"]["server"], "https://new");
        assert_eq!(
            (&merged["current-context"], &merged["preferences"]),
            (&"home".into(), &json!({}))
        );
        let backup = fs::read_to_string(beside(&file, BACKUP)).expect("it is kept");
        assert_eq!(backup, OLD);
        assert!(!beside(&file, "lock").exists());
        assert!(merge(&file, &new(), true).await.expect("it can be changed"));
        assert_eq!(value(&file)["current-context"], "warren-acme");
    }

    #[tokio::test]
    async fn the_first_of_all_is_the_current_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("not/there/config");
        assert!(merge(&file, &new(), false).await.expect("it can be made"));
        assert_eq!(value(&file), new());
    }

    #[tokio::test]
    async fn what_is_no_kubeconfig_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config");
        for text in ["notes", "- a\n- b\n", "clusters: none\n", "a: [\n"] {
            fs::write(&file, text).expect("written");
            merge(&file, &new(), true).await.expect_err("it is something else");
            assert_eq!(fs::read_to_string(&file).expect("it is there"), text);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_somebody_else_has_is_not_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config");
        fs::write(beside(&file, "lock"), "").expect("written");
        merge(&file, &new(), true).await.expect_err("somebody has it");
        assert!(!file.exists() && beside(&file, "lock").exists());
    }
}
