use planning::Key;
use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hasher as _},
};

/// What a wake-up suggests looking at. It carries no data: everything is read anew, and a full look
/// happens anyway from time to time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hint {
    /// At everything.
    Everything,
    /// At the record: what is wanted may have changed.
    Record,
    /// At whether the control plane and its DNS server answer.
    Status,
    /// At one object on the host.
    Object {
        /// Which.
        key: Key,
        /// Its resource version; nothing if it was deleted.
        version: Option<String>,
    },
}

/// The hints of several wake-ups together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) is_everything: bool,
    pub(crate) is_record: bool,
    pub(crate) is_status: bool,
    pub(crate) objects: BTreeMap<Key, Option<String>>,
}

/// Which versions of objects were already looked at, so that the echo of an own write wakes nobody.
/// Hashes only: 16 bytes for each object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(HashMap<u64, u64>);

impl Hints {
    pub(crate) fn add(&mut self, hint: Hint) {
        match hint {
            Hint::Everything => self.is_everything = true,
            Hint::Record => self.is_record = true,
            Hint::Status => self.is_status = true,
            Hint::Object { key, version } => {
                self.objects.insert(key, version);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        let Self { is_everything, is_record, is_status, objects } = other;
        self.is_everything |= is_everything;
        self.is_record |= is_record;
        self.is_status |= is_status;
        for (key, version) in objects {
            self.objects.entry(key).or_insert(version);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.is_everything && !self.is_record && !self.is_status && self.objects.is_empty()
    }

    /// Drops what has already been looked at.
    pub(crate) fn forget_seen(&mut self, seen: &Seen) {
        self.objects.retain(|key, version| !seen.has(key, version.as_deref()));
    }
}

impl Seen {
    /// Remembers the version of an object that was read or written; nothing for an absent one.
    pub(crate) fn note(&mut self, key: &Key, version: Option<&str>) {
        self.0.insert(hash(key), hash(&version));
    }

    pub(crate) fn has(&self, key: &Key, version: Option<&str>) -> bool {
        self.0.get(&hash(key)) == Some(&hash(&version))
    }
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use planning::Kind;

    #[test]
    fn the_echo_of_an_own_write_is_not_news_and_a_foreign_write_is() {
        let key = Key::namespaced(Kind::Secret, "warren-w", "a");
        let mut seen = Seen::default();
        seen.note(&key, Some("7"));
        let mut hints = Hints::default();
        hints.add(Hint::Object { key: key.clone(), version: Some("7".to_owned()) });
        hints.forget_seen(&seen);
        assert!(hints.is_empty());
        hints.add(Hint::Object { key: key.clone(), version: Some("8".to_owned()) });
        hints.forget_seen(&seen);
        assert!(!hints.is_empty());
        hints = Hints::default();
        hints.add(Hint::Object { key, version: None });
        hints.forget_seen(&seen);
        assert!(!hints.is_empty(), "a deletion is news");
    }
}
