//! A VM: its configuration, what waits for its next start, its snapshots, whether it runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::option::drive::{Properties, is_drive};
use crate::option::is_number;
use crate::params::size_bytes;
use crate::release::Release;

/// Keys and values of a configuration file.
pub(crate) type Options = BTreeMap<String, String>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Vm {
    pub(crate) node: String,
    pub(crate) config: Options,
    /// What the next start changes; `None` removes.
    pub(crate) pending: BTreeMap<String, Option<String>>,
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    pub(crate) run: Option<Run>,
    /// How often it was made anew under its id; tells machines of one id apart.
    pub(crate) incarnation: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) config: Options,
    pub(crate) description: String,
    pub(crate) time_s: u64,
    pub(crate) parent: Option<String>,
}

/// A VM that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) since_s: u64,
    pub(crate) pid: u32,
}

impl Vm {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.config.get(key).map(String::as_str)
    }

    pub(crate) fn name(&self) -> &str {
        self.get("name").unwrap_or_default()
    }

    pub(crate) fn is_template(&self) -> bool {
        self.get("template") == Some("1")
    }

    pub(crate) fn is_protected(&self) -> bool {
        self.get("protection") == Some("1")
    }

    pub(crate) fn lock(&self) -> Option<&str> {
        self.get("lock")
    }

    /// What the daemon says of a VM that is locked.
    pub(crate) fn check_lock(&self) -> Result<(), String> {
        self.lock().map_or(Ok(()), |lock| Err(format!("VM is locked ({lock})")))
    }

    pub(crate) fn has_agent(&self) -> bool {
        let agent = Properties::parse(self.get("agent").unwrap_or("0"));
        let is_on = |text: &str| ["1", "on", "yes", "true"].contains(&text);
        agent.first.as_deref().is_some_and(is_on) || agent.get("enabled").is_some_and(is_on)
    }

    pub(crate) fn cores(&self) -> u64 {
        let number = |key| self.get(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
        number("cores") * number("sockets")
    }

    pub(crate) fn memory_mib(&self) -> u64 {
        self.get("memory").and_then(|text| text.parse().ok()).unwrap_or(512)
    }

    /// Its drives by key.
    pub(crate) fn drives(&self) -> impl Iterator<Item = (&str, Properties)> {
        let drives = self.config.iter().filter(|(key, _)| is_drive(key));
        drives.map(|(key, value)| (key.as_str(), Properties::parse(value)))
    }

    /// Bytes of its first disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let mut disks = self.drives().filter(|(_, drive)| !drive.is_cdrom());
        disks.find_map(|(_, drive)| size_bytes(drive.get("size")?)).unwrap_or(0)
    }

    pub(crate) fn uuid(&self) -> Option<String> {
        Properties::parse(self.get("smbios1")?).get("uuid").map(str::to_owned)
    }

    /// Makes real what waited for a start.
    pub(crate) fn apply_pending(&mut self) {
        for (key, value) in std::mem::take(&mut self.pending) {
            match value {
                Some(value) => self.config.insert(key, value),
                None => self.config.remove(&key),
            };
        }
    }

    /// The configuration as it is kept, or as it will be at the next start.
    pub(crate) fn options(&self, with_pending: bool) -> Options {
        let mut options = self.config.clone();
        if with_pending {
            for (key, value) in &self.pending {
                match value {
                    Some(value) => options.insert(key.clone(), value.clone()),
                    None => options.remove(key),
                };
            }
        }
        options
    }

    /// Names one state of the configuration.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in &self.config {
            hash.update(format!("{key}: {value}\n"));
        }
        for (key, value) in &self.pending {
            hash.update(format!("[{key}: {value:?}\n"));
        }
        let mut text = hex::encode(hash.finalize());
        text.truncate(40);
        text
    }

    pub(crate) fn render(&self, release: Release, with_pending: bool) -> Value {
        let mut body = render_options(release, &self.options(with_pending));
        body.insert("digest".into(), json!(self.digest()));
        Value::Object(body)
    }
}

/// Options as they stand in an answer.
pub(crate) fn render_options(release: Release, options: &Options) -> Map<String, Value> {
    let entry = |(key, value): (&String, &String)| (key.clone(), render(release, key, value));
    options.iter().map(entry).collect()
}

/// The value of an option as it stands in an answer.
pub(crate) fn render(release: Release, key: &str, value: &str) -> Value {
    if key == "cipassword" {
        return json!("**********");
    }
    match value.parse::<i64>() {
        Ok(number) if is_number(release, key) => json!(number),
        _ => json!(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(options: &[(&str, &str)]) -> Vm {
        let config = options.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        Vm { config: config.collect(), ..Vm::default() }
    }

    #[test]
    fn numbers_are_numbers_and_property_strings_are_texts() {
        let vm = vm(&[("cores", "2"), ("memory", "4096"), ("agent", "1"), ("template", "1")]);
        let new = vm.render(Release::V9_2, false);
        assert_eq!(new["cores"], json!(2));
        assert_eq!(new["memory"], json!("4096"));
        assert_eq!(new["agent"], json!("1"));
        assert_eq!(new["template"], json!(1));
        assert_eq!(vm.render(Release::V7_4, false)["memory"], json!(4096));
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(
            vm(&[("cipassword", "x")]).render(Release::V9_2, false)["cipassword"],
            "**********"
        );
    }

    #[test]
    fn the_digest_changes_with_the_configuration() {
        let (one, two) = (vm(&[("cores", "2")]), vm(&[("cores", "3")]));
        assert_ne!(one.digest(), two.digest());
        assert_eq!(one.digest().len(), 40);
    }

    #[test]
    fn pending_changes_are_made_at_a_start() {
        let mut vm = vm(&[("cores", "2"), ("cpu", "host")]);
        vm.pending = [("cores".into(), Some("4".into())), ("cpu".into(), None)].into();
        assert_eq!(vm.get("cores"), Some("2"));
        vm.apply_pending();
        assert_eq!((vm.get("cores"), vm.get("cpu")), (Some("4"), None));
    }

    #[test]
    fn the_agent_is_on_in_several_spellings() {
        for (text, is_on) in [("1", true), ("enabled=1,fstrim_cloned_disks=1", true), ("0", false)]
        {
            assert_eq!(vm(&[("agent", text)]).has_agent(), is_on, "{text}");
        }
        assert!(!vm(&[]).has_agent());
    }
}
