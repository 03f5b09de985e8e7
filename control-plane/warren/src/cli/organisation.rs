//! `warren organisation …`: people, and the tenants that are theirs together.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Context,
    answer::decode,
    client::Repeat,
    format::age,
    options::{Format, reference},
    output::{Table, fields},
    problem::Failure,
};

/// What can be done with organisations.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an organisation, without people: invite an owner next
    Create(Create),
    /// List the organisations that you may see
    List,
    /// Show one organisation
    Get(Of),
    /// List its people
    Members(Of),
    /// Make a member something else
    SetRole(SetRole),
    /// Let a member go; their account stays
    Remove(Remove),
    /// Invite one person, for a week; prints the link, which is shown once
    Invite(Invite),
    /// List the invites that nobody has followed
    Invites(Of),
    /// Take an invite back
    RevokeInvite(RevokeInvite),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren organisation create acme-corp --max-tenants 10")]
pub(crate) struct Create {
    name: String,
    /// How many tenants it may have at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    max_tenants: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Of {
    /// Name or id
    #[arg(value_parser = reference)]
    organisation: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren organisation set-role acme-corp acc_0198… admin")]
pub(crate) struct SetRole {
    #[command(flatten)]
    of: Of,
    /// Their id; see `warren organisation members`
    #[arg(value_parser = reference)]
    member: String,
    /// owner, admin, developer, viewer or billing
    role: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren organisation remove acme-corp acc_0198…")]
pub(crate) struct Remove {
    #[command(flatten)]
    of: Of,
    /// Their id; see `warren organisation members`
    #[arg(value_parser = reference)]
    member: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren organisation invite acme-corp --role owner --note Anna")]
pub(crate) struct Invite {
    #[command(flatten)]
    of: Of,
    /// What they will be: owner, admin, developer, viewer or billing
    #[arg(long)]
    role: String,
    /// For whom, in your words
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren organisation revoke-invite acme-corp inv_0198…")]
pub(crate) struct RevokeInvite {
    #[command(flatten)]
    of: Of,
    /// Its id; see `warren organisation invites`
    #[arg(value_parser = reference)]
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Organisation {
    id: String,
    name: String,
    max_tenants: u32,
    created_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct Member {
    id: String,
    name: String,
    email: String,
    role: String,
    since: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OpenInvite {
    id: String,
    role: String,
    #[serde(default)]
    note: String,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

const PATH: [&str; 3] = ["api", "v1", "organisations"];

pub(super) async fn run(cx: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(Create { name, max_tenants }) => {
            let body = json!({ "name": name, "maxTenants": max_tenants });
            let made = cx.client.post(&PATH, &body, Repeat::OnlyUnsent).await?;
            show(cx, &made)?;
            let next = format!("warren organisation invite {name} --role owner");
            cx.messages.note(&format!("Nobody is in it yet: {next}"));
            Ok(())
        }
        Command::List => list(cx, &PATH, "organisation", |row| &row.name, organisations).await,
        Command::Get(of) => show(cx, &cx.client.get(&of.path(&[])).await?),
        Command::Members(of) => {
            list(cx, &of.path(&["members"]), "member", |row| &row.id, members).await
        }
        Command::SetRole(SetRole { of, member, role }) => {
            let body = json!({ "role": role });
            cx.client.change(&of.path(&["members", member]), &body).await?;
            cx.messages.note(&format!("{member} is {role} of {} now.", of.organisation));
            Ok(())
        }
        Command::Remove(Remove { of, member }) => {
            cx.client.remove(&of.path(&["members", member])).await?;
            cx.messages.note(&format!("{member} is not in {} any more.", of.organisation));
            Ok(())
        }
        Command::Invite(invite) => invite.run(cx).await,
        Command::Invites(of) => {
            list(cx, &of.path(&["invites"]), "invite", |row| &row.id, invites).await
        }
        Command::RevokeInvite(RevokeInvite { of, id }) => {
            cx.client.remove(&of.path(&["invites", id])).await?;
            cx.messages.note(&format!("{id} opens nothing any more."));
            Ok(())
        }
    }
}

impl Of {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        [&PATH[..], &[&self.organisation], below].concat()
    }
}

impl Invite {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        if cx.printer.format == Format::Name {
            return Err(Failure::usage("-o name would hide the link, which is shown only once")
                .hint("leave -o out to get the link alone, or take -o json"));
        }
        let body = json!({ "role": self.role, "note": self.note });
        let made = cx.client.post(&self.of.path(&["invites"]), &body, Repeat::OnlyUnsent).await?;
        let code = made["code"].as_str();
        let code = code.ok_or_else(|| Failure::unexpected("no code in the answer"))?;
        let mut link = cx.client.server().clone();
        link.set_path("/join");
        link.query_pairs_mut().clear().append_pair("code", code);
        let id = made["id"].as_str().unwrap_or_default();
        cx.printer.item("invite", id, &made, || format!("{link}\n"))?;
        cx.messages.note("It lets one person in, for a week. It is shown this once.");
        Ok(())
    }
}

fn show(cx: &Context, value: &Value) -> Result<(), Failure> {
    let Organisation { id, name, max_tenants, created_at } = decode(value)?;
    cx.printer.item("organisation", &name, value, || {
        fields(&[
            ("Name", name.clone()),
            ("Id", id),
            ("Tenants", format!("at most {max_tenants}")),
            ("Age", age(created_at)),
        ])
    })
}

async fn list<T: DeserializeOwned>(
    cx: &Context,
    path: &[&str],
    kind: &str,
    name: fn(&T) -> &str,
    table: impl Fn(Vec<T>) -> String,
) -> Result<(), Failure> {
    let found = cx.client.list(path, &[], usize::MAX).await?.items;
    let rows: Vec<T> = found.iter().map(decode).collect::<Result<_, _>>()?;
    let names: Vec<_> = rows.iter().map(|row| name(row).to_owned()).collect();
    cx.printer.list(kind, &names, &found, || table(rows))
}

fn organisations(rows: Vec<Organisation>) -> String {
    let mut table = Table::new(&["NAME", "TENANTS", "AGE", "ID"]);
    for Organisation { id, name, max_tenants, created_at } in rows {
        table.row([name, max_tenants.to_string(), age(created_at), id]);
    }
    table.text(0)
}

fn members(rows: Vec<Member>) -> String {
    let mut table = Table::new(&["ID", "NAME", "ADDRESS", "ROLE", "SINCE"]);
    for Member { id, name, email, role, since } in rows {
        table.row([id, name, email, role, age(since)]);
    }
    table.text(0)
}

fn invites(rows: Vec<OpenInvite>) -> String {
    let mut table = Table::new(&["ID", "ROLE", "AGE", "ENDS", "FOR"]);
    for OpenInvite { id, role, note, created_at, expires_at } in rows {
        let ends = expires_at.map(|at| format!("{at:.0}")).unwrap_or_default();
        table.row([id, role, age(created_at), ends, note]);
    }
    table.text(0)
}
