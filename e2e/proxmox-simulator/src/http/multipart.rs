//! The one kind of body that is no form and no JSON: an upload.

use std::collections::BTreeMap;

/// The fields and the file of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) file_name: String,
    pub(crate) content: Vec<u8>,
}

/// The boundary that a content type names.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    let value = rest.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    (kind.trim() == "multipart/form-data").then(|| value.trim_matches('"').to_owned())
}

/// Takes a body apart.
pub(crate) fn parse(body: &[u8], boundary: &str) -> Option<Upload> {
    let mark = format!("--{boundary}");
    let mut upload = Upload::default();
    let mut rest = after(body, mark.as_bytes())?;
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = find(part, format!("\r\n{mark}").as_bytes())?;
        let split = find(&part[..end], b"\r\n\r\n")?;
        let headers = String::from_utf8_lossy(&part[..split]).into_owned();
        let content = &part[split + 4..end];
        let name = attribute(&headers, "name")?;
        if let Some(file) = attribute(&headers, "filename") {
            upload.file_name = file;
            upload.content = content.to_vec();
        } else {
            upload.fields.insert(name, String::from_utf8_lossy(content).into_owned());
        }
        rest = &part[end + 2 + mark.len()..];
    }
    Some(upload)
}

fn attribute(headers: &str, name: &str) -> Option<String> {
    let line = headers
        .split("\r\n")
        .find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let parts = line.split(';').map(str::trim);
    let value = parts.filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name)?.1;
    Some(value.trim_matches('"').to_owned())
}

fn after<'a>(body: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    find(body, mark).map(|at| &body[at + mark.len()..])
}

fn find(body: &[u8], mark: &[u8]) -> Option<usize> {
    body.windows(mark.len()).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_the_file_are_found() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--x\r\n\
            Content-Disposition: form-data; name=\"filename\"; filename=\"a.iso\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\x01\r\n\x02\r\n--x--\r\n";
        let upload = parse(body, "x").expect("is whole");
        assert_eq!(upload.fields, [("content".into(), "iso".into())].into());
        assert_eq!(upload.file_name, "a.iso");
        assert_eq!(upload.content, b"\x01\r\n\x02");
        assert_eq!(boundary("multipart/form-data; boundary=x"), Some("x".into()));
        assert_eq!(parse(&body[..60], "x"), None);
    }
}
