//! `warren audit verify`: computes every seal anew, without a server.

use clap::Args;
use domain::Seal;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::PathBuf,
};

use super::super::{
    Context,
    problem::{Exit, Failure},
};

/// No line of the log is longer: names and identifiers have limits.
const LONGEST: u64 = 64 << 10;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren audit verify audit.jsonl
  warren audit verify audit.jsonl --last 4711:5f2c…
  warren audit export -t acme | warren audit verify - --part

What it cannot see: a log that somebody with the database in hand sealed anew from one entry to its end. Whoever wants
to see that too keeps the last line of an earlier check elsewhere, and gives it with --last.")]
pub(crate) struct Verify {
    /// What `warren audit export` wrote; - for stdin
    file: PathBuf,
    /// The file holds some entries only, e.g. those of one tenant: numbers may be missing
    #[arg(long)]
    part: bool,
    /// An entry as an earlier check named it: it has to be in the file, with this seal
    #[arg(long, value_name = "NUMBER:SEAL", value_parser = known)]
    last: Option<(i64, Seal)>,
}

/// An entry with two seals, or the head alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    entry: Option<&'a RawValue>,
    previous: Option<&'a str>,
    seal: Option<&'a str>,
    head: Option<Head<'a>>,
}

#[derive(Debug, Deserialize)]
struct Head<'a> {
    sequence: i64,
    seal: &'a str,
}

#[derive(Debug, Deserialize)]
struct Numbered {
    sequence: i64,
}

/// What a whole log came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Checked {
    entries: u64,
    /// Number and seal of the last one.
    last: Option<(i64, Seal)>,
}

/// Why a log is not as it was written.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("entry {0} was altered: its seal is not that of its text")]
    Altered(i64),
    #[error("entry {0} does not follow entry {1}: one of them was altered and sealed anew")]
    Unlinked(i64, i64),
    #[error("entries {0} to {1} are missing")]
    Missing(i64, i64),
    #[error("entry {0} comes after entry {1}")]
    Order(i64, i64),
    #[error("the log goes on to entry {0}, and the file ends before it")]
    CutOff(i64),
    #[error(
        "the last entry is not the one that the log ends with: entry {0} was altered and sealed anew"
    )]
    OtherEnd(i64),
    #[error(
        "entry {0} has another seal than it had: the log was sealed anew from there or from before it"
    )]
    Resealed(i64),
    #[error("entry {0}, which was there, is missing")]
    Gone(i64),
    #[error("there is something after the line that ends the log")]
    AfterEnd,
    #[error(
        "the file does not end with the line that ends a log; is it a part of one? then say --part"
    )]
    NoEnd,
    #[error("line {0} is no line of an audit log")]
    Strange(u64),
    #[error("read the file")]
    Read(#[from] io::Error),
}

fn known(text: &str) -> Result<(i64, Seal), String> {
    let (number, seal) = text.split_once(':').ok_or("expected NUMBER:SEAL")?;
    let number = number.parse().map_err(|_| "NUMBER is not a number")?;
    Ok((number, seal.parse().map_err(|error| format!("SEAL: {error}"))?))
}

impl Verify {
    pub(super) fn run(&self, cx: &Context) -> Result<(), Failure> {
        let name = self.file.display().to_string();
        let checked = if name == "-" {
            self.check(io::stdin().lock())
        } else {
            let file = File::open(&self.file)
                .map_err(|error| Failure::local(format!("{name} cannot be read"), &error))?;
            self.check(BufReader::new(file))
        };
        let Checked { entries, last } = checked.map_err(|fault| {
            if let Fault::Read(error) = &fault {
                return Failure::local(format!("{name} cannot be read"), error);
            }
            Failure::new(Exit::Failure, "The audit log is not as it was written")
                .detail(fault.to_string())
                .hint("compare with an earlier export or a backup of the record")
        })?;
        let (sequence, seal) = last.unwrap_or((0, Seal::BEFORE_ALL));
        let body = json!({ "entries": entries, "last": format!("{sequence}:{seal}") });
        let what =
            if self.part { "entries, each as it was sealed" } else { "entries in one chain" };
        cx.printer.item("audit", &sequence.to_string(), &body, || {
            format!("{entries} {what}\nLast: {sequence}:{seal}\n")
        })
    }

    fn check(&self, mut file: impl BufRead) -> Result<Checked, Fault> {
        let mut chain = Chain { part: self.part, last: self.last, ..Chain::default() };
        let (mut text, mut number) = (String::new(), 0);
        loop {
            text.clear();
            number += 1;
            match file.by_ref().take(LONGEST).read_line(&mut text) {
                Ok(0) => return chain.end(),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(Fault::Strange(number));
                }
                Err(error) => return Err(error.into()),
            }
            let line = serde_json::from_str(&text).map_err(|_| Fault::Strange(number))?;
            chain.add(&line).ok_or(Fault::Strange(number))??;
        }
    }
}

/// As much of a log as was looked at.
#[derive(Debug, Default)]
struct Chain {
    part: bool,
    /// What has to be found.
    last: Option<(i64, Seal)>,
    entries: u64,
    before: Option<(i64, Seal)>,
    is_ended: bool,
}

