//! What is sent: one call with everything that its repetition and its loss are judged by.

use crate::{
    Call, Invalid, Method, NodeName, Sent, VmId,
    form::{self, Form},
};
use bytes::Bytes;
use tokio::time::Instant;

/// One call.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) call: Call,
    pub(crate) form: Form,
    pub(crate) file: Option<File>,
    /// The node that works on it; its few workers are what limits how many calls are under way.
    pub(crate) node: Option<NodeName>,
    /// For a write whose answer is lost: what it is about.
    vm: Option<VmId>,
    /// And the type of the task that it begins.
    task: Option<&'static str>,
    /// Whether a worker of the node is blocked by it, rather than the front that answers many at once.
    pub(crate) is_protected: bool,
}

/// A file to upload, as the body of a multipart form (RFC 7578).
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn get(path: String) -> Self {
        Self::new(Method::Get, path)
    }

    pub(crate) fn post(path: String) -> Self {
        Self::new(Method::Post, path)
    }

    pub(crate) fn put(path: String) -> Self {
        Self::new(Method::Put, path)
    }

    pub(crate) fn delete(path: String) -> Self {
        Self::new(Method::Delete, path)
    }

    fn new(method: Method, path: String) -> Self {
        Self {
            call: Call { method, path },
            form: Form::new(),
            file: None,
            node: None,
            vm: None,
            task: None,
            is_protected: method != Method::Get,
        }
    }

    /// Works on this node.
    pub(crate) fn on(mut self, node: &NodeName) -> Self {
        self.node = Some(node.clone());
        self
    }

    /// Blocks a worker although it only reads.
    pub(crate) fn protected(mut self) -> Self {
        self.is_protected = true;
        self
    }

    /// Is about this VM.
    pub(crate) fn about(mut self, vm: VmId) -> Self {
        self.vm = Some(vm);
        self
    }

    /// Begins a task of this type.
    pub(crate) fn begins(mut self, task: &'static str) -> Self {
        self.task = Some(task);
        self
    }

    /// With these parameters.
    pub(crate) fn with(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    pub(crate) fn is_read(&self) -> bool {
        self.call.method == Method::Get
    }

    /// What is known about it when its answer is lost.
    pub(crate) fn sent(&self, host: &str, at: Instant) -> Sent {
        Sent {
            call: self.call.clone(),
            host: host.to_owned(),
            node: self.node.clone(),
            vm: self.vm,
            task: self.task,
            at,
        }
    }
}

/// Joins the segments of a path, each percent-encoded.
pub(crate) fn path(segments: &[&str]) -> String {
    segments.iter().fold(String::new(), |path, segment| path + "/" + &form::segment(segment))
}

impl File {
    /// Fields, then one file. The boundary comes from the caller and must not be in the file.
    pub(crate) fn new(
        boundary: &str,
        fields: &[(&str, &str)],
        name: &crate::FileName,
        content: &[u8],
    ) -> Result<Self, Invalid> {
        let mark = format!("--{boundary}");
        if boundary.is_empty()
            || content.windows(mark.len()).any(|window| window == mark.as_bytes())
        {
            return Err(Invalid::new("file", name, "content without its own fingerprint"));
        }
        let mut body = Vec::with_capacity(content.len() + 1024);
        for (key, value) in fields {
            let part = format!(
                "{mark}\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n"
            );
            body.extend_from_slice(part.as_bytes());
        }
        let head = format!(
            "{mark}\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(format!("\r\n{mark}--\r\n").as_bytes());
        let content_type = format!("multipart/form-data; boundary={boundary}");
        Ok(Self { content_type, body: Bytes::from(body) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileName;

    #[test]
    fn a_path_cannot_be_left_by_a_segment() {
        assert_eq!(
            path(&["nodes", "pve1", "qemu", "../../access"]),
            "/nodes/pve1/qemu/..%2F..%2Faccess"
        );
    }

    #[test]
    fn a_file_comes_last_and_says_its_name() {
        let name = FileName::new("seed.iso").expect("a name");
        let file = File::new("mark", &[("content", "iso")], &name, b"data").expect("a file");
        assert_eq!(
            String::from_utf8_lossy(&file.body),
            "--mark\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n\
             --mark\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"seed.iso\"\r\n\
             Content-Type: application/octet-stream\r\n\r\ndata\r\n--mark--\r\n"
        );
        assert!(File::new("mark", &[], &name, b"a --mark b").is_err());
    }
}
