//! Property strings: `first,key=value,key=value`, of which drives and network cards are made.

/// A property string taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Properties {
    /// What stands without a key, such as the volume of a drive.
    pub(crate) first: Option<String>,
    pub(crate) pairs: Vec<(String, String)>,
}

impl Properties {
    pub(crate) fn parse(text: &str) -> Self {
        let mut properties = Self { first: None, pairs: Vec::new() };
        for (index, part) in text.split(',').enumerate() {
            match part.split_once('=') {
                Some((key, value)) => properties.pairs.push((key.into(), value.into())),
                None if index == 0 => properties.first = Some(part.into()),
                None => properties.pairs.push((part.into(), String::new())),
            }
        }
        properties
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        match self.pairs.iter_mut().find(|(known, _)| known == key) {
            Some(pair) => pair.1 = value.into(),
            None => self.pairs.push((key.into(), value.into())),
        }
    }

    /// The volume of a drive, also where it is written as `file=`.
    pub(crate) fn volume(&self) -> &str {
        self.get("file").or(self.first.as_deref()).unwrap_or_default()
    }

    pub(crate) fn is_cdrom(&self) -> bool {
        self.get("media") == Some("cdrom") || self.is_cloudinit()
    }

    pub(crate) fn is_cloudinit(&self) -> bool {
        let volume = self.volume();
        volume.ends_with(":cloudinit") || volume.contains("-cloudinit")
    }

    /// Storage and size in GiB of a volume that is to be made, as in `local-lvm:32`.
    pub(crate) fn wanted(&self) -> Option<(&str, f64)> {
        let (storage, size) = self.volume().split_once(':')?;
        size.parse().ok().map(|size| (storage, size))
    }
}

impl std::fmt::Display for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = self.first.iter().cloned();
        let pairs = self.pairs.iter().map(|(key, value)| format!("{key}={value}"));
        f.write_str(&first.chain(pairs).collect::<Vec<_>>().join(","))
    }
}

/// Whether a key of a configuration is a drive.
pub(crate) fn is_drive(key: &str) -> bool {
    let families = ["scsi", "virtio", "sata", "ide", "efidisk", "tpmstate"];
    families.iter().any(|family| {
        key.strip_prefix(family).is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_is_read_and_written_back() {
        let text = "local:9000/base-9000-disk-0.qcow2,discard=on,size=10G";
        let drive = Properties::parse(text);
        assert_eq!(drive.volume(), "local:9000/base-9000-disk-0.qcow2");
        assert_eq!(drive.get("size"), Some("10G"));
        assert_eq!(drive.to_string(), text);
        assert!(!drive.is_cdrom());
    }

    #[test]
    fn kinds_of_drives_are_told_apart() {
        assert!(Properties::parse("local:iso/x.iso,media=cdrom").is_cdrom());
        assert!(Properties::parse("local-lvm:cloudinit").is_cloudinit());
        assert_eq!(Properties::parse("local-lvm:32,ssd=1").wanted(), Some(("local-lvm", 32.0)));
        assert_eq!(Properties::parse("local:iso/x.iso").wanted(), None);
        assert!(is_drive("scsi0") && is_drive("efidisk0"));
        assert!(!is_drive("scsihw") && !is_drive("net0") && !is_drive("unused0"));
    }
}
