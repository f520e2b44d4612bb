//! Request bodies, read within limits: bytes, time, and memory over all requests.
//!
//! A body whose announced length is too large is refused before it is read.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use csm_shared::job::Invalid;
use csm_shared::job::limits::BODY_BYTES;
use futures::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::Problem;

/// Largest memory for HTTP request bodies, over all requests, in bytes.
const BODY_MEMORY_BYTES: usize = 512 * 1024 * 1024;
/// Unit in which [`BODY_MEMORY_BYTES`] is handed out, in bytes.
const BODY_MEMORY_UNIT: usize = 1024;
/// Longest time for a whole body.
const BODY_READ_LIMIT: Duration = Duration::from_secs(60);
/// Bytes that a refused caller may still send before the connection is cut. Without them most
/// clients would see a broken connection instead of the answer.
const LINGER_BYTES: usize = 256 * 1024 * 1024;
/// Longest time for these bytes.
const LINGER_LIMIT: Duration = Duration::from_secs(15);

/// Body with the memory that it was granted.
pub(crate) struct BufferedBody<'a> {
    /// Bytes of the body.
    pub(crate) bytes: Bytes,
    _memory: SemaphorePermit<'a>,
}

/// Reader of request bodies. All bodies share one limit of memory.
pub(crate) struct BodyReader {
    /// Memory that is left, in units of [`BODY_MEMORY_UNIT`].
    memory: Semaphore,
    /// Tasks that read what refused callers still send.
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl BodyReader {
    /// Makes a reader. Its tasks end if `stop` is cancelled.
    pub(crate) fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { memory: Semaphore::new(BODY_MEMORY_BYTES / BODY_MEMORY_UNIT), tasks, stop }
    }

    /// Reads the body of a request.
    pub(crate) async fn read(&self, request: Request) -> Result<BufferedBody<'_>, Problem> {
        let (parts, body) = request.into_parts();
        let announced = announced_bytes(&parts.headers);
        if let Some(bytes) = announced.filter(|&bytes| !BODY_BYTES.allows(bytes)) {
            if !parts.headers.contains_key(EXPECT) {
                self.linger(body);
            }
            return Err(Invalid::outside("(body)", format!("Content-Length {bytes}"), &BODY_BYTES).into());
        }
        let most = announced.unwrap_or(BODY_BYTES.max) as usize;
        let units = u32::try_from(most.div_ceil(BODY_MEMORY_UNIT)).unwrap_or(u32::MAX);
        let memory = self.memory.try_acquire_many(units);
        let memory =
            memory.map_err(|_| Problem::overloaded("Too many large requests are being read at once. Try again."))?;
        match tokio::time::timeout(BODY_READ_LIMIT, collect(body, most)).await {
            Ok(Ok(bytes)) => Ok(BufferedBody { bytes, _memory: memory }),
            Ok(Err(BodyFault::Off)) => Err(Problem::broken_body()),
            Ok(Err(BodyFault::TooLong(rest))) => {
                self.linger(rest);
                Err(Invalid::outside("(body)", format!("more than {} bytes", BODY_BYTES.max), &BODY_BYTES).into())
            }
            Err(_) => Err(Problem::slow_body(BODY_READ_LIMIT)),
        }
    }

    /// Reads and drops the bytes that a refused caller still sends while the answer is on its way.
    fn linger(&self, body: Body) {
        let forget = async move {
            let mut stream = body.into_data_stream();
            let mut bytes = 0;
            while let Some(Ok(chunk)) = stream.next().await {
                bytes += chunk.len();
                if bytes > LINGER_BYTES {
                    return;
                }
            }
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            // Every outcome ends the connection.
            let _ = tokio::time::timeout(LINGER_LIMIT, stop.run_until_cancelled_owned(forget)).await;
        });
    }
}

/// Returns the length that the headers announce.
fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reason why a body was not read to its end.
enum BodyFault {
    /// The connection failed.
    Off,
    /// The body is longer than allowed; the rest is still to come.
    TooLong(Body),
}

/// Collects a body of at most `most` bytes.
async fn collect(body: Body, most: usize) -> Result<Bytes, BodyFault> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| BodyFault::Off)?;
        if bytes.len() + chunk.len() > most {
            return Err(BodyFault::TooLong(Body::from_stream(stream)));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}
