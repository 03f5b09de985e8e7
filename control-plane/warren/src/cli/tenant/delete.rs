//! `warren tenant delete`: asks before it acts.

use clap::Args;
use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use super::super::{
    Context,
    answer::{Operation, Tenant, decode},
    operation,
    options::{duration, reference},
    problem::{Exit, Failure},
    wait,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren tenant delete acme --wait
  warren tenant delete acme --yes --wait --timeout 10m
  warren tenant delete acme --yes --force   # a stuck deletion: ends it and says what is left")]
pub(crate) struct Delete {
    /// Name or id
    #[arg(value_parser = reference)]
    name: String,
    /// Wait until nothing is left of it
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, requires = "wait", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Give up on what cannot be removed, and report it
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Delete {
    pub(super) async fn run(&self, cx: &Context) -> Result<(), Failure> {
        if !self.yes {
            self.confirm(cx).await?;
        }
        let path = ["api", "v1", "tenants", &self.name];
        let force: &[_] = if self.force { &[("force", "true".to_owned())] } else { &[] };
        let accepted = cx.client.delete(&path, force).await?;
        let deletion: Operation = decode(&accepted)?;
        if !self.wait {
            operation::print(cx, &accepted)?;
            cx.messages.note(&format!("Follow it: warren operation get {} --wait", deletion.id));
            return Ok(());
        }
        cx.when_interrupted(format!(
            "the deletion goes on: warren tenant wait {} --for deleted",
            self.name
        ));
        let id = deletion.id.clone();
        wait::tenant_deleted(cx, &self.name, Some(id), self.timeout).await?;
        // The operation may be hidden by now from whoever only could see this tenant.
        let last = cx.client.get(&["api", "v1", "operations", &deletion.id]).await;
        operation::print(cx, &last.unwrap_or(accepted))
    }

    /// Lets a person at a terminal type the name; everybody else needs `--yes`.
    async fn confirm(&self, cx: &Context) -> Result<(), Failure> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Failure::usage("Deleting needs --yes when nobody can be asked")
                .detail("stdin or stderr is not a terminal")
                .hint(format!("warren tenant delete {} --yes", self.name)));
        }
        let tenant: Tenant = decode(&cx.client.get(&["api", "v1", "tenants", &self.name]).await?)?;
        let question = format!(
            "This deletes tenant {name} ({id}), its cluster, sessions, logs and volumes.\n\
             Type its name to go on: ",
            name = tenant.name,
            id = tenant.id
        );
        if read_line(question).await?.trim() == tenant.name {
            Ok(())
        } else {
            Err(Failure::new(Exit::Failure, "Nothing was deleted")
                .detail("the answer was not the name of the tenant"))
        }
    }
}

/// Asks on stderr and reads a line, on a thread of its own so that an interrupt is noticed.
pub(in super::super) async fn read_line(question: String) -> Result<String, Failure> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let asked = io::stderr().write_all(question.as_bytes());
        let read = asked.and_then(|()| io::stdin().read_line(&mut line));
        // Nobody listens after an interrupt.
        let _ = sender.send(read.map(|_| line));
    });
    let line = receiver.await.expect("the thread answers before it ends");
    line.map_err(|error| Failure::local("The answer cannot be read", &error))
}
