//! The agent inside a guest. It must be installed there and be [switched on](crate::Agent).
//!
//! Where it does not answer, a call takes about 3 seconds and ends with
//! [`Fault::AgentDown`](crate::Fault::AgentDown). Its rights are VM.GuestAgent.* from release 9 on and
//! VM.Monitor before.

use crate::{
    Error, Invalid, MacAddress, Version, Vm,
    form::Form,
    request::Request,
    scalar::{self, Scalar},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use std::{fmt, net::IpAddr};

/// The longest content of a file, in characters as it is sent.
const FILE: usize = 61_440;
/// The longest input of a command, in bytes.
const INPUT: usize = 65_536;

/// The agent inside one VM. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Guest {
    vm: Vm,
}

/// A network card as the guest sees it.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Interface {
    /// What the guest calls it.
    #[serde(default, deserialize_with = "scalar::text")]
    pub name: String,
    #[serde(default, rename = "hardware-address", deserialize_with = "scalar::text")]
    mac: String,
    /// Its addresses.
    #[serde(default, rename = "ip-addresses")]
    pub addresses: Vec<Address>,
}

/// An address of a network card.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Address {
    /// The address.
    #[serde(rename = "ip-address", deserialize_with = "scalar::parsed")]
    pub ip: IpAddr,
    /// The length of its prefix.
    #[serde(default, deserialize_with = "scalar::whole")]
    pub prefix: u64,
}

/// A command for the guest. What it is given is not shown.
#[derive(Clone)]
pub struct GuestCommand {
    words: Vec<String>,
    input: Option<String>,
}

/// How a command in the guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandState {
    /// It is not over.
    Running,
    /// It is. This is told once: who asks again is told that there is no such command.
    Ended(CommandEnd),
}

/// How a command in the guest ended.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandEnd {
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<u64>,
    /// The signal that ended it.
    pub signal: Option<u64>,
    /// What it wrote.
    pub output: String,
    /// What it complained about.
    pub complaints: String,
    /// Whether one of these is only the beginning.
    pub is_cut: bool,
}

#[derive(Debug, Deserialize)]
struct ExecAnswer {
    #[serde(deserialize_with = "scalar::whole")]
    pid: u64,
}

#[derive(Debug, Deserialize)]
struct InterfacesAnswer {
    #[serde(default)]
    result: Vec<Interface>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct StatusAnswer {
    #[serde(default, deserialize_with = "scalar::flag")]
    exited: bool,
    #[serde(default, deserialize_with = "scalar::maybe_whole")]
    exitcode: Option<u64>,
    #[serde(default, deserialize_with = "scalar::maybe_whole")]
    signal: Option<u64>,
    #[serde(default, deserialize_with = "scalar::text")]
    out_data: String,
    #[serde(default, deserialize_with = "scalar::text")]
    err_data: String,
    out_truncated: Option<Scalar>,
    err_truncated: Option<Scalar>,
}

impl fmt::Debug for GuestCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuestCommand").field(&self.words.first()).finish_non_exhaustive()
    }
}

impl fmt::Debug for CommandEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandEnd")
            .field("code", &self.code)
            .field("signal", &self.signal)
            .finish_non_exhaustive()
    }
}

impl Interface {
    /// Its hardware address. By this and not by its name a card is found, see
    /// [`VmConfig::mac`](crate::VmConfig::mac).
    #[must_use]
    pub fn mac(&self) -> Option<MacAddress> {
        MacAddress::new(self.mac.to_ascii_uppercase()).ok()
    }
}

impl GuestCommand {
    /// A program with its arguments; no shell reads them.
    ///
    /// # Errors
    /// If there is no program.
    pub fn new<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Result<Self, Invalid> {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        if words.first().is_none_or(String::is_empty) {
            return Err(Invalid::new("command", "", "a program, then its arguments"));
        }
        Ok(Self { words, input: None })
    }

    /// What it reads.
    ///
    /// # Errors
    /// If that is longer than 64 KiB.
    pub fn input(mut self, text: &str) -> Result<Self, Invalid> {
        if text.len() > INPUT {
            return Err(Invalid::new(
                "input",
                format_args!("{} bytes", text.len()),
                "at most 64 KiB",
            ));
        }
        self.input = Some(text.to_owned());
        Ok(self)
    }

    /// From release 8 on a list; before that one text, which is cut where there are blanks.
    fn form(&self, version: Version) -> Result<Form, Invalid> {
        let mut form = Form::new();
        if version >= Version::V8_0 {
            for word in &self.words {
                form.add("command", word);
            }
        } else {
            let is_plain = |word: &String| {
                !word.is_empty() && !word.contains([' ', '\t', '\n', ',', ';', '\0'])
            };
            if !self.words.iter().all(is_plain) {
                let rule = "words without blanks, commas and semicolons before release 8";
                return Err(Invalid::new("command", "", rule));
            }
            form.set("command", self.words.join(" "));
        }
        if let Some(input) = &self.input {
            form.set("input-data", input);
        }
        Ok(form)
    }
}

