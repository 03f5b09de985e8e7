//! `env`: variables for a shell, so that `warren` speaks with the lab's Warren.

use std::io::Write;

use anyhow::{Context as _, Result};

use crate::lab::Lab;
use crate::layout::Layout;
use crate::warren;

pub(crate) fn print(layout: &Layout) -> Result<()> {
    let lab = Lab::read(layout)?;
    let mut out = std::io::stdout().lock();
    for (name, value) in variables(layout, &lab)? {
        writeln!(out, "export {name}={}", quoted(&value))?;
    }
    let folder = text(warren::programs(layout))?;
    writeln!(out, "export PATH={}:\"$PATH\"", quoted(&folder))?;
    Ok(())
}

/// What the command line reads, and the images that the README speaks of.
pub(crate) fn variables(layout: &Layout, lab: &Lab) -> Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("WARREN_URL", lab.api_url.replace("http://", "https://")),
        ("WARREN_CA_FILE", text(lab.ca_file.clone())?),
        ("WARREN_TOKEN_FILE", text(lab.token_file.clone())?),
        ("WARREN_LINK_FILE", text(lab.link_file.clone())?),
        ("WARREN_KUBECTL", text(lab.kubectl.clone())?),
        ("WARREN_IMAGE_BUSYBOX", lab.image("busybox")?.into()),
        ("WARREN_IMAGE_AGENT", lab.image("agent")?.into()),
        ("WARREN_LAB", text(layout.lab_json())?),
    ])
}

fn text(path: std::path::PathBuf) -> Result<String> {
    path.into_os_string().into_string().ok().context("paths of the state are text")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_every_word() {
        for word in ["", "plain", "two words", "it's", "$HOME `id` \\"] {
            let script = format!("printf %s {}", quoted(word));
            let mut shell = std::process::Command::new("sh");
            let output = shell.args(["-c", &script]).output().expect("there is a shell");
            assert_eq!(String::from_utf8_lossy(&output.stdout), word);
        }
    }
}
