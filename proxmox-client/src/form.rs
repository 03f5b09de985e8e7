//! Parameters of a request, as a query and as a form.
//!
//! The server cuts a form at `&` and at `;` and a value at a second `=`, and takes `+` for a space, so
//! everything but letters, digits, `-`, `.`, `_` and `~` is percent-encoded (RFC 3986, section 2.3).
//! A JSON body would be simpler, but nodes before 8 do not hand it on to one another.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use std::{borrow::Cow, fmt};

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What may stand in one segment of a path as it is.
const SEGMENT: &AsciiSet = &ENCODED.remove(b':').remove(b'@').remove(b'!');

/// Keys and values in the order in which they were given. Values are hidden from `Debug`.
#[derive(Clone, Default)]
pub(crate) struct Form(Vec<(Cow<'static, str>, SecretString)>);

impl Form {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a value; a key that is given again makes a list.
    pub(crate) fn add(&mut self, key: impl Into<Cow<'static, str>>, value: impl fmt::Display) {
        self.0.push((key.into(), SecretString::from(value.to_string())));
    }

    /// Sets a value in place of what the key had.
    pub(crate) fn set(&mut self, key: impl Into<Cow<'static, str>>, value: impl fmt::Display) {
        let key = key.into();
        self.0.retain(|(other, _)| *other != key);
        self.add(key, value);
    }

    /// Sets a flag as the server wants it: `true` is refused in a form.
    pub(crate) fn flag(&mut self, key: impl Into<Cow<'static, str>>, value: bool) {
        self.set(key, u8::from(value));
    }

    /// Takes a key away.
    pub(crate) fn remove(&mut self, key: &str) {
        self.0.retain(|(other, _)| *other != key);
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_ref())
    }

    /// `key=value&key=value`, every value percent-encoded.
    pub(crate) fn encoded(&self) -> SecretString {
        let pairs = self.0.iter().map(|(key, value)| {
            format!("{}={}", utf8_percent_encode(key, ENCODED), encode(value.expose_secret()))
        });
        SecretString::from(pairs.collect::<Vec<_>>().join("&"))
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

/// Percent-encodes a text; a space becomes `%20`.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Percent-encodes one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    /// Reads a form as the daemon does: cut at `&` and `;`, a value ends at a second `=`.
    fn as_the_daemon(body: &str) -> Vec<(String, String)> {
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8().expect("UTF-8").into_owned()
        };
        body.split(['&', ';'])
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let mut parts = pair.split('=');
                let key = parts.next().unwrap_or_default();
                (decode(key), decode(parts.next().unwrap_or_default()))
            })
            .collect()
    }

    #[test]
    fn flags_are_numbers_and_a_repeated_key_is_a_list() {
        let mut form = Form::new();
        form.flag("full", true);
        form.flag("full", false);
        form.add("command", "a");
        form.add("command", "b c");
        assert_eq!(form.encoded().expose_secret(), "full=0&command=a&command=b%20c");
    }

    #[test]
    fn values_are_hidden() {
        let mut form = Form::new();
        form.set("cipassword", "hunter2");
        assert_eq!(format!("{form:?}"), "[\"cipassword\"]");
    }

    #[test]
    fn a_segment_keeps_a_task_id_readable_and_hides_a_slash() {
        assert_eq!(segment("UPID:pve1:00:root@pam!t:"), "UPID:pve1:00:root@pam!t:");
        assert_eq!(segment("local:iso/a b?.iso"), "local:iso%2Fa%20b%3F.iso");
    }

    proptest! {
        #[test]
        fn the_daemon_reads_every_value_as_it_was_meant(pairs in proptest::collection::vec(("[a-z][a-z0-9-]{0,9}", "\\PC{0,30}|[a-z=;&+,% ]{0,30}"), 1..6)) {
            let mut form = Form::new();
            for (key, value) in &pairs {
                form.add(key.clone(), value);
            }
            prop_assert_eq!(as_the_daemon(form.encoded().expose_secret()), pairs);
        }
    }
}
