//! Uploads that go on after a broken connection.

use super::{ANSWER_TIMEOUT, Client, Failure, Method, refused};
use std::time::Duration;

const OFFSET: &str = "Upload-Offset";
const LENGTH: &str = "Upload-Length";
const COMPLETE: &str = "Upload-Complete";

impl Client {
    /// How much of an upload is there; nothing if all of it is.
    pub(in crate::cli) async fn upload_offset(
        &self,
        path: &[&str],
    ) -> Result<Option<u64>, Failure> {
        let request = self.request(Method::HEAD, path).timeout(ANSWER_TIMEOUT);
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if header(COMPLETE) == Some("?1") {
            return Ok(None);
        }
        let offset = header(OFFSET).and_then(|offset| offset.parse().ok());
        let missing = || Failure::unexpected(format!("no number in the header {OFFSET}"));
        offset.map(Some).ok_or_else(missing)
    }

    /// Sends the rest of an upload of `bytes` bytes in all, within `limit`. Not repeated here: the caller
    /// has to ask how far it is.
    pub(in crate::cli) async fn send_rest(
        &self,
        path: &[&str],
        offset: u64,
        bytes: u64,
        body: reqwest::Body,
        limit: Duration,
    ) -> Result<(), Failure> {
        let request = self
            .request(Method::PATCH, path)
            .timeout(limit)
            .header("Content-Type", "application/partial-upload")
            .header("Content-Length", bytes - offset)
            .header(OFFSET, offset)
            .header(LENGTH, bytes)
            .header(COMPLETE, "?1")
            .body(body);
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(refused(response).await),
            Err(error) => Err(self.unreachable(&error)),
        }
    }
}
