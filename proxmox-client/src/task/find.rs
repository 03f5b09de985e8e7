//! Looks for the task of a call whose answer was lost.

use super::{TaskEntry, TaskFilter};
use crate::{Client, Error, Sent, request};
use std::time::Duration;

/// How far the clocks of a cluster's nodes may be apart.
const SKEW: Duration = Duration::from_secs(10);
/// How many tasks are looked through.
const LOOK: u64 = 200;

impl Client {
    /// The tasks that a call whose answer was lost may have begun: of that node, VM and type, begun by this token
    /// since the call was sent; the latest first.
    ///
    /// None means that nothing was begun, if the call is one that [begins a task](Sent::task). What a
    /// call does at once leaves no task, as a resize before release 8.
    ///
    /// Several calls that are alike, e.g. clones of one template, cannot be told apart by their tasks: a task
    /// does not say which number it clones to. So wait for the end of all that are found; then
    /// [`Client::is_free`] tells whether one of them has made the VM, and its description whose it is.
    ///
    /// # Errors
    /// If the node cannot be asked.
    pub async fn find_task(&self, sent: &Sent) -> Result<Vec<TaskEntry>, Error> {
        let (Some(node), Some(kind)) = (&sent.node, sent.task) else { return Ok(Vec::new()) };
        let kinds = kinds(kind);
        // Only one type can be asked for.
        let only = (kinds.len() == 1).then(|| kind.to_owned());
        let filter = TaskFilter { vm: sent.vm, kind: only, limit: Some(LOOK), since: None };
        let node = self.node(node);
        let request =
            request::Request::get(request::path(&["nodes", node.name().as_str(), "tasks"]))
                .on(node.name())
                .with(filter.form());
        let answer = self.answer(&request).await?;
        // By the server's clock, since nobody knows how far ours is from it.
        let now = match answer.time() {
            Some(now) => now,
            None => node.time().await?,
        };
        let since = now.saturating_sub((sent.at.elapsed() + SKEW).as_secs());
        let user = self.token_id();
        let tasks: Vec<TaskEntry> = answer.read(&request.call)?;
        let is_ours = |task: &TaskEntry| {
            let upid = &task.upid;
            let is_about = sent.vm.is_none_or(|vm| upid.id() == vm.to_string());
            is_about
                && kinds.contains(&upid.kind())
                && upid.user() == user
                && u64::from(upid.started()) >= since
        };
        let mut tasks: Vec<TaskEntry> = tasks.into_iter().filter(is_ours).collect();
        tasks.sort_by_key(|task| std::cmp::Reverse(task.upid.started()));
        Ok(tasks)
    }
}

/// The types of task that a call begins: of a VM with high availability its manager starts and stops it.
fn kinds(kind: &'static str) -> Vec<&'static str> {
    match kind {
        "qmstart" => vec![kind, "hastart"],
        "qmstop" | "qmshutdown" => vec![kind, "hastop"],
        _ => vec![kind],
    }
}
