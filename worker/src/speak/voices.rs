//! Prompts of the shipped voices: a fixed sentence for each, made once for the whole fleet.
//!
//! Speaker 0 without context is another person for each seed. A voice is therefore a segment, text
//! and codes, in front of every context. The first worker that needs a voice speaks its sentence
//! with the voice's seed and puts the codes into the store. All other workers read them there, so
//! that a name is the same person on every worker, whatever its device and number format.
//!
//! The toy voice has two speakers of its own, learnt and stable. It needs no prompts.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use csm_engine::engine::{Engine, EngineError, PromptSegment, SegmentAudio, Utterance};
use csm_shared::audio::Frame;
use csm_shared::job::{JobSpec, VoiceName};
use csm_shared::store::{InvalidObjectKey, ObjectKey, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::health::{PartError, SharedFault, SharedPart};

/// Longest time of one call to the store.
const STORE_LIMIT: Duration = Duration::from_secs(60);

/// Failure to get the prompt of a voice, although the store works.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// The engine failed to speak the prompt.
    #[error("prompt of voice {0}: {1}")]
    Engine(VoiceName, EngineError),
    /// The object in the store holds no prompt.
    #[error("prompt of voice {0}: {1}")]
    Damaged(VoiceName, String),
    /// The name of the object is not allowed.
    #[error("prompt of a voice: {0}")]
    Key(#[from] InvalidObjectKey),
}

/// Object in the store.
#[derive(Debug, Serialize, Deserialize)]
struct StoredPrompt {
    voice: VoiceName,
    text: String,
    seed: u64,
    /// Codes, frame by frame.
    frames: Vec<Frame>,
}

/// Prompts of the voices that this worker has used.
#[derive(Default)]
pub struct Voices {
    /// True if the model has speakers of its own for the voices.
    own_speakers: bool,
    prompts: Mutex<HashMap<VoiceName, Vec<Frame>>>,
}

impl Voices {
    /// Creates the prompts of a model; none are made yet. `own_speakers` is true for the toy voice.
    #[must_use]
    pub fn new(own_speakers: bool) -> Self {
        Self { own_speakers, prompts: Mutex::default() }
    }

    /// Returns whether the model's own speakers are the voices, as with the toy voice.
    pub(super) const fn are_speakers(&self) -> bool {
        self.own_speakers
    }

    /// Returns the job with those voices alone that need a prompt with this model.
    pub(super) fn prompted(&self, spec: &JobSpec) -> JobSpec {
        if self.own_speakers { spec.clone().without_voices() } else { spec.clone() }
    }

    /// Returns the codes of a voice's prompt: from memory, from the store, or made now.
    ///
    /// The lock is held meanwhile, so that a worker makes each prompt once.
    ///
    /// # Errors
    /// [`PartError::Shared`] if the store is out of order.
    pub(super) async fn prompt(
        &self,
        voice: VoiceName,
        engine: &Engine,
        store: &Store,
        text_ids: &[u32],
    ) -> Result<Vec<Frame>, PartError<VoiceError>> {
        let mut prompts = self.prompts.lock().await;
        if let Some(frames) = prompts.get(&voice) {
            return Ok(frames.clone());
        }
        let key = key(voice, &engine.info().weights_sha256).map_err(|error| PartError::Own(error.into()))?;
        let frames = match read(store, &key, voice).await? {
            Some(frames) => frames,
            None => {
                let made = speak(voice, engine, text_ids).await.map_err(PartError::Own)?;
                write(store, &key, voice, &made).await?;
                tracing::info!(voice = voice.name(), frames = made.len(), key = %key, "made prompt of voice");
                // Two workers may have made it at once: what the store holds is the voice.
                read(store, &key, voice).await?.unwrap_or(made)
            }
        };
        prompts.insert(voice, frames.clone());
        Ok(frames)
    }
}

/// Returns the segment that puts a voice in front of a context.
pub(super) fn segment(text_ids: Vec<u32>, frames: Vec<Frame>) -> PromptSegment {
    PromptSegment { text_ids, audio: SegmentAudio::Codes(frames) }
}

/// Returns the key of a voice's prompt: `voices/<version>-<weights>/<name>.json`.
fn key(voice: VoiceName, weights_sha256: &str) -> Result<ObjectKey, InvalidObjectKey> {
    let weights = weights_sha256.get(..16).unwrap_or(weights_sha256);
    ObjectKey::new(format!("voices/{}-{weights}/{voice}.json", VoiceName::PROMPT_VERSION))
}

/// Speaks the prompt of a voice.
async fn speak(voice: VoiceName, engine: &Engine, text_ids: &[u32]) -> Result<Vec<Frame>, VoiceError> {
    let failed = |error| VoiceError::Engine(voice, error);
    let utterance = Utterance {
        context: Vec::new(),
        recurring: 0,
        text_ids: text_ids.to_vec(),
        sampling: voice.prompt_sampling(),
        max_frames: VoiceName::PROMPT_FRAMES_MAX,
        first_frame: 0,
        resumed_frames: Vec::new(),
        decode_only: false,
    };
    let mut stream = engine.admit(utterance).await.map_err(failed)?;
    let mut frames = Vec::new();
    while let Some(frame) = stream.next().await {
        frames.push(frame.map_err(failed)?.codes);
    }
    if frames.is_empty() { Err(VoiceError::Damaged(voice, "the model spoke nothing".to_owned())) } else { Ok(frames) }
}

async fn read(store: &Store, key: &ObjectKey, voice: VoiceName) -> Result<Option<Vec<Frame>>, PartError<VoiceError>> {
    let bytes = match timeout(STORE_LIMIT, store.get(key)).await.unwrap_or_else(|_| Err(silent(key))) {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(PartError::Shared(SharedFault::new(SharedPart::Store, &error))),
    };
    let damaged = |why: String| PartError::Own(VoiceError::Damaged(voice, why));
    let stored: StoredPrompt = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let fits = (1..=VoiceName::PROMPT_FRAMES_MAX as usize).contains(&stored.frames.len());
    if fits && stored.voice == voice && stored.text == voice.prompt_text() {
        Ok(Some(stored.frames))
    } else {
        Err(damaged(format!("{key} holds another prompt")))
    }
}

async fn write(
    store: &Store,
    key: &ObjectKey,
    voice: VoiceName,
    frames: &[Frame],
) -> Result<(), PartError<VoiceError>> {
    let (text, seed) = (voice.prompt_text().to_owned(), voice.prompt_sampling().seed.get());
    let stored = StoredPrompt { voice, text, seed, frames: frames.to_vec() };
    let bytes = serde_json::to_vec(&stored);
    let bytes = bytes.map_err(|error| PartError::Own(VoiceError::Damaged(voice, error.to_string())))?;
    let written = timeout(STORE_LIMIT, store.put(key, Bytes::from(bytes), "application/json"));
    let written = written.await.unwrap_or_else(|_| Err(silent(key)));
    written.map_err(|error| PartError::Shared(SharedFault::new(SharedPart::Store, &error)))
}

fn silent(key: &ObjectKey) -> StoreError {
    StoreError::Timeout(format!("{key}: {} s are over", STORE_LIMIT.as_secs()))
}
