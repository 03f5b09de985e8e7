//! `/access`: logins, users, tokens, roles, and who has which where.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Call, Rights, Route, now};
use crate::access::login::Ticket;
use crate::access::{Actor, Entry, Privileges, Token, User, privilege};
use crate::failure::Failure;
use crate::http::answer::Reply;
use crate::params::{Kind, Parameter, optional, required};

const LOGIN: [Parameter; 7] = [
    required("username", Kind::Text),
    required("password", Kind::Text),
    optional("realm", Kind::Text),
    optional("otp", Kind::Text),
    optional("path", Kind::Text),
    optional("privs", Kind::Text),
    optional("new-format", Kind::Boolean),
];
const USER: [Parameter; 4] = [
    required("userid", Kind::Text),
    optional("password", Kind::Text),
    optional("comment", Kind::Text),
    optional("enable", Kind::Boolean),
];
const TOKEN: [Parameter; 3] = [
    optional("comment", Kind::Text),
    optional("privsep", Kind::Boolean),
    optional("expire", Kind::Integer(0, i64::MAX)),
];
const ROLE: [Parameter; 2] = [required("roleid", Kind::Text), optional("privs", Kind::Text)];
const ROLE_CHANGE: [Parameter; 2] =
    [optional("privs", Kind::Text), optional("append", Kind::Boolean)];
const ACL: [Parameter; 7] = [
    required("path", Kind::Text),
    required("roles", Kind::Text),
    optional("users", Kind::Text),
    optional("groups", Kind::Text),
    optional("tokens", Kind::Text),
    optional("propagate", Kind::Boolean),
    optional("delete", Kind::Boolean),
];
const PERMISSIONS: [Parameter; 2] = [optional("path", Kind::Text), optional("userid", Kind::Text)];

pub(crate) fn routes() -> Vec<Route> {
    let users = Rights::Need("/access/groups", &["User.Modify"]);
    let modify = Rights::Need("/access", &["Sys.Modify"]);
    let token = "/access/users/{userid}/token/{tokenid}";
    vec![
        now("POST", "/access/ticket", Rights::Public, &LOGIN, log_in),
        now(
            "GET",
            "/access/users",
            Rights::All,
            const { &[optional("full", Kind::Boolean)] },
            list_users,
        ),
        now("POST", "/access/users", users, &USER, make_user),
        now("DELETE", "/access/users/{userid}", users, &[], remove_user),
        now("GET", "/access/users/{userid}/token", Rights::All, &[], list_tokens),
        now("GET", token, Rights::All, &[], show_token),
        now("POST", token, Rights::All, &TOKEN, make_token),
        now("DELETE", token, Rights::All, &[], remove_token),
        now("GET", "/access/permissions", Rights::All, &PERMISSIONS, permissions),
        now("GET", "/access/roles", Rights::All, &[], list_roles),
        now("POST", "/access/roles", modify, &ROLE, make_role),
        now("GET", "/access/roles/{roleid}", Rights::All, &[], show_role),
        now("PUT", "/access/roles/{roleid}", modify, &ROLE_CHANGE, change_role),
        now("DELETE", "/access/roles/{roleid}", modify, &[], remove_role),
        now("GET", "/access/acl", Rights::All, &[], list_entries),
        now("PUT", "/access/acl", Rights::All, &ACL, change_entries),
    ]
}

fn log_in(call: &Call) -> Result<Reply, Failure> {
    let text = |name| call.params.text(name).unwrap_or_default().to_owned();
    let (mut user, password) = (text("username"), text("password"));
    if let Some(realm) = call.params.text("realm")
        && !user.contains('@')
    {
        user = format!("{user}@{realm}");
    }
    let now_s = call.now_s();
    let mut world = call.cluster.world();
    world.tickets.retain(|ticket| ticket.is_good(now_s));
    let by_password = world.access.users.get(&user).and_then(|user| user.password.clone());
    let by_ticket =
        world.tickets.iter().any(|ticket| ticket.user == user && ticket.text == password);
    if by_password.as_deref() != Some(password.as_str()) && !by_ticket {
        return Err(Failure::unauthorized("authentication failure"));
    }
    let ticket = Ticket::new(&user, now_s, &mut *call.cluster.random());
    let actor = Actor { user: user.clone(), token: None };
    let mut rights = Map::new();
    for part in ["vms", "storage", "nodes", "access", "dc"] {
        let found = world.privileges(&actor, &format!("/{part}"));
        rights.insert(part.into(), render(&found));
    }
    let body = json!({
        "username": user, "ticket": ticket.text, "CSRFPreventionToken": ticket.guard,
        "clustername": world.name, "cap": rights,
    });
    world.tickets.push(ticket);
    Ok(body.into())
}

