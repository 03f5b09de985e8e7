//! Who may do what: users, tokens, roles and the list of who has which role where.

pub(crate) mod login;
pub(crate) mod privilege;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::release::Release;

/// The user who may do everything.
pub(crate) const ROOT: &str = "root@pam";

/// Users, roles and who has which.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) users: BTreeMap<String, User>,
    /// Roles that were made, beside those that are built in.
    pub(crate) roles: BTreeMap<String, BTreeSet<String>>,
    pub(crate) entries: BTreeSet<Entry>,
    /// Privileges that were taken from somebody at a path, whatever his roles say.
    pub(crate) taken: BTreeSet<Taken>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) password: Option<String>,
    pub(crate) tokens: BTreeMap<String, Token>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) secret: String,
    /// Has rights of its own, and none that the user lacks.
    pub(crate) is_separate: bool,
    pub(crate) comment: String,
    /// Seconds since 1970; zero is never.
    pub(crate) expires_s: u64,
}

/// One line of the list: a user or token has a role at a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) who: String,
    pub(crate) role: String,
    pub(crate) propagates: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) path: String,
    pub(crate) who: String,
    pub(crate) privilege: String,
}

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor {
    pub(crate) user: String,
    pub(crate) token: Option<String>,
}

/// Privileges at a path; the value says whether they hold below it, too.
pub(crate) type Privileges = BTreeMap<String, bool>;

impl Actor {
    /// As tasks and lists name it.
    pub(crate) fn name(&self) -> String {
        match &self.token {
            Some(token) => format!("{}!{token}", self.user),
            None => self.user.clone(),
        }
    }

    /// Only root's own login; no token is.
    pub(crate) fn is_root(&self) -> bool {
        self.user == ROOT && self.token.is_none()
    }
}

impl Access {
    /// What an actor may do at a path. `pool` is the pool of the VM or storage that the path names.
    pub(crate) fn privileges(
        &self,
        release: Release,
        actor: &Actor,
        path: &str,
        pool: Option<&str>,
    ) -> Privileges {
        let of_user = self.privileges_of(release, &actor.user, path, pool);
        let Some(token) = &actor.token else { return of_user };
        let is_separate = self
            .users
            .get(&actor.user)
            .and_then(|user| user.tokens.get(token))
            .is_none_or(|token| token.is_separate);
        if !is_separate {
            return self.without_taken(of_user, &actor.name(), path);
        }
        let own = self.privileges_of(release, &actor.name(), path, pool);
        let both = own.into_iter().filter_map(|(privilege, propagates)| {
            let users = of_user.get(&privilege)?;
            Some((privilege, propagates && *users))
        });
        both.collect()
    }

    fn privileges_of(
        &self,
        release: Release,
        who: &str,
        path: &str,
        pool: Option<&str>,
    ) -> Privileges {
        if who == ROOT {
            let all = privilege::all(release).into_iter().map(|name| (name.to_owned(), true));
            return self.without_taken(all.collect(), who, path);
        }
        let mut found = self.at_path(release, who, path);
        if let Some(pool) = pool {
            let of_pool = self.at_path(release, who, &format!("/pool/{pool}"));
            found.extend(of_pool.into_iter().filter(|(_, propagates)| *propagates));
        }
        self.without_taken(found, who, path)
    }

    /// The roles of the deepest path that has any replace those above it.
    fn at_path(&self, release: Release, who: &str, path: &str) -> Privileges {
        let mut found = Privileges::new();
        for level in levels(path) {
            let here: Vec<&Entry> = self
                .entries
                .iter()
                .filter(|entry| entry.who == who && entry.path == level)
                .filter(|entry| entry.propagates || level == path)
                .collect();
            if here.is_empty() {
                continue;
            }
            found.clear();
            for entry in here {
                for privilege in self.role(release, &entry.role).unwrap_or_default() {
                    found.insert(privilege, entry.propagates);
                }
            }
        }
        found
    }

    fn without_taken(&self, mut found: Privileges, who: &str, path: &str) -> Privileges {
        let is_below =
            |above: &str| above == "/" || path == above || path.starts_with(&format!("{above}/"));
        for taken in self.taken.iter().filter(|taken| taken.who == who && is_below(&taken.path)) {
            found.remove(&taken.privilege);
        }
        found
    }

