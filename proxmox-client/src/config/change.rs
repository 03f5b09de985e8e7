use crate::{
    Agent, Boot, CustomCloudInit, Drive, HostPci, Invalid, IpConfig, Net, Slot, Smbios, Tags,
    Version, VmName,
    form::{self, Form},
    options,
};
use secrecy::{ExposeSecret as _, SecretString};
use std::{borrow::Cow, collections::BTreeSet, fmt, net::IpAddr};

/// What is to change in a VM's configuration. What it does not name stays.
#[derive(Debug, Clone, Default)]
pub struct ConfigChange {
    form: Form,
    deletes: BTreeSet<String>,
    needs: Vec<(&'static str, Version)>,
}

impl ConfigChange {
    /// Changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if the configuration is still the one that was read, else
    /// [`Fault::DigestMismatch`](crate::Fault::DigestMismatch).
    #[must_use]
    pub fn only_if(self, digest: &str) -> Self {
        self.set("digest", digest)
    }

    /// Its name.
    #[must_use]
    pub fn name(self, name: &VmName) -> Self {
        self.set("name", name)
    }

    /// Its description.
    ///
    /// # Errors
    /// If it has more than 8192 characters.
    pub fn description(self, text: &str) -> Result<Self, Invalid> {
        Ok(self.set("description", options::description(text)?))
    }

    /// Its tags; the datacenter may have rules about them.
    #[must_use]
    pub fn tags(self, tags: &Tags) -> Self {
        self.set("tags", tags)
    }

    /// Processors of its one socket: at least 1.
    ///
    /// # Errors
    /// If there is none.
    pub fn cores(self, count: u16) -> Result<Self, Invalid> {
        at_least_one("processors", count).map(|count| self.set("cores", count))
    }

    /// Sockets: at least 1.
    ///
    /// # Errors
    /// If there is none.
    pub fn sockets(self, count: u16) -> Result<Self, Invalid> {
        at_least_one("sockets", count).map(|count| self.set("sockets", count))
    }

    /// Memory, in mebibytes: at least 16.
    ///
    /// # Errors
    /// If it is less.
    pub fn memory(self, mebibytes: u32) -> Result<Self, Invalid> {
        if mebibytes < 16 {
            return Err(Invalid::new("memory", mebibytes, "at least 16 mebibytes"));
        }
        Ok(self.set("memory", mebibytes))
    }

    /// What its processor looks like, e.g. `host` or `x86-64-v2-AES`.
    ///
    /// # Errors
    /// If it cannot be the name of one.
    pub fn processor(self, model: &str) -> Result<Self, Invalid> {
        let is_name = !model.is_empty()
            && model.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
        if is_name {
            Ok(self.set("cpu", model))
        } else {
            Err(Invalid::new("processor", model, "letters, digits, '-', '_', '.' and '+'"))
        }
    }

    /// Whether it starts with its node.
    #[must_use]
    pub fn starts_with_node(self, is_on: bool) -> Self {
        self.flag("onboot", is_on)
    }

    /// Whether it may not be removed.
    #[must_use]
    pub fn protection(self, is_on: bool) -> Self {
        self.flag("protection", is_on)
    }

    /// Whether it has a guest agent.
    #[must_use]
    pub fn agent(self, agent: Agent) -> Self {
        self.set("agent", agent)
    }

    /// What it starts from.
    #[must_use]
    pub fn boot(self, boot: &Boot) -> Self {
        self.set("boot", boot)
    }

    /// A network card: 0 to 31.
    ///
    /// # Errors
    /// If there is no such card.
    pub fn net(self, index: u8, net: &Net) -> Result<Self, Invalid> {
        card("network card", index, 31).map(|index| self.set(format!("net{index}"), net))
    }

    /// The addresses of a network card: 0 to 31.
    ///
    /// # Errors
    /// If there is no such card.
    pub fn ip_config(self, index: u8, config: IpConfig) -> Result<Self, Invalid> {
        card("network card", index, 31).map(|index| self.set(format!("ipconfig{index}"), config))
    }

    /// A drive.
    ///
    /// # Errors
    /// If the slot's bus does not know an option of the drive.
    pub fn drive(self, slot: Slot, drive: &Drive) -> Result<Self, Invalid> {
        drive.check(slot)?;
        Ok(self.set(slot.to_string(), drive))
    }

    /// A device of the host: 0 to 15; by its mapping from release 8.0 on.
    ///
    /// # Errors
    /// If there is no such place.
    pub fn host_pci(mut self, index: u8, device: &HostPci) -> Result<Self, Invalid> {
        self.needs.push(("a mapping of devices", Version::V8_0));
        card("host device", index, 15).map(|index| self.set(format!("hostpci{index}"), device))
    }

    /// What it says about itself.
    ///
    /// # Errors
    /// If that is nothing, or longer than 512 characters.
    pub fn smbios(self, smbios: &Smbios) -> Result<Self, Invalid> {
        smbios.check()?;
        Ok(self.set("smbios1", smbios))
    }

