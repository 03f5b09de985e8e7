//! Forms and queries, with the daemon's own reading of them: `;` separates like `&`, and a value ends at a second
//! raw `=`.

use serde_json::{Map, Value};

/// The parameters of a form. A key that comes again makes a list.
pub(crate) fn parse(text: &str) -> Map<String, Value> {
    let mut found = Map::new();
    for part in text.split(['&', ';']).filter(|part| !part.is_empty()) {
        let mut pieces = part.split('=');
        let key = decode(pieces.next().unwrap_or_default());
        let value = Value::String(decode(pieces.next().unwrap_or_default()));
        match found.get_mut(&key) {
            None => {
                found.insert(key, value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    found
}

fn decode(text: &str) -> String {
    percent_decode(&text.replace('+', " "))
}

/// Undoes percent-encoding; what is no code stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = text.get(at + 1..at + 3).filter(|_| byte == b'%');
        if let Some(plain) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            decoded.push(plain);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str) -> Value {
        Value::Object(parse(text))
    }

    #[test]
    fn a_raw_semicolon_ends_a_parameter() {
        assert_eq!(parsed("tags=a;b"), json!({"tags": "a", "b": ""}));
        assert_eq!(parsed("tags=a%3Bb"), json!({"tags": "a;b"}));
    }

    #[test]
    fn a_second_raw_equals_sign_cuts_the_value() {
        assert_eq!(parsed("ipconfig0=ip=10.0.0.1/24"), json!({"ipconfig0": "ip"}));
        assert_eq!(parsed("ipconfig0=ip%3Ddhcp"), json!({"ipconfig0": "ip=dhcp"}));
    }

    #[test]
    fn a_plus_is_a_space_and_a_repeated_key_a_list() {
        assert_eq!(parsed("size=+10G&a=1&a=2"), json!({"size": " 10G", "a": ["1", "2"]}));
        assert_eq!(parsed("size=%2B10G"), json!({"size": "+10G"}));
    }

    #[test]
    fn broken_codes_stay_as_they_are() {
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz%41"), "%zzA");
    }
}
