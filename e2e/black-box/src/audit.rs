use crate::Lab;
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

/// What the host's API server was asked, from a certain moment on.
#[derive(Debug)]
pub struct Audit {
    log: File,
    /// What was read of a line whose end was not written yet.
    begun: String,
}

impl Lab {
    /// Everything that is asked of the host's API server from now on.
    ///
    /// # Errors
    /// If there is no audit log.
    pub fn audit(&self) -> Result<Audit> {
        let path = self.state.join("log/audit.log");
        let mut log = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        log.seek(SeekFrom::End(0))?;
        Ok(Audit { log, begun: String::new() })
    }
}

impl Audit {
    /// What Warren asked since the last look.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn of_warren(&mut self) -> Result<Vec<Value>> {
        let mut text = std::mem::take(&mut self.begun);
        self.log.read_to_string(&mut text)?;
        self.begun = text.split_off(text.rfind('\n').map_or(0, |end| end + 1));
        text.lines()
            .filter(|line| line.contains("\"username\":\"warren\""))
            .map(|line| serde_json::from_str(line).with_context(|| format!("read {line:?}")))
            .collect()
    }
}