fn render(found: &Privileges) -> Value {
    found.iter().map(|(name, propagates)| (name.clone(), json!(u8::from(*propagates)))).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn list_users(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let sees_all = world.may(&call.actor, "/access/groups", "Sys.Audit");
    let seen = world.access.users.keys().filter(|user| sees_all || **user == call.actor.user);
    Ok(seen.map(|user| json!({"userid": user, "enable": 1, "expire": 0})).collect::<Value>().into())
}

fn make_user(call: &Call) -> Result<Reply, Failure> {
    let name = call.params.text("userid").unwrap_or_default().to_owned();
    if !name.contains('@') {
        return Err(Failure::parameter("userid", "value does not look like a valid user name"));
    }
    let mut world = call.cluster.world();
    if world.access.users.contains_key(&name) {
        return Err(Failure::internal(format!("create user failed: user '{name}' already exists")));
    }
    let password = call.params.text("password").map(str::to_owned);
    world.access.users.insert(name, User { password, ..User::default() });
    Ok(Value::Null.into())
}

fn remove_user(call: &Call) -> Result<Reply, Failure> {
    let name = call.part("userid");
    let mut world = call.cluster.world();
    if world.access.users.remove(name).is_none() {
        return Err(Failure::internal(format!("delete user failed: user '{name}' does not exist")));
    }
    let tokens = format!("{name}!");
    world.access.entries.retain(|entry| entry.who != name && !entry.who.starts_with(&tokens));
    Ok(Value::Null.into())
}

/// Tokens are a user's own affair, or that of whoever manages users.
fn check_user(call: &Call) -> Result<(), Failure> {
    let name = call.part("userid");
    let world = call.cluster.world();
    if call.actor.user != name {
        world.require(&call.actor, "/access/groups", &["User.Modify"])?;
    }
    match world.access.users.get(name) {
        Some(_) => Ok(()),
        None => Err(Failure::internal(format!("no such user ('{name}')"))),
    }
}

fn token_body(token: &Token) -> Value {
    json!({
        "privsep": u8::from(token.is_separate), "expire": token.expires_s, "comment": token.comment,
    })
}

fn list_tokens(call: &Call) -> Result<Reply, Failure> {
    check_user(call)?;
    let world = call.cluster.world();
    let tokens = world.access.users.get(call.part("userid")).map(|user| &user.tokens);
    let list = tokens.into_iter().flatten().map(|(id, token)| {
        let mut entry = token_body(token);
        entry["tokenid"] = json!(id);
        entry
    });
    Ok(list.collect::<Value>().into())
}

fn show_token(call: &Call) -> Result<Reply, Failure> {
    check_user(call)?;
    let world = call.cluster.world();
    let (user, id) = (call.part("userid"), call.part("tokenid"));
    let token = world.access.users.get(user).and_then(|user| user.tokens.get(id));
    let token = token
        .ok_or_else(|| Failure::internal(format!("no such token '{id}' for user '{user}'")))?;
    Ok(token_body(token).into())
}

fn make_token(call: &Call) -> Result<Reply, Failure> {
    check_user(call)?;
    let (name, id) = (call.part("userid").to_owned(), call.part("tokenid").to_owned());
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let begins_well = id.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if id.len() < 2 || !begins_well || !id.chars().all(is_letter) {
        let text = "value does not match the regex pattern";
        return Err(Failure::parameter("tokenid", text));
    }
    let secret = crate::plan::new_uuid(&mut *call.cluster.random());
    let token = Token {
        secret: secret.clone(),
        is_separate: call.params.number("privsep").is_none_or(|separate| separate == 1),
        comment: call.params.text("comment").unwrap_or_default().to_owned(),
        expires_s: call.params.number("expire").and_then(|at| at.try_into().ok()).unwrap_or(0),
    };
    let body = json!({
        "full-tokenid": format!("{name}!{id}"), "value": secret, "info": token_body(&token),
    });
    let mut world = call.cluster.world();
    let tokens = world.access.users.get_mut(&name).map(|user| &mut user.tokens);
    let Some(tokens) = tokens.filter(|tokens| !tokens.contains_key(&id)) else {
        return Err(Failure::parameter("tokenid", "Token already exists."));
    };
    tokens.insert(id, token);
    Ok(body.into())
}

fn remove_token(call: &Call) -> Result<Reply, Failure> {
    check_user(call)?;
    let (user, id) = (call.part("userid"), call.part("tokenid"));
    let mut world = call.cluster.world();
    let gone = world.access.users.get_mut(user).and_then(|user| user.tokens.remove(id));
    if gone.is_none() {
        return Err(Failure::internal(format!("no such token '{id}' for user '{user}'")));
    }
    let who = format!("{user}!{id}");
    world.access.entries.retain(|entry| entry.who != who);
    Ok(Value::Null.into())
}

/// Of the caller, or of another one for those who may audit users; by path.
fn permissions(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let actor = match call.params.text("userid") {
        Some(name) if name != call.actor.name() => {
            world.require(&call.actor, "/access", &["Sys.Audit"])?;
            let (user, token) = name.split_once('!').map_or((name, None), |(u, t)| (u, Some(t)));
            Actor { user: user.into(), token: token.map(str::to_owned) }
        }
        _ => call.actor.clone(),
    };
    let mut paths: BTreeSet<String> = BTreeSet::new();
    if let Some(path) = call.params.text("path") {
        paths.insert(path.to_owned());
    } else {
        let usual = ["/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms"];
        paths.extend(usual.map(str::to_owned));
        paths.extend(world.access.entries.iter().map(|entry| entry.path.clone()));
    }
    let found = paths.into_iter().map(|path| {
        let privileges = world.privileges(&actor, &path);
        (path, privileges)
    });
    let body: Map<String, Value> = found
        .filter(|(_, privileges)| !privileges.is_empty())
        .map(|(path, privileges)| (path, render(&privileges)))
        .collect();
    Ok(Value::Object(body).into())
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn list_roles(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let entry = |name: &str, is_special: bool| {
        let privileges = world.access.role(world.release, name).unwrap_or_default();
        let privileges: Vec<String> = privileges.into_iter().collect();
        json!({"roleid": name, "privs": privileges.join(","), "special": u8::from(is_special)})
    };
    let built_in = privilege::ROLES.iter().map(|name| entry(name, true));
    let made = world.access.roles.keys().map(|name| entry(name, false));
    Ok(built_in.chain(made).collect::<Value>().into())
}

fn show_role(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let name = call.part("roleid");
    let role = world.access.role(world.release, name);
    let role = role.ok_or_else(|| Failure::internal(format!("role '{name}' does not exist")))?;
    Ok(role.into_iter().map(|name| (name, json!(1))).collect::<Value>().into())
}

/// The privileges of a role; one that the release does not know is refused.
fn wanted_privileges(call: &Call) -> Result<BTreeSet<String>, Failure> {
    let known = privilege::all(call.release());
    let wanted = call.params.words("privs");
    match wanted.iter().find(|name| !known.contains(name.as_str())) {
        Some(unknown) => {
            let text = format!("invalid format - invalid privilege '{unknown}'");
            Err(Failure::parameter("privs", text))
        }
        None => Ok(wanted.into_iter().collect()),
    }
}

fn make_role(call: &Call) -> Result<Reply, Failure> {
    let privileges = wanted_privileges(call)?;
    let name = call.params.text("roleid").unwrap_or_default().to_owned();
    let mut world = call.cluster.world();
    if world.access.role(call.release(), &name).is_some() {
        return Err(Failure::internal(format!("create role failed: role '{name}' already exists")));
    }
    world.access.roles.insert(name, privileges);
    Ok(Value::Null.into())
}

fn change_role(call: &Call) -> Result<Reply, Failure> {
    let privileges = wanted_privileges(call)?;
    let name = call.part("roleid");
    let mut world = call.cluster.world();
    let role = world.access.roles.get_mut(name);
    let role = role.ok_or_else(|| Failure::internal(format!("role '{name}' does not exist")))?;
    if !call.params.is_set("append") {
        role.clear();
    }
    role.extend(privileges);
    Ok(Value::Null.into())
}

fn remove_role(call: &Call) -> Result<Reply, Failure> {
    let name = call.part("roleid");
    let mut world = call.cluster.world();
    if world.access.roles.remove(name).is_none() {
        return Err(Failure::internal(format!("role '{name}' does not exist")));
    }
    world.access.entries.retain(|entry| entry.role != name);
    Ok(Value::Null.into())
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn list_entries(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let sees_all = world.may(&call.actor, "/access", "Sys.Audit");
    let seen = world
        .access
        .entries
        .iter()
        .filter(|entry| sees_all || world.may(&call.actor, &entry.path, "Permissions.Modify"));
    let entry = |entry: &Entry| {
        json!({
            "path": entry.path, "ugid": entry.who, "roleid": entry.role,
            "type": if entry.who.contains('!') { "token" } else { "user" },
            "propagate": u8::from(entry.propagates),
        })
    };
    Ok(seen.map(entry).collect::<Value>().into())
}

fn change_entries(call: &Call) -> Result<Reply, Failure> {
    let path = call.params.text("path").unwrap_or_default().to_owned();
    call.require(&path, &["Permissions.Modify"])?;
    let mut world = call.cluster.world();
    let roles = call.params.words("roles");
    for role in &roles {
        if world.access.role(call.release(), role).is_none() {
            return Err(Failure::parameter("roles", format!("role '{role}' does not exist")));
        }
    }
    let who: Vec<String> =
        call.params.words("users").into_iter().chain(call.params.words("tokens")).collect();
    for who in &who {
        let (user, token) = who.split_once('!').map_or((who.as_str(), None), |(u, t)| (u, Some(t)));
        let known = world.access.users.get(user);
        let is_known = known.is_some_and(|user| token.is_none_or(|t| user.tokens.contains_key(t)));
        if !is_known {
            return Err(Failure::internal(format!("no such user ('{who}')")));
        }
    }
    let propagates = call.params.number("propagate").is_none_or(|propagate| propagate == 1);
    for who in who {
        for role in &roles {
            let same =
                |entry: &Entry| entry.path == path && entry.who == who && entry.role == *role;
            world.access.entries.retain(|entry| !same(entry));
            if !call.params.is_set("delete") {
                let (path, who, role) = (path.clone(), who.clone(), role.clone());
                world.access.entries.insert(Entry { path, who, role, propagates });
            }
        }
    }
    Ok(Value::Null.into())
}
