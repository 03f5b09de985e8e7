//! What callers send, before it is checked.

use domain::Invalid;

/// What a caller sent, with what the front door already found wrong with its form. The caller
/// hears of both at once, and only after the policy table was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft<T> {
    /// What was sent; a field that could not be read has its default.
    pub value: T,
    /// The fields that could not be read.
    pub invalid: Invalid,
}

impl<T> From<T> for Draft<T> {
    fn from(value: T) -> Self {
        Self { value, invalid: Invalid::default() }
    }
}

impl<T> Draft<T> {
    /// Checks the content, and adds what it breaks to what is known.
    pub(crate) fn check<U>(
        self,
        check: impl FnOnce(T) -> Result<U, Invalid>,
    ) -> Result<U, Invalid> {
        let Self { value, mut invalid } = self;
        match check(value) {
            Ok(checked) => invalid.into_result().map(|()| checked),
            Err(found) => {
                add(&mut invalid, found);
                Err(invalid)
            }
        }
    }
}

/// Adds what is not known yet: a field that could not be read stands there with its default, whose
/// faults are nobody's.
pub(crate) fn add(known: &mut Invalid, found: Invalid) {
    for field in found.fields {
        let is_known = known.fields.iter().any(|known| {
            let rest = field.field.strip_prefix(&known.field);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if !is_known {
            known.fields.push(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_default_are_not_reported_beside_the_field_that_could_not_be_read() {
        let draft = Draft { value: (), invalid: Invalid::field("/inputs/0", 7, "an object") };
        let found = |()| {
            let mut found = Invalid::field("/inputs/0/name", "", "a name");
            found.add("/inputs/01", "", "something else");
            Err::<(), _>(found)
        };
        let fields = draft.check(found).expect_err("invalid").fields;
        let fields: Vec<_> = fields.into_iter().map(|field| field.field).collect();
        assert_eq!(fields, ["/inputs/0", "/inputs/01"]);
    }
}
