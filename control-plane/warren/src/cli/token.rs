//! `warren token …`

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::{
    Context,
    answer::decode,
    client::Repeat,
    format::age,
    options::{Format, reference},
    output::Table,
    problem::Failure,
};

/// What can be done with API tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an API token, for a tenant or for an operator; it is shown once
    Create(Create),
    /// List the API tokens of a tenant, or those of operators
    List(List),
    /// Take an API token back: nobody can use it from then on
    Revoke(Revoke),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  (umask 077; warren token create --tenant acme --role developer --name laptop > acme.token)
  (umask 077; warren token create --operators --name night-shift > operator.token)")]
pub(crate) struct Create {
    #[command(flatten)]
    of: Of,
    /// What its holder may do: owner, admin, developer, viewer or billing
    #[arg(long, required_unless_present = "operators", conflicts_with = "operators")]
    role: Option<String>,
    /// What it is for, to recognise it later
    #[arg(long)]
    name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren token list --tenant acme
  warren token list --operators")]
pub(crate) struct List {
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren token revoke tok_0198… --tenant acme
  warren token revoke tok_0198… --operators")]
pub(crate) struct Revoke {
    /// Its id; see `warren token list`
    #[arg(value_parser = reference)]
    id: String,
    #[command(flatten)]
    of: Of,
}

/// Whose tokens.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// Those of a tenant, by name or id
    #[arg(short, long, value_parser = reference)]
    tenant: Option<String>,
    /// Those of operators, who run the platform
    #[arg(long)]
    operators: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    is_bootstrap: bool,
    created_at: Option<Timestamp>,
}

pub(super) async fn run(cx: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(Create { of, role, name }) => {
            create(cx, &of.path(), name, role.as_deref()).await
        }
        Command::List(List { of }) => list(cx, &of.path()).await,
        Command::Revoke(Revoke { id, of }) => {
            let mut path = of.path();
            path.push(id);
            cx.client.remove(&path).await?;
            cx.messages.note(&format!("Token {id} is nobody's from now on."));
            Ok(())
        }
    }
}

/// Makes a token and shows it.
pub(super) async fn create(
    cx: &Context,
    path: &[&str],
    name: &str,
    role: Option<&str>,
) -> Result<(), Failure> {
    if cx.printer.format == Format::Name {
        return Err(Failure::usage("-o name would hide the token, which is shown only once")
            .hint("leave -o out to get the token alone, or take -o json"));
    }
    let mut body = json!({ "name": name });
    if let Some(role) = role {
        body["role"] = json!(role);
    }
    let made = cx.client.post(path, &body, Repeat::OnlyUnsent).await?;
    let secret = ["token", "secret"].iter().find_map(|name| made[*name].as_str());
    let secret = secret.ok_or_else(|| Failure::unexpected("no token in the answer"))?;
    let id = made["id"].as_str().unwrap_or_default();
    cx.printer.item("token", id, &made, || format!("{secret}\n"))?;
    cx.messages.note("The token is shown this once; keep it in a file that only you can read.");
    Ok(())
}

async fn list(cx: &Context, path: &[&str]) -> Result<(), Failure> {
    let list = cx.client.list(path, &[], usize::MAX).await?;
    let tokens: Vec<Token> = list.items.iter().map(decode).collect::<Result<_, _>>()?;
    let names: Vec<_> = tokens.iter().map(|token| token.id.clone()).collect();
    cx.printer.list("token", &names, &list.items, || table(&tokens))
}

impl Of {
    fn path(&self) -> Vec<&str> {
        match &self.tenant {
            Some(tenant) => vec!["api", "v1", "tenants", tenant, "tokens"],
            None => vec!["api", "v1", "tokens"],
        }
    }
}

fn table(tokens: &[Token]) -> String {
    let mut table = Table::new(&["ID", "NAME", "ROLE", "FIRST", "AGE"]);
    for Token { id, name, role, is_bootstrap, created_at } in tokens {
        let first = if *is_bootstrap { "yes" } else { "" };
        table.row([id.clone(), name.clone(), role.clone(), first.to_owned(), age(*created_at)]);
    }
    table.text(0)
}
