//! `warren tenant …`

mod delete;
mod describe;

pub(super) use delete::read_line;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::time::Duration;

use super::{
    Context,
    answer::{Tenant, decode},
    client::Repeat,
    format::age,
    options::{duration, reference},
    output::Table,
    problem::Failure,
    token, wait,
};

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a tenant: an own Kubernetes API server on a plan
    Create(Create),
    /// List tenants, or show one
    Get(Get),
    /// Show all about one tenant: conditions, usage, the operation on its way
    Describe(Name),
    /// Delete a tenant and everything in it
    Delete(delete::Delete),
    /// Wait until a tenant is ready or deleted
    Wait(Wait),
    /// Make an API token for one tenant; the same as `warren token create --tenant`
    Token(Token),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren tenant create acme --plan starter --wait
  warren tenant create acme --plan dedicated-s --nodes 2
  warren tenant create acme --plan pro -o name")]
pub(crate) struct Create {
    /// Its name: 3 to 40 characters a-z, 0-9 and '-'
    name: String,
    /// Its plan; see `warren plans`
    #[arg(long)]
    plan: String,
    /// How many nodes of its own, on a plan that has such
    #[arg(long)]
    nodes: Option<u32>,
    /// The name or id of the organisation that it will belong to
    #[arg(long)]
    organisation: Option<String>,
    /// Wait until it is ready
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, requires = "wait", default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren tenant get
  warren tenant get acme -o json")]
pub(crate) struct Get {
    /// Name or id; all that you may see if left out
    #[arg(value_parser = reference)]
    name: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren tenant describe acme")]
pub(crate) struct Name {
    /// Name or id
    #[arg(value_parser = reference)]
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren tenant wait acme
  warren tenant wait acme --for deleted --timeout 10m")]
pub(crate) struct Wait {
    /// Name or id
    #[arg(value_parser = reference)]
    name: String,
    /// What to wait for
    #[arg(long = "for", value_enum, default_value = "ready")]
    goal: Goal,
    /// How long to wait
    #[arg(long, default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Goal {
    Ready,
    Deleted,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  (umask 077; warren tenant token acme --role developer --name laptop > acme.token)")]
pub(crate) struct Token {
    /// Name or id
    #[arg(value_parser = reference)]
    tenant: String,
    /// What its holder may do: owner, admin, developer, viewer or billing
    #[arg(long)]
    role: String,
    /// What it is for, to recognise it later
    #[arg(long)]
    name: String,
}

pub(super) async fn run(cx: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => create.run(cx).await,
        Command::Get(get) => get.run(cx).await,
        Command::Describe(Name { name }) => describe::run(cx, name).await,
        Command::Delete(delete) => delete.run(cx).await,
        Command::Wait(wait) => wait.run(cx).await,
        Command::Token(token) => token.run(cx).await,
    }
}

impl Create {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        let mut body = json!({ "name": self.name, "plan": self.plan });
        if let Some(organisation) = &self.organisation {
            body["organisation"] = organisation.as_str().into();
        }
        if let Some(nodes) = self.nodes {
            body["nodes"] = nodes.into();
        }
        let made = cx.client.post(&["api", "v1", "tenants"], &body, Repeat::WithKey).await?;
        let tenant: Tenant = decode(&made)?;
        if !self.wait {
            print(cx, &tenant, &made)?;
            cx.messages.note(&format!("Follow it: warren tenant wait {}", tenant.name));
            return Ok(());
        }
        cx.when_interrupted(format!(
            "the tenant is being made all the same: warren tenant wait {}",
            tenant.name
        ));
        let ready =
            wait::tenant_ready(cx, &tenant.name, tenant.operation.clone(), self.timeout).await?;
        print(cx, &decode(&ready)?, &ready)
    }
}

impl Get {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        if let Some(name) = &self.name {
            let value = cx.client.get(&["api", "v1", "tenants", name]).await?;
            return print(cx, &decode(&value)?, &value);
        }
        let list = cx.client.list(&["api", "v1", "tenants"], &[], usize::MAX).await?;
        let tenants: Vec<Tenant> = list.items.iter().map(decode).collect::<Result<_, _>>()?;
        let names: Vec<_> = tenants.iter().map(|tenant| tenant.name.clone()).collect();
        cx.printer.list("tenant", &names, &list.items, || table(&tenants))?;
        if tenants.is_empty() {
            cx.messages.note("No tenants. Make one: warren tenant create NAME --plan starter");
        }
        Ok(())
    }
}

impl Wait {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        match self.goal {
            Goal::Ready => {
                let ready = wait::tenant_ready(cx, &self.name, None, self.timeout).await?;
                print(cx, &decode(&ready)?, &ready)
            }
            Goal::Deleted => wait::tenant_deleted(cx, &self.name, None, self.timeout).await,
        }
    }
}

impl Token {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        let path = ["api", "v1", "tenants", &self.tenant, "tokens"];
        token::create(cx, &path, &self.name, Some(&self.role)).await
    }
}

/// One tenant.
fn print(cx: &Context, tenant: &Tenant, value: &Value) -> Result<(), Failure> {
    cx.printer.item("tenant", &tenant.name, value, || table(std::slice::from_ref(tenant)))
}

fn table(tenants: &[Tenant]) -> String {
    if tenants.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["NAME", "PLAN", "PHASE", "READY", "REASON", "AGE", "ID"]);
    for tenant in tenants {
        let ready = tenant.conditions.iter().find(|condition| condition.kind == "Ready");
        let (status, reason) = ready.map_or(("", ""), |ready| (&ready.status, &ready.reason));
        table.row([
            tenant.name.clone(),
            tenant.plan.clone(),
            tenant.phase.clone(),
            status.to_owned(),
            reason.to_owned(),
            age(tenant.created_at),
            tenant.id.clone(),
        ]);
    }
    table.text(0)
}
