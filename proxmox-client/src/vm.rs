use crate::{
    Begun, Client, CloneOptions, ConfigChange, Destroy, Error, NodeName, PendingOption, Shutdown,
    Slot, Tags, Task, Version, VmConfig, VmId,
    form::Form,
    request::{self, Request},
    scalar,
};
use serde::Deserialize;
use std::time::Duration;

/// One VM on one node. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Vm {
    client: Client,
    node: NodeName,
    id: VmId,
}

/// What a VM does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmState {
    /// It runs, or is paused.
    Running,
    /// It does not.
    Stopped,
    /// Something that this client does not know.
    Other(String),
}

/// A VM as its node lists it.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct VmEntry {
    /// Its number.
    #[serde(rename = "vmid", deserialize_with = "scalar::parsed")]
    pub id: VmId,
    /// Its name.
    #[serde(default, deserialize_with = "scalar::text")]
    pub name: String,
    #[serde(default, deserialize_with = "scalar::text")]
    status: String,
    /// Whether it is a template.
    #[serde(default, rename = "template", deserialize_with = "scalar::flag")]
    pub is_template: bool,
    #[serde(default, deserialize_with = "scalar::text")]
    tags: String,
    /// What locks it.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub lock: Option<String>,
}

/// How a VM is now.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct VmStatus {
    /// Its name.
    #[serde(default, deserialize_with = "scalar::text")]
    pub name: String,
    #[serde(default, deserialize_with = "scalar::text")]
    status: String,
    /// What QEMU says about it, e.g. `running`, `paused`, `prelaunch`.
    #[serde(default, deserialize_with = "scalar::text")]
    pub qmpstatus: String,
    /// Whether it is a template.
    #[serde(default, rename = "template", deserialize_with = "scalar::flag")]
    pub is_template: bool,
    #[serde(default, deserialize_with = "scalar::text")]
    tags: String,
    /// What locks it.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub lock: Option<String>,
    /// For how long it runs, in seconds.
    #[serde(default, deserialize_with = "scalar::whole")]
    pub uptime: u64,
    /// How many processors it may use.
    #[serde(default, rename = "cpus", deserialize_with = "scalar::maybe_number")]
    pub processors: Option<f64>,
    /// How much memory it may use, in bytes.
    #[serde(default, rename = "maxmem", deserialize_with = "scalar::whole")]
    pub memory: u64,
    /// Whether its configuration says that it has a guest agent.
    #[serde(default, rename = "agent", deserialize_with = "scalar::flag")]
    pub has_agent: bool,
}

/// A part of what cloud-init is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudInitPart {
    /// Users, keys, packages.
    User,
    /// Addresses.
    Network,
    /// Who the machine is.
    Meta,
}

impl VmState {
    fn read(text: &str) -> Self {
        match text {
            "running" => Self::Running,
            "stopped" => Self::Stopped,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl VmEntry {
    /// What it does.
    #[must_use]
    pub fn state(&self) -> VmState {
        VmState::read(&self.status)
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> Tags {
        Tags::read(&self.tags)
    }
}

impl VmStatus {
    /// What it does.
    #[must_use]
    pub fn state(&self) -> VmState {
        VmState::read(&self.status)
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> Tags {
        Tags::read(&self.tags)
    }
}

impl Vm {
    pub(crate) fn new(client: Client, node: NodeName, id: VmId) -> Self {
        Self { client, node, id }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> VmId {
        self.id
    }

    /// Its node.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn path(&self, rest: &[&str]) -> String {
        let id = self.id.to_string();
        let base = ["nodes", self.node.as_str(), "qemu", &id];
        request::path(&base.iter().chain(rest).copied().collect::<Vec<_>>())
    }

    pub(crate) fn get(&self, rest: &[&str]) -> Request {
        Request::get(self.path(rest)).on(&self.node)
    }

    pub(crate) async fn begin(&self, request: Request, task: &'static str) -> Result<Task, Error> {
        self.client.begin(request.on(&self.node).about(self.id).begins(task)).await
    }

    async fn begin_or_do(&self, request: Request, task: &'static str) -> Result<Begun, Error> {
        self.client.begin_or_do(request.on(&self.node).about(self.id).begins(task)).await
    }

    /// How it is now: `GET .../status/current`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn status(&self) -> Result<VmStatus, Error> {
        self.client.fetch(self.get(&["status", "current"]).protected()).await
    }

    /// Its configuration with what waits for a restart: `GET .../config`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn config(&self) -> Result<VmConfig, Error> {
        self.client.fetch(self.get(&["config"])).await
    }

    /// Its configuration as it runs with, without what waits for a restart: `GET .../config?current=1`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn running_config(&self) -> Result<VmConfig, Error> {
        let mut form = Form::new();
        form.flag("current", true);
        self.client.fetch(self.get(&["config"]).with(form)).await
    }

    /// What of its configuration waits for a restart: `GET .../pending`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn pending(&self) -> Result<Vec<PendingOption>, Error> {
        let all: Vec<PendingOption> = self.client.fetch(self.get(&["pending"])).await?;
        Ok(all.into_iter().filter(PendingOption::is_waiting).collect())
    }

    /// Changes its configuration and waits for it, also for new disks: `PUT .../config`. What a running
    /// machine cannot take now waits for its restart: [`Vm::pending`].
    ///
    /// No task does this. Whether a change with a lost answer has happened, the configuration shows; sending
    /// the same again is harmless unless it makes a disk.
    ///
    /// # Errors
    /// If the server refuses it, or the release does not know an option.
    pub async fn change(&self, change: &ConfigChange) -> Result<(), Error> {
        self.check(change).await?;
        let request = Request::put(self.path(&["config"])).with(change.form());
        self.client.done(request.on(&self.node).about(self.id)).await
    }

    /// The same in a task, for changes that take long: `POST .../config`.
    ///
    /// # Errors
    /// If the server refuses it, or the release does not know an option.
    pub async fn begin_change(&self, change: &ConfigChange) -> Result<Begun, Error> {
        self.check(change).await?;
        let request = Request::post(self.path(&["config"])).with(change.form());
        self.begin_or_do(request, "qmconfig").await
    }

    async fn check(&self, change: &ConfigChange) -> Result<(), Error> {
        for (what, needs) in change.needs() {
            self.client.require(what, needs).await?;
        }
        Ok(())
    }

    /// Clones it to a number that must be free: `POST .../clone`.
    ///
    /// That the task has begun does not mean that the number is ours: if several begin, all are
    /// accepted and one ends well. Until the end of the task a token with rights on a pool is refused on the new VM.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn clone_to(&self, new: VmId, options: &CloneOptions) -> Result<Task, Error> {
        let mut form = options.form();
        form.set("newid", new);
        self.begin(Request::post(self.path(&["clone"])).with(form), "qmclone").await
    }