    /// The privileges of a role, built in or made.
    pub(crate) fn role(&self, release: Release, name: &str) -> Option<BTreeSet<String>> {
        let made = || self.roles.get(name).cloned();
        privilege::role(release, name).or_else(made)
    }
}

/// The path and all above it, the root first.
fn levels(path: &str) -> Vec<String> {
    let mut levels = vec!["/".to_owned()];
    let mut level = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        level.push('/');
        level.push_str(part);
        levels.push(level.clone());
    }
    levels
}

/// Fails with the first privilege that is missing.
pub(crate) fn require(found: &Privileges, path: &str, wanted: &[&str]) -> Result<(), Failure> {
    match wanted.iter().find(|privilege| !found.contains_key(**privilege)) {
        Some(missing) => Err(Failure::forbidden(Some(&format!("{path}, {missing}")))),
        None => Ok(()),
    }
}

/// Fails unless one of the privileges is there.
pub(crate) fn require_any(found: &Privileges, path: &str, wanted: &[&str]) -> Result<(), Failure> {
    if wanted.iter().any(|privilege| found.contains_key(*privilege)) {
        return Ok(());
    }
    Err(Failure::forbidden(Some(&format!("{path}, {}", wanted.join("|")))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, who: &str, role: &str) -> Entry {
        Entry { path: path.into(), who: who.into(), role: role.into(), propagates: true }
    }

    fn access(is_separate: bool, entries: &[Entry]) -> Access {
        let token = Token { secret: "s".into(), is_separate, comment: String::new(), expires_s: 0 };
        let user = User { password: None, tokens: [("t1".into(), token)].into() };
        Access {
            users: [("u@pve".into(), user)].into(),
            entries: entries.iter().cloned().collect(),
            ..Access::default()
        }
    }

    fn token() -> Actor {
        Actor { user: "u@pve".into(), token: Some("t1".into()) }
    }

    fn has(access: &Access, path: &str, pool: Option<&str>, privilege: &str) -> bool {
        access.privileges(Release::V9_2, &token(), path, pool).contains_key(privilege)
    }

    #[test]
    fn a_separate_token_needs_an_entry_for_itself_and_one_for_its_user() {
        let users = entry("/vms", "u@pve", "PVEVMAdmin");
        let own = entry("/vms/100", "u@pve!t1", "PVEAuditor");
        assert!(!has(&access(true, std::slice::from_ref(&users)), "/vms/100", None, "VM.Audit"));
        assert!(!has(&access(true, std::slice::from_ref(&own)), "/vms/100", None, "VM.Audit"));
        let both = access(true, &[users.clone(), own]);
        assert!(has(&both, "/vms/100", None, "VM.Audit"));
        assert!(!has(&both, "/vms/100", None, "VM.Clone"));
        assert!(has(&access(false, &[users]), "/vms/100", None, "VM.Clone"));
    }

    #[test]
    fn the_deepest_path_with_a_role_decides() {
        let entries = [entry("/", "u@pve", "PVEAdmin"), entry("/vms/100", "u@pve", "NoAccess")];
        let access = access(false, &entries);
        assert!(!has(&access, "/vms/100", None, "VM.Audit"));
        assert!(has(&access, "/vms/101", None, "VM.Audit"));
    }

    #[test]
    fn a_pool_gives_its_rights_to_its_vms() {
        let access = access(false, &[entry("/pool/a", "u@pve", "PVEVMAdmin")]);
        assert!(has(&access, "/vms/100", Some("a"), "VM.Allocate"));
        assert!(!has(&access, "/vms/100", Some("b"), "VM.Allocate"));
        assert!(!has(&access, "/vms/100", None, "VM.Allocate"));
    }

    #[test]
    fn what_was_taken_is_missing_below_its_path_until_it_is_given_back() {
        let mut access = access(false, &[entry("/", "u@pve", "PVEAdmin")]);
        access.taken.insert(Taken {
            path: "/vms".into(),
            who: "u@pve".into(),
            privilege: "VM.Clone".into(),
        });
        assert!(!has(&access, "/vms/100", None, "VM.Clone"));
        assert!(has(&access, "/vms/100", None, "VM.Audit"));
        access.taken.clear();
        assert!(has(&access, "/vms/100", None, "VM.Clone"));
    }
}