impl Chain {
    /// Nothing if it is no line.
    fn add(&mut self, line: &Line<'_>) -> Option<Result<(), Fault>> {
        if self.is_ended {
            return Some(Err(Fault::AfterEnd));
        }
        if let Some(head) = &line.head {
            self.is_ended = true;
            return Some(self.head(head.sequence, head.seal.parse().ok()?));
        }
        let text = line.entry?.get();
        let Numbered { sequence } = serde_json::from_str(text).ok()?;
        let (previous, seal) = (line.previous?.parse().ok()?, line.seal?.parse().ok()?);
        Some(self.entry(sequence, text, previous, seal))
    }

    fn entry(
        &mut self,
        sequence: i64,
        text: &str,
        previous: Seal,
        seal: Seal,
    ) -> Result<(), Fault> {
        let (last, before) = self.before.unwrap_or((0, Seal::BEFORE_ALL));
        if sequence <= last {
            return Err(Fault::Order(sequence, last));
        }
        if sequence > last + 1 && !self.part {
            return Err(Fault::Missing(last + 1, sequence - 1));
        }
        if previous.then(text) != seal {
            return Err(Fault::Altered(sequence));
        }
        if sequence == last + 1 && previous != before {
            return Err(Fault::Unlinked(sequence, last));
        }
        if let Some((number, known)) = self.last
            && number == sequence
        {
            if known != seal {
                return Err(Fault::Resealed(sequence));
            }
            self.last = None;
        }
        self.before = Some((sequence, seal));
        self.entries += 1;
        Ok(())
    }

    fn head(&self, sequence: i64, seal: Seal) -> Result<(), Fault> {
        let (last, before) = self.before.unwrap_or((0, Seal::BEFORE_ALL));
        match sequence {
            _ if sequence > last => Err(Fault::CutOff(sequence)),
            _ if sequence < last => Err(Fault::Order(last, sequence)),
            _ if seal != before => Err(Fault::OtherEnd(last)),
            _ => Ok(()),
        }
    }

    fn end(self) -> Result<Checked, Fault> {
        if let Some((number, _)) = self.last {
            return Err(Fault::Gone(number));
        }
        if !self.is_ended && !self.part {
            return Err(Fault::NoEnd);
        }
        Ok(Checked { entries: self.entries, last: self.before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a log of three entries.
    fn log() -> Vec<String> {
        let mut lines = Vec::new();
        let mut previous = Seal::BEFORE_ALL;
        for sequence in 1..=3 {
            let entry = format!(r#"{{"sequence":{sequence},"action":"tenant.create"}}"#);
            let seal = previous.then(&entry);
            let line = format!(r#"{{"entry":{entry},"previous":"{previous}","seal":"{seal}"}}"#);
            lines.push(line + "\n");
            previous = seal;
        }
        lines.push(format!(r#"{{"head":{{"sequence":3,"seal":"{previous}"}}}}"#) + "\n");
        lines
    }

    fn check(lines: &[String], part: bool, last: Option<(i64, Seal)>) -> Result<Checked, String> {
        let verify = Verify { file: PathBuf::new(), part, last };
        verify.check(lines.concat().as_bytes()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_log_as_it_was_written_is_whole() {
        let checked = check(&log(), false, None).expect("whole");
        assert_eq!(checked.entries, 3);
        assert_eq!(check(&log(), false, checked.last), Ok(checked), "it is known again");
        assert_eq!(check(&log()[..3], true, None), Ok(checked));
        assert_eq!(check(&log()[1..2], true, None).expect("a part").entries, 1);
    }

    #[test]
    fn what_was_done_to_a_log_is_named() {
        let told = |lines: &[String], words: &str| {
            let fault = check(lines, false, None).expect_err(words);
            assert!(fault.contains(words), "{fault}");
        };
        let mut altered = log();
        altered[1] = altered[1].replace("create", "delete");
        told(&altered, "entry 2 was altered");
        let mut without = log();
        without.remove(1);
        told(&without, "entries 2 to 2 are missing");
        without.remove(0);
        told(&without, "entries 1 to 2 are missing");
        let mut cut = log();
        cut.remove(2);
        told(&cut, "goes on to entry 3");
        told(&log()[..3], "--part");
        let mut twice = log();
        twice.insert(1, twice[0].clone());
        told(&twice, "entry 1 comes after entry 1");
        twice[1] = "{}\n".to_owned();
        told(&twice, "line 2 is no line");

        // Sealed anew by somebody who knows how: the entry after it, or the end, or what was kept tells.
        let entry = r#"{"sequence":3,"action":"tenant.delete"}"#;
        let second = check(&log()[..2], true, None).expect("a part").last.expect("entries").1;
        let seal = second.then(entry);
        let mut forged = log();
        forged[2] = format!(r#"{{"entry":{entry},"previous":"{second}","seal":"{seal}"}}"#) + "\n";
        told(&forged, "sealed anew");
        let known = check(&log(), false, None).expect("whole").last;
        forged[3] = format!(r#"{{"head":{{"sequence":3,"seal":"{seal}"}}}}"#) + "\n";
        assert_eq!(check(&forged, false, None).expect("not seen").entries, 3);
        let fault = check(&forged, false, known).expect_err("seen");
        assert!(fault.contains("entry 3 has another seal than it had"), "{fault}");
        let fault = check(&log()[..2], true, known).expect_err("seen");
        assert!(fault.contains("entry 3, which was there, is missing"), "{fault}");
    }
}
