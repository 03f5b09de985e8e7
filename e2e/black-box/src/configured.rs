use crate::Lab;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// A server with another configuration; it has its own again when this is dropped.
#[derive(Debug)]
pub struct Configured {
    lab: Lab,
    path: PathBuf,
    before: String,
}

impl Lab {
    /// Starts Warren again with other values in its configuration. Whoever does this has the lab alone.
    ///
    /// # Errors
    /// If the configuration has no such key, or Warren does not start with it.
    pub fn configure(&self, values: &[(&str, &str)]) -> Result<Configured> {
        let path = self.state.join("warren/warren.toml");
        let before =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mut lines: Vec<String> = before.lines().map(str::to_owned).collect();
        for (key, value) in values {
            let line = lines.iter_mut().find(|line| line.starts_with(&format!("{key} = ")));
            *line.with_context(|| format!("the configuration has a key {key}"))? =
                format!("{key} = {value}");
        }
        let configured = Configured { lab: self.clone(), path, before };
        std::fs::write(&configured.path, lines.join("\n") + "\n")?;
        self.restart("warren", "TERM")?;
        Ok(configured)
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // Best effort: if it fails, the tests after this one say so.
        let _ = std::fs::write(&self.path, &self.before);
        let _ = self.lab.restart("warren", "TERM");
    }
}
