//! A body that nobody wanted is read to its end, so that whoever sends it hears the answer.
//!
//! A client that is still sending when the connection is closed sees a broken pipe instead of the
//! problem that says what is wrong (RFC 9112, section 9.6).

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
    http::header,
    middleware::Next,
    response::Response,
};
use futures::{Stream, StreamExt as _};
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

/// How long an unwanted body may take.
const TIME: Duration = Duration::from_secs(5);
/// How much of it is read, in bytes: more than any body that is allowed.
const MOST: usize = 256 << 20;

/// A body of which what is left can be read after its reader has gone.
#[derive(Clone)]
struct Shared(Arc<Mutex<axum::body::BodyDataStream>>);

impl Stream for Shared {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Nobody panics while the lock is held; if so, the body has ended.
        match self.0.lock() {
            Ok(mut body) => body.poll_next_unpin(cx),
            Err(_) => Poll::Ready(None),
        }
    }
}

/// Answers a refusal only when the body that came with the request has been read.
pub(crate) async fn linger(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // Whoever waits to be asked for the body is answered at once, and sends none.
    if parts.headers.contains_key(header::EXPECT) || body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let mut shared = Shared(Arc::new(Mutex::new(body.into_data_stream())));
    let request = Request::from_parts(parts, Body::from_stream(shared.clone()));
    let response = next.run(request).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        let rest = async {
            let mut read = 0;
            while let Some(Ok(bytes)) = shared.next().await {
                read += bytes.len();
                if read > MOST {
                    break;
                }
            }
        };
        // What takes longer is cut off.
        let _ = tokio::time::timeout(TIME, rest).await;
    }
    response
}
