//! Files on their way to Warren, whole or in pieces.

use super::{CallError, Endpoint, RUN, escape, settle};
use std::io::{self, Read};
use ureq::{RequestBuilder, SendBody, typestate::WithBody};

// How far an upload is: draft-ietf-httpbis-resumable-upload-12, section 4.1.
const UPLOAD_OFFSET: &str = "Upload-Offset";
const UPLOAD_LENGTH: &str = "Upload-Length";
const UPLOAD_COMPLETE: &str = "Upload-Complete";

/// A file that the agent left.
#[derive(Debug)]
pub(crate) struct Artifact<'a> {
    /// Below the output folder.
    pub(crate) path: &'a str,
    pub(crate) size: u64,
    /// Hexadecimal digits.
    pub(crate) sha256: &'a str,
}

impl Endpoint {
    /// Sends a file in one piece.
    pub(crate) fn artifact(
        &self,
        artifact: &Artifact<'_>,
        bytes: impl Read,
    ) -> Result<(), CallError> {
        let request = self.agent.put(self.artifact_url(artifact));
        self.send(request, artifact, bytes, artifact.size)
    }

    /// How much of a file is there; nothing if all of it is.
    pub(crate) fn artifact_offset(
        &self,
        artifact: &Artifact<'_>,
    ) -> Result<Option<u64>, CallError> {
        let request = self.agent.head(self.artifact_url(artifact));
        let request = request.header("Authorization", &self.authorization).header(RUN, &self.run);
        let answer = settle(request.header("X-Content-Sha256", artifact.sha256).call())?;
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if header(UPLOAD_COMPLETE) == Some("?1") {
            return Ok(None);
        }
        let offset = header(UPLOAD_OFFSET).and_then(|offset| offset.parse().ok());
        offset.map(Some).ok_or_else(|| CallError::Away("it does not say how far it is".to_owned()))
    }

    /// Sends a file from `offset` to its end, when Warren has what comes before.
    pub(crate) fn artifact_rest(
        &self,
        artifact: &Artifact<'_>,
        bytes: impl Read,
        offset: u64,
    ) -> Result<(), CallError> {
        let request = self.agent.patch(self.artifact_url(artifact));
        let request = request.header(UPLOAD_OFFSET, offset).header(UPLOAD_LENGTH, artifact.size);
        let request = request.header(UPLOAD_COMPLETE, "?1");
        let request = request.content_type("application/partial-upload");
        self.send(request, artifact, bytes, artifact.size - offset)
    }

    fn artifact_url(&self, artifact: &Artifact<'_>) -> String {
        format!("{}/artifacts/{}", self.base, escape(artifact.path))
    }

    fn send(
        &self,
        request: RequestBuilder<WithBody>,
        artifact: &Artifact<'_>,
        bytes: impl Read,
        size: u64,
    ) -> Result<(), CallError> {
        let mut bytes = Exactly { bytes, missing: size, error: None };
        let request = request.header("Authorization", &self.authorization);
        let request = request.header(RUN, &self.run);
        // Warren may refuse by the headers: then nothing is sent.
        let request = request.header("Expect", "100-continue").header("Content-Length", size);
        let request = request.header("X-Content-Sha256", artifact.sha256).config();
        let request = request
            .timeout_recv_response(Some(Self::SAFEKEEPING))
            .timeout_per_read(Some(Self::SAFEKEEPING))
            .build();
        let outcome = request.send(SendBody::from_reader(&mut bytes));
        match bytes.error {
            Some(error) => Err(CallError::File(error)),
            None => settle(outcome).map(drop),
        }
    }
}

/// A reader that fails when it ends too early, and ends where it was said to end.
struct Exactly<R> {
    bytes: R,
    missing: u64,
    /// Why it failed: the sender of the bytes tells it from a failure of the network by this.
    error: Option<io::Error>,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.missing).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = match self.bytes.read(&mut buffer[..most]) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter")),
            read => read,
        };
        let count = count.map_err(|error| {
            let again = io::Error::new(error.kind(), error.to_string());
            self.error = Some(error);
            again
        })?;
        self.missing -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_became_shorter_is_not_sent_as_a_whole_one() {
        let mut bytes = Vec::new();
        let mut short = Exactly { bytes: &b"abc"[..], missing: 5, error: None };
        assert!(short.read_to_end(&mut bytes).is_err());
        let mut long = Exactly { bytes: &b"abcdef"[..], missing: 5, error: None };
        bytes.clear();
        long.read_to_end(&mut bytes).expect("five bytes are there");
        assert_eq!(bytes, b"abcde");
    }
}