impl Vm {
    /// The agent inside it. Sends nothing, so there need not be one.
    #[must_use]
    pub fn guest(&self) -> Guest {
        Guest { vm: self.clone() }
    }
}

impl Guest {
    fn post(&self, command: &str) -> Request {
        Request::post(self.vm.path(&["agent", command])).on(self.vm.node())
    }

    /// Whether it answers: `POST .../agent/ping`.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.vm.client().done(self.post("ping")).await
    }

    /// The network cards of the guest: `GET .../agent/network-get-interfaces`.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn interfaces(&self) -> Result<Vec<Interface>, Error> {
        let request = self.vm.get(&["agent", "network-get-interfaces"]).protected();
        let answer: InterfacesAnswer = self.vm.client().fetch(request).await?;
        Ok(answer.result)
    }

    /// Starts a command and gives its process: `POST .../agent/exec`.
    ///
    /// # Errors
    /// If it does not answer, or the command cannot be told to a release before 8.
    pub async fn exec(&self, command: &GuestCommand) -> Result<u64, Error> {
        let version = self.vm.client().version().await?;
        let request = self.post("exec").with(command.form(version)?);
        let answer: ExecAnswer = self.vm.client().fetch(request).await?;
        Ok(answer.pid)
    }

    /// How a command is: `GET .../agent/exec-status`. That it has ended is told once, so keep it.
    /// Should that one answer be lost on its way, nobody can ask for it again: let the command leave a
    /// trace in the guest if its end matters.
    ///
    /// # Errors
    /// If it does not answer, or there is no such command.
    pub async fn exec_status(&self, process: u64) -> Result<CommandState, Error> {
        let mut form = Form::new();
        form.set("pid", process);
        let request = self.vm.get(&["agent", "exec-status"]).protected().with(form);
        let answer: StatusAnswer = self.vm.client().fetch(request).await?;
        if !answer.exited {
            return Ok(CommandState::Running);
        }
        let is_true = |flag: Option<Scalar>| flag.is_some_and(|flag| flag.whole() == Some(1));
        Ok(CommandState::Ended(CommandEnd {
            code: answer.exitcode,
            signal: answer.signal,
            output: answer.out_data,
            complaints: answer.err_data,
            is_cut: is_true(answer.out_truncated) || is_true(answer.err_truncated),
        }))
    }

    /// Writes a file in the guest: `POST .../agent/file-write`. At most 60 KiB of ASCII text or 45 KiB of
    /// anything else.
    ///
    /// # Errors
    /// If it does not answer, or the content is too long.
    pub async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), Error> {
        let mut form = Form::new();
        form.set("file", path);
        // The server encodes text by itself, and trips over what is not ASCII.
        let sent = match std::str::from_utf8(content) {
            Ok(text) if text.is_ascii() => text.to_owned(),
            _ => {
                form.flag("encode", false);
                STANDARD.encode(content)
            }
        };
        if sent.len() > FILE {
            let found = format_args!("{} bytes", content.len()).to_string();
            let rule = "at most 61440 bytes of ASCII text or 46080 of anything else";
            return Err(Invalid::new("content of a file", found, rule).into());
        }
        form.set("content", sent);
        self.vm.client().done(self.post("file-write").with(form)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn text(command: &GuestCommand, version: Version) -> Result<String, Invalid> {
        Ok(command.form(version)?.encoded().expose_secret().to_owned())
    }

    #[test]
    fn a_command_is_a_list_from_release_8_on() -> Result<(), Invalid> {
        let command = GuestCommand::new(["systemctl", "is-active", "k3s"])?.input("a b")?;
        assert_eq!(
            text(&command, Version::V8_0)?,
            "command=systemctl&command=is-active&command=k3s&input-data=a%20b"
        );
        assert_eq!(
            text(&command, Version::new(7, 4))?,
            "command=systemctl%20is-active%20k3s&input-data=a%20b"
        );
        Ok(())
    }

    #[test]
    fn an_argument_that_an_old_release_would_cut_is_refused_there() -> Result<(), Invalid> {
        let command = GuestCommand::new(["sh", "-c", "echo a; echo b"])?;
        assert!(text(&command, Version::V8_0).is_ok());
        assert!(text(&command, Version::new(7, 4)).is_err());
        assert!(GuestCommand::new(Vec::<String>::new()).is_err());
        assert!(!format!("{command:?}").contains("echo"));
        Ok(())
    }
}
