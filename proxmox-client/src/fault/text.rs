//! Reads the kind of a fault from its text.

use super::{Fault, Missing};

/// Texts that name a kind on their own, the more special ones first.
const TELLING: [(&str, Fault); 18] = [
    ("no quorum", Fault::NoQuorum),
    ("got lock request timeout", Fault::LockTimeout),
    ("got lock timeout", Fault::LockTimeout),
    ("guest agent", Fault::AgentDown),
    ("qga command", Fault::AgentDown),
    ("qga socket", Fault::AgentDown),
    ("protection mode enabled", Fault::Protected),
    ("checksum mismatch", Fault::DigestMismatch),
    ("detected modified configuration", Fault::DigestMismatch),
    ("interrupted by signal", Fault::Interrupted),
    ("received interrupt", Fault::Interrupted),
    ("unexpected status", Fault::Interrupted),
    ("already exists", Fault::AlreadyExists),
    ("already used", Fault::AlreadyExists),
    ("not running", Fault::NotRunning),
    ("already running", Fault::Running),
    ("is running", Fault::Running),
    ("got timeout", Fault::TimedOut),
];

/// The kind of a fault that only its text tells.
pub(super) fn fault(text: &str) -> Fault {
    if text.contains("Permission check failed") {
        return forbidden(text);
    }
    if let Some(lock) = between(text, "is locked (", ")") {
        return Fault::Locked { lock: lock.to_owned() };
    }
    if text.contains("can't lock file") && text.contains("got timeout") {
        return Fault::LockTimeout;
    }
    if let Some(missing) = missing(text) {
        return Fault::NotFound(missing);
    }
    let telling = TELLING.iter().find(|(part, _)| text.contains(part));
    telling.map_or(Fault::Other, |(_, fault)| fault.clone())
}

/// A refusal: `Permission check failed (/path, Privilege)`, where the parenthesis may be missing.
pub(super) fn forbidden(text: &str) -> Fault {
    let inside = between(text, "Permission check failed (", ")");
    let parts = inside.and_then(|inside| inside.rsplit_once(','));
    let word = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    match parts {
        Some((path, privilege)) if path.starts_with('/') => {
            Fault::Forbidden { path: word(path), privilege: word(privilege) }
        }
        _ => Fault::Forbidden { path: None, privilege: None },
    }
}

/// What is missing, if the text says that something is. Of what else is missing a VM must be told
/// apart: "already gone" ends a removal only if it is the VM that is gone.
fn missing(text: &str) -> Option<Missing> {
    let is_missing = [
        "does not exist",
        "no such",
        "hostname lookup",
        "unable to find configuration file",
        "not found",
    ];
    if !is_missing.iter().any(|part| text.contains(part)) {
        return None;
    }
    let kinds = [
        ("qemu-server/", Missing::Vm),
        ("unable to find configuration file for VM", Missing::Vm),
        ("no such VM", Missing::Vm),
        ("no such cluster node", Missing::Node),
        ("hostname lookup", Missing::Node),
        ("no such task", Missing::Task),
        ("snapshot", Missing::Snapshot),
        ("pool '", Missing::Pool),
        ("storage '", Missing::Storage),
        ("volume '", Missing::Volume),
    ];
    // A storage's own file is named by its path, which may hold any of these words.
    let kind = kinds.iter().find(|(part, _)| text.contains(part));
    Some(kind.map_or(Missing::Other, |(_, missing)| *missing))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inside, _)| inside)
}