    /// Who logs in, by cloud-init.
    ///
    /// # Errors
    /// If it is not one word.
    pub fn user(self, name: &str) -> Result<Self, Invalid> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Invalid::new("user", name, "one word"));
        }
        Ok(self.set("ciuser", name))
    }

    /// With which password. The server keeps only its hash.
    #[must_use]
    pub fn password(self, password: &SecretString) -> Self {
        self.set("cipassword", password.expose_secret())
    }

    /// With which public keys, each one line as in `authorized_keys`.
    ///
    /// # Errors
    /// If one is empty or more than a line.
    pub fn ssh_keys(self, keys: &[&str]) -> Result<Self, Invalid> {
        let is_line = |key: &&str| !key.trim().is_empty() && !key.trim().contains(char::is_control);
        if keys.is_empty() || !keys.iter().all(is_line) {
            return Err(Invalid::new("SSH keys", "", "one or more keys, each one line"));
        }
        let lines: Vec<&str> = keys.iter().map(|key| key.trim()).collect();
        // The option itself holds percent-encoded text, which the form then encodes once more.
        Ok(self.set("sshkeys", form::encode(&lines.join("\n"))))
    }

    /// Name servers, by cloud-init.
    ///
    /// # Errors
    /// If there is none.
    pub fn name_servers(self, servers: &[IpAddr]) -> Result<Self, Invalid> {
        if servers.is_empty() {
            return Err(Invalid::new("name servers", "", "at least one"));
        }
        let words: Vec<String> = servers.iter().map(ToString::to_string).collect();
        Ok(self.set("nameserver", words.join(" ")))
    }

    /// The domain of names without a dot, by cloud-init.
    #[must_use]
    pub fn search_domain(self, domain: &VmName) -> Self {
        self.set("searchdomain", domain)
    }

    /// Whether the guest upgrades its packages at its first start, which takes minutes; from release 8.0
    /// on, where it does unless told not to.
    #[must_use]
    pub fn upgrades_at_first_start(mut self, is_on: bool) -> Self {
        self.needs.push(("whether packages are upgraded at the first start", Version::V8_0));
        self.flag("ciupgrade", is_on)
    }

    /// Files for cloud-init.
    ///
    /// # Errors
    /// If none is named.
    pub fn custom_cloud_init(self, files: &CustomCloudInit) -> Result<Self, Invalid> {
        if files.is_empty() {
            return Err(Invalid::new("files for cloud-init", "", "at least one"));
        }
        Ok(self.set("cicustom", files))
    }

    /// Any other option, as the API's documentation spells it.
    ///
    /// # Errors
    /// If that cannot be the name of one.
    pub fn option(self, option: &str, value: &str) -> Result<Self, Invalid> {
        Ok(self.set(checked(option)?.to_owned(), value))
    }

    /// Takes an option away: its default holds again. Of a disk, the volume stays as an unused one.
    ///
    /// # Errors
    /// If that cannot be the name of one.
    pub fn remove(mut self, option: &str) -> Result<Self, Invalid> {
        self.form.remove(checked(option)?);
        self.deletes.insert(option.to_owned());
        Ok(self)
    }

    /// Empties a slot.
    #[must_use]
    pub fn unplug(mut self, slot: Slot) -> Self {
        let slot = slot.to_string();
        self.form.remove(&slot);
        self.deletes.insert(slot);
        self
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deletes.is_empty() && !self.form.keys().any(|key| key != "digest")
    }

    pub(crate) fn form(&self) -> Form {
        let mut form = self.form.clone();
        if !self.deletes.is_empty() {
            form.set(
                "delete",
                self.deletes.iter().map(String::as_str).collect::<Vec<_>>().join(","),
            );
        }
        form
    }

    /// What is not in every release, with the first that has it.
    pub(crate) fn needs(&self) -> impl Iterator<Item = (&'static str, Version)> {
        self.needs.iter().copied()
    }

    fn set(mut self, option: impl Into<Cow<'static, str>>, value: impl fmt::Display) -> Self {
        let option = option.into();
        self.deletes.remove(option.as_ref());
        self.form.set(option, value);
        self
    }

    fn flag(self, option: &'static str, is_on: bool) -> Self {
        self.set(option, u8::from(is_on))
    }
}

fn at_least_one(what: &'static str, count: u16) -> Result<u16, Invalid> {
    if count == 0 { Err(Invalid::new(what, count, "at least 1")) } else { Ok(count) }
}

fn card(what: &'static str, index: u8, last: u8) -> Result<u8, Invalid> {
    if index > last { Err(Invalid::new(what, index, format!("0 to {last}"))) } else { Ok(index) }
}

fn checked(option: &str) -> Result<&str, Invalid> {
    let is_name = option.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && option
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    // These are not options of a VM but say how the change is made.
    let is_control = ["delete", "digest", "revert", "force", "skiplock"].contains(&option);
    if is_name && !is_control {
        Ok(option)
    } else {
        Err(Invalid::new("option", option, "the name of an option of a VM"))
    }
}
