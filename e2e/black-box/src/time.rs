use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;

/// A time of an answer. As text two of them do not compare: `…25.96Z` is before `…25.963Z`, and sorts after it.
///
/// # Errors
/// If it is none (RFC 3339).
pub fn time(value: &Value) -> Result<Timestamp> {
    let text = value.as_str().with_context(|| format!("{value} is no time"))?;
    text.parse().with_context(|| format!("{text:?} is no time"))
}

#[cfg(test)]
mod tests {
    use super::time;
    use anyhow::{Result, ensure};
    use serde_json::{Value, json};

    #[test]
    fn two_times_compare_whatever_their_digits_are() -> Result<()> {
        let earlier = time(&json!("2026-11-24T03:49:25.96Z"))?;
        ensure!(earlier < time(&json!("2026-11-24T03:49:25.963Z"))?, "3 ms later");
        ensure!(time(&Value::Null).is_err(), "what is not there is no time");
        Ok(())
    }
}