    /// Enlarges a drive by so many gibibytes: `PUT .../resize`. Done at once before release 8, in a task
    /// from then on. Not to be repeated blindly: it adds.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn grow(&self, slot: Slot, gibibytes: u32) -> Result<Begun, Error> {
        self.resize(slot, format!("+{gibibytes}G")).await
    }

    /// Enlarges a drive to so many gibibytes: `PUT .../resize`. Repeating it is harmless, a drive cannot
    /// be made smaller.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn grow_to(&self, slot: Slot, gibibytes: u32) -> Result<Begun, Error> {
        self.resize(slot, format!("{gibibytes}G")).await
    }

    async fn resize(&self, slot: Slot, size: String) -> Result<Begun, Error> {
        let mut form = Form::new();
        form.set("disk", slot);
        form.set("size", size);
        self.begin_or_do(Request::put(self.path(&["resize"])).with(form), "resize").await
    }

    /// Starts it: `POST .../status/start`. One that runs already is told at the end of the task, as
    /// [`Fault::Running`](crate::Fault::Running).
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn start(&self) -> Result<Task, Error> {
        self.power("start", Form::new(), "qmstart").await
    }

    /// Stops it as if by its plug: `POST .../status/stop`. One that is stopped already is no error.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn stop(&self) -> Result<Task, Error> {
        self.power("stop", Form::new(), "qmstop").await
    }

    /// Stops it even while a shutdown is under way, which is aborted; from release 8.2 on.
    ///
    /// # Errors
    /// If the server refuses it, or the release is older.
    pub async fn stop_overruling_shutdown(&self) -> Result<Task, Error> {
        self.client.require("a stop that overrules a shutdown", Version::V8_2).await?;
        let mut form = Form::new();
        form.flag("overrule-shutdown", true);
        self.power("stop", form, "qmstop").await
    }

    /// Asks the guest to shut down: `POST .../status/shutdown`.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn shutdown(&self, options: Shutdown) -> Result<Task, Error> {
        self.power("shutdown", options.form(), "qmshutdown").await
    }

    /// Shuts the guest down and starts it again, with what waited for that: `POST .../status/reboot`.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn reboot(&self, timeout: Option<Duration>) -> Result<Task, Error> {
        let form = Shutdown { timeout, then_stops: false }.form();
        self.power("reboot", form, "qmreboot").await
    }

    /// Restarts it as if by its button: `POST .../status/reset`.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn reset(&self) -> Result<Task, Error> {
        self.power("reset", Form::new(), "qmreset").await
    }

    async fn power(&self, verb: &str, form: Form, task: &'static str) -> Result<Task, Error> {
        self.begin(Request::post(self.path(&["status", verb])).with(form), task).await
    }

    /// Removes it with its disks: `DELETE .../qemu/{id}`. It must be stopped.
    ///
    /// A task that ends with warnings may have left disks behind.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn destroy(&self, options: Destroy) -> Result<Task, Error> {
        self.begin(Request::delete(self.path(&[])).with(options.form()), "qmdestroy").await
    }

    /// Makes a template of it, for good: `POST .../template`. It must be stopped and have no snapshot.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn make_template(&self) -> Result<Begun, Error> {
        self.begin_or_do(Request::post(self.path(&["template"])), "qmtemplate").await
    }

    /// Writes the cloud-init drive anew from the configuration: `PUT .../cloudinit`.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn regenerate_cloud_init(&self) -> Result<(), Error> {
        let request = Request::put(self.path(&["cloudinit"])).on(&self.node).about(self.id);
        self.client.done(request).await
    }

    /// What the configuration tells cloud-init, as YAML: `GET .../cloudinit/dump`. Custom files are not
    /// looked at.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn cloud_init(&self, part: CloudInitPart) -> Result<String, Error> {
        let mut form = Form::new();
        form.set(
            "type",
            match part {
                CloudInitPart::User => "user",
                CloudInitPart::Network => "network",
                CloudInitPart::Meta => "meta",
            },
        );
        self.client.fetch(self.get(&["cloudinit", "dump"]).with(form)).await
    }
}
