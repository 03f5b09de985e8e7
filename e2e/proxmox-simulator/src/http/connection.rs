//! A connection: requests one after the other, until something ends it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use super::answer::{Answer, Format, Reply};
use super::head::{Head, NoHead};
use super::{form, multipart};
use crate::access::{Actor, login};
use crate::api::{self, Request, Rights, Takes};
use crate::cluster::Cluster;
use crate::config::ms;
use crate::failure::Failure;
use crate::fault::Effect;

/// Requests on one connection.
const REQUESTS: usize = 100;
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(5);
/// How long a client may take to send a body.
const BODY: Duration = Duration::from_mins(1);
/// Bytes that a body may have.
const LIMIT: usize = 512 * 1024;
/// Bytes that an upload may have here.
const UPLOAD_LIMIT: usize = 256 * 1024 * 1024;

/// What is to be done with a request.
enum Outcome {
    Answer(Answer),
    /// The connection ends without a word.
    Silence,
}

/// Serves a connection that a node accepted.
pub(crate) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    cluster: Arc<Cluster>,
    host: String,
) {
    let mut buffer = Vec::new();
    for number in 1..=REQUESTS {
        let head = match timeout(IDLE, Head::read(&mut stream, &mut buffer)).await {
            Ok(Ok(head)) => head,
            Ok(Err(NoHead::Refused(status, reason))) => {
                let answer = Answer::bare(status, &reason);
                finish(&mut stream, &answer, Some(cluster.clock.unix_s())).await;
                return;
            }
            Ok(Err(NoHead::Gone)) | Err(_) => return,
        };
        let wants_close = head.wants_close();
        let mut exchange = Exchange { stream: &mut stream, buffer: &mut buffer, cluster: &cluster };
        let Outcome::Answer(answer) = exchange.answer(&head, &host).await else { return };
        if answer.status >= 400 {
            finish(&mut stream, &answer, Some(cluster.clock.unix_s())).await;
            return;
        }
        let is_closing = wants_close || number == REQUESTS;
        if stream.write_all(&answer.encode(is_closing, Some(cluster.clock.unix_s()))).await.is_err()
            || is_closing
        {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// Answers and hangs up. What the client still sends is read for a moment, so that it sees the answer.
async fn finish(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: &Answer,
    now_s: Option<u64>,
) {
    if stream.write_all(&answer.encode(true, now_s)).await.is_err()
        || stream.shutdown().await.is_err()
    {
        return;
    }
    let mut rest = vec![0; 16 * 1024];
    let drain = async { while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {} };
    let _ = timeout(Duration::from_secs(1), drain).await;
}

/// Sends a client of plain HTTP to the right place.
pub(crate) async fn redirect(mut stream: impl AsyncRead + AsyncWrite + Unpin, address: &str) {
    let mut buffer = Vec::new();
    let Ok(Ok(head)) = timeout(IDLE, Head::read(&mut stream, &mut buffer)).await else { return };
    let is_read = head.method == "GET" || head.method == "HEAD";
    let (status, reason) =
        if is_read { (301, "Moved Permanently") } else { (308, "Permanent Redirect") };
    let host = head.header("host").unwrap_or(address);
    let answer = Answer {
        location: Some(format!("https://{host}{}", head.path)),
        ..Answer::bare(status, reason)
    };
    finish(&mut stream, &answer, None).await;
}

struct Exchange<'a, S> {
    stream: &'a mut S,
    buffer: &'a mut Vec<u8>,
    cluster: &'a Arc<Cluster>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Exchange<'_, S> {
    async fn answer(&mut self, head: &Head, host: &str) -> Outcome {
        let Some((format, path)) = split(&head.path) else {
            return Outcome::Answer(Answer::bare(501, "no such file"));
        };
        let faults = self.cluster.faults.take(&head.method, &form::percent_decode(path));
        for effect in &faults {
            if *effect == (Effect::ReplyLost { after_effect: false }) {
                return Outcome::Silence;
            }
            if let Effect::Slow { ms: length } = effect {
                sleep(ms(*length)).await;
            }
            if let Effect::Answer { status, reason } = effect {
                let failure = Err(Failure::new(*status, reason));
                return Outcome::Answer(self.render(&failure, format));
            }
        }
        let is_lost = faults.contains(&Effect::ReplyLost { after_effect: true });
        let outcome = self.perform(head, host, path, faults).await;
        if is_lost {
            return Outcome::Silence;
        }
        if let Err(failure) = &outcome
            && failure.status == 401
        {
            sleep(ms(self.cluster.config.refusal_ms)).await;
        }
        Outcome::Answer(self.render(&outcome, format))
    }

    fn render(&self, outcome: &Result<Reply, Failure>, format: Format) -> Answer {
        Answer::render(outcome, format, self.cluster.config.release, &mut *self.cluster.random())
    }

    async fn perform(
        &mut self,
        head: &Head,
        host: &str,
        path: &str,
        faults: Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let method = head.method.as_str();
        if !["GET", "POST", "PUT", "DELETE"].contains(&method) {
            return Err(Failure::not_implemented(format!("method '{method}' not available")));
        }
        let route = api::find(method, path).map(|(route, _)| route);
        let is_public = route.is_some_and(|route| matches!(route.rights, Rights::Public));
        let actor = if is_public { None } else { Some(self.authenticate(head)?) };
        if head.is_chunked() {
            return Err(Failure::not_implemented("chunked transfer encoding not supported"));
        }
        let length = head.content_length();
        if length > 0 && ["GET", "DELETE"].contains(&method) {
            let text = format!("Unexpected content for method '{method}'");
            return Err(Failure::not_implemented(text));
        }
        let takes_upload = route.is_some_and(|route| route.takes == Takes::Upload);
        if length > if takes_upload { UPLOAD_LIMIT } else { LIMIT } {
            return Err(Failure::not_implemented("for data too large"));
        }
        let body = self.read_body(head, length).await?;
        let mut request = Request {
            host: host.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            query: form::parse(&head.query),
            body: Map::new(),
            is_json: false,
            upload: None,
            faults,
        };
        understand(head, &body, takes_upload, &mut request)?;
        api::perform(self.cluster, actor, request).await
    }

    fn authenticate(&self, head: &Head) -> Result<Actor, Failure> {
        let now_s = self.cluster.clock.unix_s();
        let world = self.cluster.world();
        login::authenticate(&world.access, &world.tickets, now_s, head)
    }

    async fn read_body(&mut self, head: &Head, length: usize) -> Result<Vec<u8>, Failure> {
        if head.header("expect").is_some_and(|wish| wish.contains("100-continue")) {
            // A client that waits for it in vain sends its body all the same.
            let _ = self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        let read = async {
            while self.buffer.len() < length {
                if self.stream.read_buf(self.buffer).await? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
                }
            }
            Ok(self.buffer.drain(..length).collect::<Vec<u8>>())
        };
        match timeout(BODY, read).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) | Err(_) => Err(Failure::new(400, "the body is cut off")),
        }
    }
}

/// The format and the path of a call, or nothing if it is none.
fn split(path: &str) -> Option<(Format, &str)> {
    let rest = path.strip_prefix("/api2/")?;
    let formats = [("json", Format::Json), ("extjs", Format::Extjs)];
    formats.into_iter().find_map(|(name, format)| {
        let path = rest.strip_prefix(name)?;
        (path.is_empty() || path.starts_with('/')).then_some((format, path))
    })
}

fn understand(
    head: &Head,
    body: &[u8],
    takes_upload: bool,
    request: &mut Request,
) -> Result<(), Failure> {
    let kind = head.header("content-type").unwrap_or_default();
    let name = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match name.as_str() {
        "multipart/form-data" if takes_upload => {
            let upload = multipart::boundary(kind).and_then(|mark| multipart::parse(body, &mark));
            let upload = upload.ok_or_else(|| Failure::new(400, "the upload is cut off"))?;
            request.upload = Some(upload);
        }
        "application/json" => {
            request.is_json = true;
            if !body.is_empty() {
                let value = serde_json::from_slice::<Value>(body);
                let Ok(Value::Object(map)) = value else {
                    return Err(Failure::internal("malformed JSON string"));
                };
                request.body = map;
            }
        }
        "" | "application/x-www-form-urlencoded" => {
            request.body = form::parse(&String::from_utf8_lossy(body));
        }
        other => {
            return Err(Failure::new(
                506,
                format!("upload Content-Type '{other}' not implemented"),
            ));
        }
    }
    Ok(())
}
