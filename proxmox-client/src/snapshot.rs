use crate::{Error, SnapshotName, Task, Vm, form::Form, options, request::Request, scalar};
use serde::Deserialize;

/// A state of a VM that was kept.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its name; `current` is the VM itself.
    #[serde(deserialize_with = "scalar::text")]
    pub name: String,
    /// What somebody noted about it.
    #[serde(default, deserialize_with = "scalar::text")]
    pub description: String,
    /// When it was made, in seconds of Unix time.
    #[serde(default, rename = "snaptime", deserialize_with = "scalar::maybe_whole")]
    pub made: Option<u64>,
    /// The one that it was made after.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub parent: Option<String>,
    /// Whether it has the memory too.
    #[serde(default, rename = "vmstate", deserialize_with = "scalar::flag")]
    pub has_memory: bool,
}

impl Vm {
    /// Its snapshots, without the VM itself: `GET .../snapshot`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>, Error> {
        let all: Vec<Snapshot> = self.client().fetch(self.get(&["snapshot"]).protected()).await?;
        Ok(all.into_iter().filter(|snapshot| snapshot.name != "current").collect())
    }

    /// Keeps its present state, of a running one perhaps with the memory: `POST .../snapshot`. A
    /// template cannot have any.
    ///
    /// # Errors
    /// If the server refuses it, or the description has more than 8192 characters.
    pub async fn snapshot_create(
        &self,
        name: &SnapshotName,
        description: &str,
        with_memory: bool,
    ) -> Result<Task, Error> {
        let mut form = Form::new();
        form.set("snapname", name);
        if !description.is_empty() {
            form.set("description", options::description(description)?);
        }
        if with_memory {
            form.flag("vmstate", true);
        }
        let request = Request::post(self.path(&["snapshot"])).with(form);
        self.begin(request, "qmsnapshot").await
    }

    /// Goes back to a snapshot: `POST .../snapshot/{name}/rollback`.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn snapshot_rollback(&self, name: &SnapshotName) -> Result<Task, Error> {
        let request = Request::post(self.path(&["snapshot", name.as_str(), "rollback"]));
        self.begin(request, "qmrollback").await
    }

    /// Removes a snapshot: `DELETE .../snapshot/{name}`.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn snapshot_delete(&self, name: &SnapshotName) -> Result<Task, Error> {
        let request = Request::delete(self.path(&["snapshot", name.as_str()]));
        self.begin(request, "qmdelsnapshot").await
    }
}
