//! The identifier of a task: who began what, where and when.
//!
//! Source: pve-common, `PVE::Tools::upid_decode`.

use crate::{Invalid, NodeName};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

const RULE: &str = "UPID:node:pid:start:time:type:id:user:";

/// Names a task: `UPID:node:pid:start:time:type:id:user@realm!token:`.
///
/// It names the user and the token that began the task, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Upid {
    text: String,
    node: NodeName,
    pid: u32,
    process_start: u64,
    started: u32,
    kind: String,
    id: String,
    user: String,
}

impl Upid {
    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The node that runs the task, and that keeps its log.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The process on that node.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When it began, in seconds of Unix time by that node's clock.
    #[must_use]
    pub fn started(&self) -> u32 {
        self.started
    }

    /// What it does, e.g. `qmclone`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it does it to; for a VM its number, for a clone the number of the source. May be empty.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who began it: `user@realm` or `user@realm!token`.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl FromStr for Upid {
    type Err = Invalid;

    /// Reads from both ends: what is in the middle may hold a colon or nothing at all.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("task id", text, RULE);
        let body = text.strip_prefix("UPID:").ok_or_else(invalid)?;
        let body = body.strip_suffix(':').ok_or_else(invalid)?;
        let mut parts = body.splitn(6, ':');
        let mut part = || parts.next().ok_or_else(invalid);
        let (node, pid, process_start, started) = (part()?, part()?, part()?, part()?);
        let (kind, rest) = (part()?, part()?);
        let (id, user) = rest.rsplit_once(':').ok_or_else(invalid)?;
        let is_hex = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
            lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let are_numbers =
            is_hex(pid, 8..=8) && is_hex(process_start, 8..=9) && is_hex(started, 8..=8);
        let is_graphic = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        let are_words =
            !kind.is_empty() && user.contains('@') && is_graphic(kind) && is_graphic(user);
        if !are_numbers || !are_words || id.contains(char::is_whitespace) {
            return Err(invalid());
        }
        Ok(Self {
            text: text.to_owned(),
            node: NodeName::new(node)?,
            pid: u32::from_str_radix(pid, 16).map_err(|_| invalid())?,
            process_start: u64::from_str_radix(process_start, 16).map_err(|_| invalid())?,
            started: u32::from_str_radix(started, 16).map_err(|_| invalid())?,
            kind: kind.to_owned(),
            id: id.to_owned(),
            user: user.to_owned(),
        })
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Upid {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Upid> for String {
    fn from(upid: Upid) -> Self {
        upid.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_task_of_a_token_is_read_whole() {
        let text = "UPID:pve1:0000A1B2:1234ABCD9:6921B0C1:qmclone:9000:warren@pve!control:";
        let upid: Upid = text.parse().expect("a task id");
        assert_eq!(upid.node().as_str(), "pve1");
        assert_eq!((upid.pid(), upid.started()), (0xa1b2, 0x6921_b0c1));
        assert_eq!(
            (upid.kind(), upid.id(), upid.user()),
            ("qmclone", "9000", "warren@pve!control")
        );
        assert_eq!(upid.to_string(), text);
    }

    #[test]
    fn the_object_of_a_task_may_be_empty_or_hold_a_colon() {
        for id in ["", "local:iso", "a:b:c"] {
            let text = format!("UPID:pve1:0000A1B2:00ABCDEF:6921B0C1:download:{id}:root@pam:");
            assert_eq!(text.parse::<Upid>().expect(&text).id(), id);
        }
    }

    #[test]
    fn what_is_no_task_id_is_refused() {
        for text in [
            "",
            "UPID:",
            "UPID:pve1:A1B2:00ABCDEF:6921B0C1:qmstart:100:root@pam:",
            "UPID:pve1:0000A1B2:00ABCDEF:6921B0C1:qmstart:100:root@pam",
            "UPID:pve1.example:0000A1B2:00ABCDEF:6921B0C1:qmstart:100:root@pam:",
            "UPID:pve1:0000A1B2:00ABCDEF:6921B0C1::100:root@pam:",
            "UPID:pve1:0000A1B2:00ABCDEF:6921B0C1:qmstart:100:root:",
        ] {
            assert!(text.parse::<Upid>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*|UPID:[0-9A-F:a-z@!]{0,80}:") {
            let _ = text.parse::<Upid>();
        }

        #[test]
        fn a_task_id_survives_its_text(node in "[a-z][a-z0-9]{0,9}", pid in any::<u32>(), start in 0..1_u64 << 36,
            time in any::<u32>(), kind in "[a-z]{2,10}", id in "[a-z0-9:]{0,12}", user in "[a-z]{1,5}@[a-z]{3}(![a-z]{2,5})?") {
            let text = format!("UPID:{node}:{pid:08X}:{start:08X}:{time:08X}:{kind}:{id}:{user}:");
            let upid: Upid = text.parse().expect("a task id");
            prop_assert_eq!(upid.as_str(), &text);
            prop_assert_eq!((upid.pid(), upid.started()), (pid, time));
            prop_assert_eq!((upid.node().as_str(), upid.kind(), upid.id(), upid.user()),
                (node.as_str(), kind.as_str(), id.as_str(), user.as_str()));
        }
    }
}
