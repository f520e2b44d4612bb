//! Decoding of callers' recordings, in few places and with memory for the worst.
//!
//! A file of a few kilobytes can hold minutes of audio, so the cost of its decoding does not follow
//! from its length. Decoding runs on blocking threads. If the caller leaves, a thread that decodes
//! goes on to the end of the recording and keeps place and memory until then; one that waits ends.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use csm_shared::audio::{self, ClipError, MAX_SOURCE_RATE, Recording, SAMPLE_RATE};
use csm_shared::job::limits::CONTEXT_AUDIO_MS;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{MemoryGrant, NoMemory};

/// Requests that are read at a time, each on a thread; few of them decode.
const REQUESTS_READ_MAX: usize = 64;
/// Longest wait of a request for a thread, and of a recording for a place to be decoded.
const PLACE_WAIT: Duration = Duration::from_secs(5);
/// Largest memory of one decoding, in bytes: a recording of the longest time at the highest rate as
/// 32-bit floats, then at 24 kHz as floats and as 16-bit samples.
const DECODE_BYTES: usize = {
    let seconds = CONTEXT_AUDIO_MS.max as usize / 1_000;
    seconds * (MAX_SOURCE_RATE as usize * 4 + SAMPLE_RATE as usize * (4 + 4 + 2))
};
/// Memory of a decoded sample until its job is in the queue, in bytes: the sample, a copy, and its
/// bytes on their way to the store.
const KEPT_SAMPLE_BYTES: usize = 3 * size_of::<i16>();

/// Reason why a recording was not decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// File that is no recording within the limits.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// Others take all places, or the memory.
    #[error("too many recordings are being decoded")]
    Overloaded,
}

impl From<NoMemory> for DecodeError {
    fn from(_: NoMemory) -> Self {
        Self::Overloaded
    }
}

/// Decoding of a file, of which at most the given number of milliseconds are taken.
pub(crate) type DecodeRecording<'a> = dyn FnMut(&[u8], u64) -> Result<Recording, DecodeError> + 'a;

/// Places in which requests are read and recordings decoded.
pub(crate) struct RecordingDecoder {
    threads: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl RecordingDecoder {
    /// Makes a place for each core.
    pub(crate) fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { threads: Arc::new(Semaphore::new(REQUESTS_READ_MAX)), places: Arc::new(Semaphore::new(cores)) }
    }

    /// Waits for a thread to read a request on.
    pub(crate) async fn thread(&self) -> Result<OwnedSemaphorePermit, DecodeError> {
        let thread = timeout(PLACE_WAIT, Arc::clone(&self.threads).acquire_owned()).await;
        // The semaphore is never closed.
        thread.map_err(|_| DecodeError::Overloaded)?.map_err(|_| DecodeError::Overloaded)
    }

    /// Decodes a recording of at most `most_ms` milliseconds, on a blocking thread. `memory` grows
    /// meanwhile, and keeps what the clip takes. `left` is cancelled when the caller leaves.
    pub(crate) fn decode(
        &self,
        runtime: &Handle,
        left: &CancellationToken,
        memory: &mut MemoryGrant,
        file: &[u8],
        most_ms: u64,
    ) -> Result<Recording, DecodeError> {
        let place = timeout(PLACE_WAIT, self.places.acquire());
        let place = runtime.block_on(left.run_until_cancelled(place)).ok_or(DecodeError::Overloaded)?;
        let _place = place.map_err(|_| DecodeError::Overloaded)?.map_err(|_| DecodeError::Overloaded)?;
        let before = memory.bytes();
        runtime.block_on(memory.grow_to(before + DECODE_BYTES))?;
        let read = audio::read_within(file, most_ms);
        let kept = read.as_ref().map_or(0, |read| read.clip.samples().len() * KEPT_SAMPLE_BYTES);
        memory.shrink_to(before + kept);
        Ok(read?)
    }
}
