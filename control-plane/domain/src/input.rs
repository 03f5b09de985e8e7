use serde::Serialize;
use std::fmt;

/// One field of a request that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvalidField {
    /// JSON Pointer (RFC 6901) to the field, e.g. `/resources/memory`.
    pub field: String,
    /// What was sent, shortened to 100 characters.
    pub value: String,
    /// The rule in words, with the way out.
    pub rule: String,
}

/// Everything that is wrong with an input; never empty when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invalid {
    /// The broken rules, in the order of the fields.
    pub fields: Vec<InvalidField>,
}

impl Invalid {
    /// An error with one field.
    #[must_use]
    pub fn field(field: &str, value: impl fmt::Display, rule: impl Into<String>) -> Self {
        let mut invalid = Self::default();
        invalid.add(field, value, rule);
        invalid
    }

    /// Adds a broken rule.
    pub fn add(&mut self, field: &str, value: impl fmt::Display, rule: impl Into<String>) {
        let value = value.to_string();
        let value = match value.char_indices().nth(100) {
            Some((end, _)) => format!("{}…", &value[..end]),
            None => value,
        };
        self.fields.push(InvalidField { field: field.to_owned(), value, rule: rule.into() });
    }

    /// `Ok` if nothing was added.
    ///
    /// # Errors
    /// Itself, if a rule was broken.
    pub fn into_result(self) -> Result<(), Self> {
        if self.fields.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.fields.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{} = {:?}: {}", field.field, field.value, field.rule)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}
