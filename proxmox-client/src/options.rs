//! What can be said about a clone, a shutdown and a removal.

use crate::{Invalid, NodeName, PoolId, SnapshotName, StorageId, VmName, form::Form};
use std::time::Duration;

/// The longest description, in characters.
const DESCRIPTION: usize = 8192;

/// How a VM is cloned. Only name, description and pool come with the clone itself, so a mark of who owns
/// it belongs into the description; tags are those of the template until they are changed.
#[derive(Debug, Clone, Default)]
pub struct CloneOptions {
    form: Form,
}

/// How a VM is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Destroy {
    /// Also from backup jobs, replication and high availability; without it a VM that is in one of
    /// them is kept.
    pub purges: bool,
    /// Also disks of its number that its configuration does not name.
    pub removes_unreferenced_disks: bool,
}

/// How a VM is shut down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// How long the guest may take, in whole seconds; the task fails after that.
    pub timeout: Option<Duration>,
    /// Whether it is stopped then instead.
    pub then_stops: bool,
}

impl CloneOptions {
    /// As the template is; linked if it is one, on the same storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this name.
    #[must_use]
    pub fn name(mut self, name: &VmName) -> Self {
        self.form.set("name", name);
        self
    }

    /// With this description.
    ///
    /// # Errors
    /// If it has more than 8192 characters.
    pub fn description(mut self, text: &str) -> Result<Self, Invalid> {
        self.form.set("description", description(text)?);
        Ok(self)
    }

    /// In this pool. A token with rights on a pool must name it.
    #[must_use]
    pub fn pool(mut self, pool: &PoolId) -> Self {
        self.form.set("pool", pool);
        self
    }

    /// On this node; only if every disk is on storage that both share.
    #[must_use]
    pub fn target(mut self, node: &NodeName) -> Self {
        self.form.set("target", node);
        self
    }

    /// Of this snapshot, not of the present state.
    #[must_use]
    pub fn snapshot(mut self, name: &SnapshotName) -> Self {
        self.form.set("snapname", name);
        self
    }

    /// With disks of its own, on this storage or where the template's are.
    #[must_use]
    pub fn full(mut self, storage: Option<&StorageId>) -> Self {
        self.form.flag("full", true);
        match storage {
            Some(storage) => self.form.set("storage", storage),
            None => self.form.remove("storage"),
        }
        self
    }

    pub(crate) fn form(&self) -> Form {
        self.form.clone()
    }
}

impl Destroy {
    /// Everything that belongs to it.
    #[must_use]
    pub fn everything() -> Self {
        Self { purges: true, removes_unreferenced_disks: true }
    }

    pub(crate) fn form(self) -> Form {
        let mut form = Form::new();
        form.flag("purge", self.purges);
        form.flag("destroy-unreferenced-disks", self.removes_unreferenced_disks);
        form
    }
}

impl Shutdown {
    pub(crate) fn form(self) -> Form {
        let mut form = Form::new();
        if let Some(timeout) = self.timeout {
            form.set("timeout", timeout.as_secs());
        }
        if self.then_stops {
            form.flag("forceStop", true);
        }
        form
    }
}

/// Checks the length of a description.
pub(crate) fn description(text: &str) -> Result<&str, Invalid> {
    let length = text.chars().count();
    if length <= DESCRIPTION {
        Ok(text)
    } else {
        Err(Invalid::new(
            "description",
            format_args!("{length} characters"),
            "at most 8192 characters",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_linked_clone_names_no_storage() {
        let storage = StorageId::new("fast").expect("a storage");
        let text = |clone: CloneOptions| clone.form().encoded().expose_secret().to_owned();
        assert_eq!(text(CloneOptions::new()), "");
        assert_eq!(text(CloneOptions::new().full(Some(&storage))), "full=1&storage=fast");
        assert_eq!(text(CloneOptions::new().full(Some(&storage)).full(None)), "full=1");
    }

    #[test]
    fn a_description_has_an_end() {
        assert!(CloneOptions::new().description(&"ä".repeat(DESCRIPTION)).is_ok());
        assert!(CloneOptions::new().description(&"x".repeat(DESCRIPTION + 1)).is_err());
    }

    #[test]
    fn a_removal_says_what_it_takes_along() {
        let text = |destroy: Destroy| destroy.form().encoded().expose_secret().to_owned();
        assert_eq!(text(Destroy::everything()), "purge=1&destroy-unreferenced-disks=1");
        assert_eq!(text(Destroy::default()), "purge=0&destroy-unreferenced-disks=0");
    }
}
