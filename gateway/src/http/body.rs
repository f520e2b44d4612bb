//! Request bodies, read within limits: bytes, pace, and memory over all requests.
//!
//! A body whose announced length is too large is refused before it is read. Memory is charged as
//! bytes arrive, so an announced length alone holds nothing.

use std::fmt;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use csm_shared::job::Invalid;
use csm_shared::job::limits::{BODY_BYTES, Limit};
use futures::StreamExt as _;
use serde_json::Value;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::Problem;
use crate::resources::{MemoryBudget, MemoryGrant, NoMemory, UploadPace, peer};

/// Least capacity of a body's buffer, in bytes.
const BUFFER_MIN_BYTES: usize = 8 * 1024;
/// Bytes that a refused caller may still send before the connection is cut. Without them most
/// clients would see a broken connection instead of the answer.
const LINGER_BYTES: usize = 256 * 1024 * 1024;
/// Longest time for these bytes.
const LINGER_LIMIT: Duration = Duration::from_secs(15);

/// Size of a body with a text and its options: more than the longest text takes.
const TEXT_BODY_BYTES: Limit = Limit { min: 0, max: 512 * 1_024, unit: "bytes", status: 413 };
/// Memory of the tree of values that such a body becomes, in sizes of the body.
const TREE_COPIES: usize = 32;

/// Body with the memory that it was granted.
pub(crate) struct BufferedBody {
    /// Bytes of the body.
    pub(crate) bytes: Bytes,
    /// Memory of the body; whoever works on the bytes keeps it.
    pub(crate) memory: MemoryGrant,
}

impl BufferedBody {
    /// Reads the body as the JSON object of a text and its options, of at most [`TEXT_BODY_BYTES`].
    pub(crate) async fn text_object(&mut self) -> Result<Value, Problem> {
        if !TEXT_BODY_BYTES.allows(self.bytes.len() as u64) {
            let value = format!("{} bytes", self.bytes.len());
            return Err(Invalid::outside("(body)", value, &TEXT_BODY_BYTES).into());
        }
        self.memory.grow_to(TREE_COPIES * self.bytes.len()).await?;
        let malformed =
            |value: &dyn fmt::Display| Invalid { status: 400, ..Invalid::malformed("(body)", value, "a JSON object") };
        let body: Value = serde_json::from_slice(&self.bytes).map_err(|error| malformed(&error))?;
        if body.is_object() { Ok(body) } else { Err(malformed(&body).into()) }
    }
}

/// Reader of request bodies.
pub(crate) struct BodyReader {
    memory: MemoryBudget,
    /// Tasks that read what refused callers still send.
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl BodyReader {
    /// Makes a reader that draws on `memory`. Its tasks end if `stop` is cancelled.
    pub(crate) const fn new(memory: MemoryBudget, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { memory, tasks, stop }
    }

    /// Reads the body of a request.
    pub(crate) async fn read(&self, request: Request) -> Result<BufferedBody, Problem> {
        let memory = self.memory.begin(peer(request.extensions()));
        let (parts, body) = request.into_parts();
        let announced = announced_bytes(&parts.headers);
        if let Some(bytes) = announced.filter(|&bytes| !BODY_BYTES.allows(bytes)) {
            if !parts.headers.contains_key(EXPECT) {
                self.linger(body);
            }
            return Err(Invalid::outside("(body)", format!("Content-Length {bytes}"), &BODY_BYTES).into());
        }
        let most = announced.unwrap_or(BODY_BYTES.max) as usize;
        collect(body, most, memory).await.map_err(|fault| match fault {
            BodyFault::Off => Problem::broken_body(),
            BodyFault::Slow => Problem::slow_body(),
            BodyFault::NoMemory(rest) => {
                self.linger(rest);
                NoMemory.into()
            }
            BodyFault::TooLong(rest) => {
                self.linger(rest);
                Invalid::outside("(body)", format!("more than {} bytes", BODY_BYTES.max), &BODY_BYTES).into()
            }
        })
    }

    /// Reads and drops the body of a request that is refused unread.
    pub(crate) fn refuse(&self, request: Request) {
        if !request.headers().contains_key(EXPECT) {
            self.linger(request.into_body());
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
    /// The bytes came too slowly.
    Slow,
    /// Others hold the memory; the rest is still to come.
    NoMemory(Body),
    /// The body is longer than allowed; the rest is still to come.
    TooLong(Body),
}

/// Collects a body of at most `most` bytes. The buffer grows with the bytes, and `memory` with the
/// buffer.
async fn collect(body: Body, most: usize, mut memory: MemoryGrant) -> Result<BufferedBody, BodyFault> {
    let pace = UploadPace::begin();
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = timeout_at(pace.deadline(bytes.len()), stream.next()).await.map_err(|_| BodyFault::Slow)? {
        let chunk = chunk.map_err(|_| BodyFault::Off)?;
        let length = bytes.len() + chunk.len();
        if length > most {
            return Err(BodyFault::TooLong(Body::from_stream(stream)));
        }
        if length > bytes.capacity() {
            let capacity = length.max(2 * bytes.capacity()).max(BUFFER_MIN_BYTES).min(most);
            if let Err(NoMemory) = memory.grow_to(capacity).await {
                return Err(BodyFault::NoMemory(Body::from_stream(stream)));
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(BufferedBody { bytes: bytes.into(), memory })
}
