//! Faults of the API: what goes wrong with calls and with the tasks that they start.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// A fault that waits for the calls it is meant for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    #[serde(flatten)]
    pub effect: Effect,
    /// Only calls of this method; all if it is missing.
    #[serde(default)]
    pub method: Option<String>,
    /// Only calls of this path below `/api2/json`, where `*` stands for anything.
    #[serde(default = "any")]
    pub path: String,
    /// How many calls it hits; `None` until it is cleared.
    #[serde(default = "once")]
    pub times: Option<u32>,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Effect {
    /// The connection ends instead of an answer; the call has had its effect or not.
    ReplyLost { after_effect: bool },
    /// The answer comes this much later.
    Slow { ms: u64 },
    /// Another answer, and no effect.
    Answer { status: u16, reason: String },
    /// The call answers as always, and its task fails.
    TaskFails {
        text: String,
        #[serde(default)]
        at: Moment,
    },
    /// The task ends with warnings; that of a removal leaves the disks behind.
    TaskWarns { count: u32 },
    /// The task works so much longer.
    TaskSlow { ms: u64 },
    /// The task never ends, unless it is aborted.
    TaskHangs,
    /// The task waits for a lock in vain.
    LockTimeout { lock: Lock },
}

/// When a task fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before it did anything.
    #[default]
    Begin,
    /// Halfway; it cleans up as far as the real one does.
    Middle,
    /// After all was done.
    End,
}

/// Which lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lock {
    /// The configuration of the VM.
    Vm,
    /// The id that a clone is to have.
    NewId,
    Storage,
}

fn any() -> String {
    "*".into()
}

#[expect(clippy::unnecessary_wraps, reason = "serde takes the whole value")]
fn once() -> Option<u32> {
    Some(1)
}

impl Effect {
    /// A fault that hits the next call of this method and path.
    #[must_use]
    pub fn once(self, method: &str, path: &str) -> Fault {
        Fault { effect: self, method: Some(method.into()), path: path.into(), times: Some(1) }
    }

    /// A fault that hits every call of this method and path until it is cleared.
    #[must_use]
    pub fn always(self, method: &str, path: &str) -> Fault {
        Fault { times: None, ..self.once(method, path) }
    }

    /// A fault that hits the next so many calls of this method and path.
    #[must_use]
    pub fn times(self, count: u32, method: &str, path: &str) -> Fault {
        Fault { times: Some(count), ..self.once(method, path) }
    }
}

impl Fault {
    fn is_meant_for(&self, method: &str, path: &str) -> bool {
        self.times != Some(0)
            && self.method.as_deref().is_none_or(|own| own.eq_ignore_ascii_case(method))
            && matches(&self.path, path)
    }
}

/// Whether a path fits a pattern, where `*` stands for anything.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The faults that wait, by number.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<(u64, Vec<(u64, Fault)>)>);

impl Faults {
    pub(crate) fn add(&self, fault: Fault) -> u64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.0 += 1;
        let number = all.0;
        all.1.push((number, fault));
        number
    }

    /// Clears one fault, or all.
    pub(crate) fn clear(&self, number: Option<u64>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.1.retain(|(own, _)| number.is_some_and(|number| number != *own));
    }

    pub(crate) fn list(&self) -> Vec<(u64, Fault)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// What goes wrong with this call; counts it.
    pub(crate) fn take(&self, method: &str, path: &str) -> Vec<Effect> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hits = Vec::new();
        for (_, fault) in all.1.iter_mut().filter(|(_, fault)| fault.is_meant_for(method, path)) {
            hits.push(fault.effect.clone());
            fault.times = fault.times.map(|left| left - 1);
        }
        all.1.retain(|(_, fault)| fault.times != Some(0));
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_paths_only() {
        let path = "/nodes/pve1/qemu/9000/clone";
        for fits in ["*", "/nodes/*/clone", "*/qemu/*", path, "/nodes/*/qemu/9000/*"] {
            assert!(matches(fits, path), "{fits}");
        }
        for other in ["", "/nodes", "/nodes/*/config", "clone", "/nodes/*/qemu/9001/*"] {
            assert!(!matches(other, path), "{other}");
        }
    }

    #[test]
    fn a_fault_hits_as_often_as_it_should() {
        let faults = Faults::default();
        faults.add(Effect::TaskHangs.times(2, "POST", "*/clone"));
        let always = faults.add(Effect::Slow { ms: 1 }.always("get", "*"));
        let hits = |method: &str, path: &str| faults.take(method, path).len();
        assert_eq!(hits("POST", "/a/b"), 0);
        assert_eq!(
            [hits("POST", "/a/clone"), hits("POST", "/a/clone"), hits("POST", "/a/clone")],
            [1, 1, 0]
        );
        assert_eq!([hits("GET", "/a"), hits("GET", "/a")], [1, 1]);
        faults.clear(Some(always));
        assert_eq!(hits("GET", "/a"), 0);
    }

    #[test]
    fn a_fault_is_read_from_one_flat_object() {
        let text = r#"{"fault": "task_fails", "text": "no", "path": "*/clone", "times": null}"#;
        let fault: Fault = serde_json::from_str(text).expect("is one");
        assert_eq!(fault.effect, Effect::TaskFails { text: "no".into(), at: Moment::Begin });
        assert_eq!((fault.times, fault.method), (None, None));
        let text = r#"{"fault": "lock_timeout", "lock": "new_id"}"#;
        let fault: Fault = serde_json::from_str(text).expect("is one");
        assert_eq!((fault.times, fault.path.as_str()), (Some(1), "*"));
    }
}
