//! Audio files of finished jobs, on their way from the store to a caller.
//!
//! A file is read in pieces as the caller takes them, so an answer that nobody reads holds one
//! piece. Only a WebSocket message needs the whole file at once.

use std::io;
use std::ops::Range;
use std::time::Duration;

use axum::body::Bytes;
use csm_shared::job::{JobId, Receipt};
use csm_shared::process::connections::Peer;
use csm_shared::store::{ObjectKey, Store, StoreError};
use futures::stream::{self, Stream, StreamExt as _};

use crate::app::App;
use crate::http::Problem;
use crate::resources::MemoryGrant;

/// Bytes of a file that are read at a time; a multiple of 3, so that base64 of the pieces is base64
/// of the file.
const PIECE_BYTES: u64 = 96 * 1024;
/// Memory of an answer in pieces, in bytes: a piece, its base64, and the connection's buffer.
const PIECES_MEMORY_BYTES: usize = 4 * PIECE_BYTES as usize;
/// Copies of a file that a WebSocket message holds: the message, and the protocol's buffer.
const MESSAGE_COPIES: usize = 2;
/// Longest wait of finished audio for the memory of its answer. The job is done, so the wait may
/// be longer than that of a new request.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

const _: () = assert!(PIECE_BYTES.is_multiple_of(3));

/// File of a job.
pub(crate) struct StoredAudio {
    store: Store,
    key: ObjectKey,
    job: JobId,
    bytes: u64,
    memory: MemoryGrant,
}

/// Whole file, with its memory.
pub(crate) struct WholeAudio {
    /// Bytes of the file.
    pub(crate) bytes: Bytes,
    /// Memory of the file until the caller has it.
    pub(crate) memory: MemoryGrant,
}

impl StoredAudio {
    /// Names the file of a receipt, for an answer to `peer`.
    pub(crate) fn of(app: &App, peer: Peer, job: JobId, receipt: &Receipt) -> Result<Self, Problem> {
        let (store, memory) = (app.store.clone(), app.memory.begin(peer));
        Ok(Self { store, key: location(receipt)?, job, bytes: receipt.bytes, memory })
    }

    /// Reads the whole file, and waits for the memory that it takes.
    pub(crate) async fn whole(mut self) -> Result<WholeAudio, Problem> {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        self.memory.grow_within(bytes.saturating_mul(MESSAGE_COPIES), ANSWER_WAIT).await?;
        let bytes = self.store.get(&self.key).await.map_err(|error| missing_is_gone(self.job, error))?;
        Ok(WholeAudio { bytes, memory: self.memory })
    }

    /// Opens the bytes `range` as a stream of pieces. The first piece is read before, so that a
    /// missing file has an answer of its own.
    pub(crate) async fn pieces(
        mut self,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, Problem> {
        self.memory.grow_within(PIECES_MEMORY_BYTES, ANSWER_WAIT).await?;
        let job = self.job;
        let (first, rest) = self.piece(range).await.map_err(|error| missing_is_gone(job, error))?;
        let more = stream::try_unfold((self, rest), |(audio, rest)| async move {
            if rest.is_empty() {
                return Ok(None);
            }
            match audio.piece(rest).await {
                Ok((piece, rest)) => Ok(Some((piece, (audio, rest)))),
                Err(error) => {
                    tracing::warn!(job = %audio.job, error = %error, "cutting answer with audio");
                    Err(io::Error::other(error))
                }
            }
        });
        Ok(stream::once(async move { Ok(first) }).chain(more))
    }

    /// Reads the first piece of `range`; returns it with the rest of the range.
    async fn piece(&self, range: Range<u64>) -> Result<(Bytes, Range<u64>), StoreError> {
        let end = range.end.min(range.start + PIECE_BYTES);
        let piece = self.store.get_range(&self.key, range.start..end).await?;
        if piece.len() as u64 == end - range.start {
            return Ok((piece, end..range.end));
        }
        Err(StoreError::Invalid(format!("object {} ends before byte {end}", self.key)))
    }
}

/// Streams the bytes `range` of an object in pieces, as the caller takes them.
pub(crate) fn object_pieces(
    store: Store,
    key: ObjectKey,
    range: Range<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((store, key, range), |(store, key, rest)| async move {
        if rest.is_empty() {
            return Ok(None);
        }
        let end = rest.end.min(rest.start + PIECE_BYTES);
        let piece = store.get_range(&key, rest.start..end).await.map_err(io::Error::other)?;
        if piece.len() as u64 != end - rest.start {
            return Err(io::Error::other(format!("object {key} ends before byte {end}")));
        }
        Ok(Some((piece, (store, key, end..rest.end))))
    })
}

/// Returns the store key of a receipt's audio file.
pub(crate) fn location(receipt: &Receipt) -> Result<ObjectKey, Problem> {
    receipt.location.parse().map_err(Problem::internal)
}

/// Maps a failed read of a committed result. A file that is missing was removed from the store.
fn missing_is_gone(job: JobId, error: StoreError) -> Problem {
    match error {
        StoreError::NotFound(_) => Problem::audio_gone(job),
        other => other.into(),
    }
}
