//! The thread `csm-encode`: turns context recordings into codes, so that no frame waits for a
//! recording. A recording that was encoded before, such as the voice of each job, comes from a
//! cache.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use csm_shared::audio::{Clip, Frame};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::WeakSender;

use super::backend::Encode;
use super::engine_command::AudioFrame;
use super::engine_command::MAX_SLOTS;
use super::error::EngineError;
use super::meter::Meter;
use super::side_thread::{EngineNotifier, JoinOnDrop, Notice};
use super::slots::SlotId;

/// Capacity of the request queue. If it is full, the slot asks again after the next answer.
const REQUESTS: usize = MAX_SLOTS;
/// Capacity of the cache in frames: 87 minutes of recordings, 8 MB.
const FRAMES_KEPT: usize = 1 << 16;
/// Time that the encoding of any recording may take, however short, before it counts as stuck.
const ENCODING_AT_LEAST: Duration = Duration::from_secs(10);

/// Request for the codes of an utterance's recordings.
pub(super) struct EncodeRequest {
    pub(super) id: SlotId,
    pub(super) clips: Vec<Clip>,
    /// Destination of the utterance's frames; once it is closed, the codes are no longer wanted.
    pub(super) stream: WeakSender<AudioFrame>,
}

impl EncodeRequest {
    fn is_wanted(&self) -> bool {
        self.stream.upgrade().is_some_and(|stream| !stream.is_closed())
    }
}

/// The engine's handle of the encoder thread.
pub(super) struct EncoderHandle {
    // Field order matters: dropping the sender ends the thread, which is joined after that.
    requests: SyncSender<EncodeRequest>,
    _thread: JoinOnDrop,
}

impl EncoderHandle {
    /// # Errors
    /// [`EngineError::Start`] if the system gives no thread.
    pub(super) fn start<E: Encode>(
        encoder: E,
        notifier: EngineNotifier,
        meter: Arc<Meter>,
    ) -> Result<Self, EngineError> {
        let (requests, received) = sync_channel(REQUESTS);
        let own_notifier = notifier.clone();
        let thread =
            JoinOnDrop::start("csm-encode", notifier, move || serve(encoder, &received, &own_notifier, &meter))?;
        Ok(Self { requests, _thread: thread })
    }

    /// Asks for codes. Returns false if the queue is full. [`Notice::Encoded`] answers each
    /// request.
    pub(super) fn request(&self, request: EncodeRequest) -> bool {
        self.requests.try_send(request).is_ok()
    }
}

fn serve<E: Encode>(
    mut encoder: E,
    requests: &Receiver<EncodeRequest>,
    notifier: &EngineNotifier,
    meter: &Meter,
) -> Result<Infallible, EngineError> {
    let mut kept = CodesCache::default();
    while let Ok(request) = requests.recv() {
        let mut recordings = Vec::with_capacity(request.clips.len());
        for clip in &request.clips {
            if !request.is_wanted() {
                break;
            }
            let codes = kept.codes(clip, |clip| {
                // The encoder reports no progress, so it gets the recording's duration or
                // `ENCODING_AT_LEAST`, whichever is longer.
                meter.progress().begin(ENCODING_AT_LEAST.max(Duration::from_millis(clip.duration_ms())));
                let codes = encoder.encode(clip);
                meter.progress().end();
                codes
            });
            recordings.push(codes?);
        }
        let complete = recordings.len() == request.clips.len();
        notifier.notify(Notice::Encoded(request.id, complete.then_some(recordings)));
    }
    Err(EngineError::Closed)
}

/// Cache of the codes of recordings, by the SHA-256 of their samples. The least recently used
/// recording is evicted first.
#[derive(Default)]
pub(super) struct CodesCache {
    kept: HashMap<[u8; 32], CachedCodes>,
    /// Counter of uses, for the eviction order.
    clock: u64,
}

struct CachedCodes {
    codes: Vec<Frame>,
    used: u64,
}

impl CodesCache {
    /// Returns the codes of `clip`, from the cache or from `encode`.
    pub(super) fn codes(
        &mut self,
        clip: &Clip,
        encode: impl FnOnce(&Clip) -> Result<Vec<Frame>, EngineError>,
    ) -> Result<Vec<Frame>, EngineError> {
        self.clock += 1;
        let key = digest(clip);
        if let Some(kept) = self.kept.get_mut(&key) {
            kept.used = self.clock;
            return Ok(kept.codes.clone());
        }
        let codes = encode(clip)?;
        self.make_room(codes.len());
        self.kept.insert(key, CachedCodes { codes: codes.clone(), used: self.clock });
        Ok(codes)
    }

    /// Returns the number of cached frames.
    pub(super) fn frames(&self) -> usize {
        self.kept.values().map(|kept| kept.codes.len()).sum()
    }

    fn make_room(&mut self, frames: usize) {
        while self.frames() + frames > FRAMES_KEPT {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            self.kept.remove(&oldest);
        }
    }
}

fn digest(clip: &Clip) -> [u8; 32] {
    let bytes: Vec<u8> = clip.samples().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    Sha256::digest(bytes).into()
}
