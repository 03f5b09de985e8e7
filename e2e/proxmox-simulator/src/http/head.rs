//! The head of a request.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Header lines that the daemon takes at most.
const LINES: usize = 64;
/// Bytes of headers that the daemon takes at most.
const BYTES: usize = 8 * 1024;

/// A request line with its headers.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Without the query, still percent-encoded.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) is_1_0: bool,
    headers: Vec<(String, String)>,
}

/// Why there is no head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoHead {
    /// The client hung up, or sent nothing that can be answered.
    Gone,
    Refused(u16, String),
}

impl Head {
    /// Reads a head; what was read beyond it stays in `buffer`.
    pub(crate) async fn read(
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut Vec<u8>,
    ) -> Result<Self, NoHead> {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if buffer.len() > BYTES {
                return Err(NoHead::Refused(501, "http header too large".into()));
            }
            match stream.read_buf(buffer).await {
                Ok(0) | Err(_) => return Err(NoHead::Gone),
                Ok(_) => {}
            }
        };
        if end > BYTES {
            return Err(NoHead::Refused(501, "http header too large".into()));
        }
        let text = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end + 4);
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, NoHead> {
        let mut lines = text.split("\r\n");
        let request: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, version] = request[..] else { return Err(NoHead::Gone) };
        let is_1_0 = match version {
            "HTTP/1.0" => true,
            "HTTP/1.1" => false,
            other => {
                let number = other.trim_start_matches("HTTP/");
                let text = format!("http protocol version {number} not supported");
                return Err(NoHead::Refused(506, text));
            }
        };
        let mut headers = Vec::new();
        for line in lines {
            if headers.len() == LINES {
                return Err(NoHead::Refused(501, "too many http header lines".into()));
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Self { method: method.into(), path: path.into(), query: query.into(), is_1_0, headers })
    }

    /// A header by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.header("cookie")?.split(';').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.trim(), value.trim()))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn content_length(&self) -> usize {
        self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|text| text.to_lowercase().contains("chunked"))
    }

    pub(crate) fn wants_close(&self) -> bool {
        match self.header("connection").map(str::to_lowercase) {
            Some(wish) if wish.contains("close") => true,
            Some(wish) if wish.contains("keep-alive") => false,
            _ => self.is_1_0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Result<Head, NoHead> {
        Head::read(&mut text.as_bytes(), &mut Vec::new()).await
    }

    #[tokio::test]
    async fn a_request_is_taken_apart() {
        let text = "GET /a?b=c HTTP/1.1\r\nCookie: x=1; PVEAuthCookie=t\r\nHost: h\r\n\r\n";
        let head = read(text).await.expect("a head");
        assert_eq!(
            (head.method.as_str(), head.path.as_str(), head.query.as_str()),
            ("GET", "/a", "b=c")
        );
        assert_eq!(head.cookie("PVEAuthCookie"), Some("t"));
        assert_eq!(head.header("host"), Some("h"));
    }

    #[tokio::test]
    async fn another_version_of_the_protocol_is_506() {
        let refused = read("GET / HTTP/2.0\r\n\r\n").await.expect_err("is refused");
        let text = "http protocol version 2.0 not supported".into();
        assert_eq!(refused, NoHead::Refused(506, text));
    }

    #[tokio::test]
    async fn too_many_and_too_large_headers_are_501() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
        let large = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(9000));
        for (text, reason) in
            [(many, "too many http header lines"), (large, "http header too large")]
        {
            let refused = read(&text).await.expect_err("is refused");
            assert_eq!(refused, NoHead::Refused(501, reason.into()));
        }
    }
}
