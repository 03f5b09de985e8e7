//! How files are handed to browsers: saved under their own name, and not run.

use std::fmt::Write as _;

/// The value of `Content-Disposition` for the file at `path`, as RFC 6266 and RFC 8187 say: a plain name for old
/// programs, the true one beside.
#[must_use]
pub fn disposition(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut text = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        text += "; filename*=UTF-8''";
        for byte in name.bytes() {
            if is_plain(char::from(byte)) {
                text.push(char::from(byte));
            } else {
                write!(text, "%{byte:02X}").expect("a text can grow");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn a_file_name_cannot_break_out_of_its_header() {
        assert_eq!(disposition("a/report.html"), "attachment; filename=\"report.html\"");
        let odd = "attachment; filename=\"____\"; filename*=UTF-8''%C3%A9%22%0D%0A";
        assert_eq!(disposition("x/é\"\r\n"), odd);
    }
}
