//! `warren session rerun`: runs a session again that is over, with what its next step proposes.

use clap::Args;
use serde_json::json;
use std::time::Duration;

use super::{
    super::{
        Context,
        answer::{Rerun as Changes, Session},
        client::Repeat,
        format::whole_seconds,
        options::duration,
        problem::{Exit, Failure},
    },
    One, describe,
    watch::Watch,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren session rerun ses_0198… --tenant acme --follow
  warren session rerun ses_0198… --tenant acme --memory 1Gi --wait

It is a new session with the same image, command, environment, secrets and inputs. What may help after the
failure is changed unless you say otherwise; `warren session describe` shows it beforehand.")]
pub(crate) struct Rerun {
    #[command(flatten)]
    one: One,
    /// CPU, e.g. 500m or 2 [default: what its next step proposes, or as before]
    #[arg(long)]
    cpu: Option<String>,
    /// Memory, e.g. 512Mi or 2Gi [default: what its next step proposes, or as before]
    #[arg(long)]
    memory: Option<String>,
    /// How long it may run, e.g. 30m [default: as before]
    #[arg(long, value_parser = duration)]
    timeout: Option<Duration>,
    /// Change nothing, even if it would fail the same way
    #[arg(long, conflicts_with_all = ["cpu", "memory", "timeout"])]
    as_is: bool,
    #[command(flatten)]
    watch: Watch,
}

impl Rerun {
    pub(super) async fn run(&self, cx: &Context) -> Result<(), Failure> {
        self.watch.check(cx)?;
        let changes = if self.as_is {
            Changes::default()
        } else {
            let (_, session) = self.one.get(cx).await?;
            self.changes(cx, &session)?
        };
        let path = self.one.path(&["rerun"]);
        let made = cx.client.post(&path, &json!(changes), Repeat::WithKey).await?;
        self.watch.run(cx, &self.one.tenant.tenant, &made).await
    }

    /// What was said, and for the rest what the session's next step proposes.
    fn changes(&self, cx: &Context, session: &Session) -> Result<Changes, Failure> {
        let next = session.cause.as_ref().and_then(|cause| cause.next_step.as_ref());
        let proposed = next.and_then(|next| next.rerun.clone());
        let is_said = self.cpu.is_some() || self.memory.is_some() || self.timeout.is_some();
        if let (Some(next), None, false) = (next, &proposed, is_said)
            && session.is_final()
        {
            let One { id, tenant } = &self.one;
            let way_out = format!("warren session rerun {id} --tenant {} --as-is", tenant.tenant);
            return Err(Failure::new(Exit::Conflict, "Another run would fail the same way")
                .code("rerun-useless")
                .detail(session.cause.as_ref().map(describe::told).unwrap_or_default())
                .hint(format!("{}\nall the same: {way_out}", next.advice)));
        }
        let mut changes = proposed.unwrap_or_default();
        let proposed = changes.flags();
        if !is_said && !proposed.is_empty() {
            cx.messages.note(&format!("As its next step proposes: {proposed}"));
        }
        let resources = &mut changes.resources;
        resources.cpu = self.cpu.clone().or(resources.cpu.take());
        resources.memory = self.memory.clone().or(resources.memory.take());
        let timeout = self.timeout.map(whole_seconds);
        changes.timeout_seconds = timeout.or(changes.timeout_seconds);
        Ok(changes)
    }
}

impl Changes {
    /// The options that ask for them.
    fn flags(&self) -> String {
        let timeout = self.timeout_seconds.map(|seconds| format!("{seconds}s"));
        let all = [
            ("cpu", &self.resources.cpu),
            ("memory", &self.resources.memory),
            ("timeout", &timeout),
        ];
        let said = all.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let words = said.map(|(name, value)| format!("--{name} {}", describe::quoted(value)));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The command that runs a session again with what may help, if another run can.
pub(super) fn command(session: &Session, tenant: &str) -> Option<String> {
    let changes = session.cause.as_ref()?.next_step.as_ref()?.rerun.as_ref()?;
    let command =
        format!("warren session rerun {} --tenant {tenant} {}", session.id, changes.flags());
    Some(command.trim_end().to_owned())
}
