//! One attempt from prompt to stored file: frames from the engine, marked as they come, encoded, stored. What it returns
//! is not yet anybody's result; the commit is the runner's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use csm_shared::audio::{FRAME_MS, SAMPLE_RATE};
use csm_shared::job::{Failure, FailureClass, FinishReason, JobSpec, Receipt};
use csm_shared::live::{Event, EventId, Live};
use csm_shared::prompt::{PromptError, PromptTokenizer};
use csm_shared::queue::LeaseRef;
use csm_shared::store::Store;
use csm_shared::telemetry;

use crate::engine::{Engine, EngineError, Segment, Utterance};
use crate::sink::{self, SinkError};
use crate::watermark::{Detector, Marked, Watermark};
use crate::wav;

/// Frames between two progress events: 400 ms of audio.
const PROGRESS_EVERY: u32 = 5;

/// What every attempt of a worker needs.
pub struct Studio {
    /// The model.
    pub engine: Engine,
    /// Text to ids, as the gateway counted them.
    pub tokenizer: PromptTokenizer,
    /// Maker of the mark.
    pub watermark: Watermark,
    /// Its reader, for the receipt.
    pub detector: Arc<Detector>,
    /// Where files go.
    pub store: Store,
    /// Who listens.
    pub live: Live,
    /// This worker, for the receipt.
    pub worker: String,
}

/// An attempt that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum SpeakError {
    /// The tokenizer refused the text.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The file could not be stored.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The encoder thread died.
    #[error("encoding the audio: {0}")]
    Encode(#[from] tokio::task::JoinError),
}

impl SpeakError {
    /// The failure as the queue records it. Its message is safe to show: what a library or the device said stays in the log.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let class = match self {
            Self::Prompt(_) => FailureClass::Invalid,
            Self::Engine(error) if error.is_invalid() => FailureClass::Invalid,
            Self::Engine(_) | Self::Encode(_) => FailureClass::Resource,
            Self::Sink(error) if error.is_permanent() => FailureClass::Resource,
            Self::Sink(_) => FailureClass::Transient,
        };
        let message = match self {
            Self::Prompt(_) => "the text could not be tokenized".to_owned(),
            Self::Engine(error) if error.is_invalid() => error.to_string(),
            Self::Engine(_) => "the model or its device failed while speaking".to_owned(),
            Self::Sink(_) => "the audio could not be stored".to_owned(),
            Self::Encode(_) => "the audio could not be encoded".to_owned(),
        };
        Failure::new(class, message)
    }
}

/// The audio of one attempt, marked.
struct Take {
    audio: Marked,
    frames: u32,
    finish: FinishReason,
    first_audio: Option<Duration>,
    compute: Duration,
}

impl Studio {
    /// Speaks and stores; answers the receipt to commit, which points to the file.
    pub async fn speak(&self, at: &LeaseRef, spec: &JobSpec, waited: Duration) -> Result<Receipt, SpeakError> {
        self.tell(at, 1, Event::Started { worker: self.worker.clone() }).await;
        let take = self.record(at, spec).await?;
        metrics::histogram!(telemetry::QUEUE_WAIT_SECONDS).record(waited.as_secs_f64());
        if let Some(first) = take.first_audio {
            metrics::histogram!(telemetry::FIRST_AUDIO_SECONDS).record(first.as_secs_f64());
        }
        let detector = Arc::clone(&self.detector);
        let audio = take.audio;
        let (wav, samples, z) = tokio::task::spawn_blocking(move || {
            let pcm = audio.to_f32();
            (wav::encode(&audio), pcm.len() as u64, detector.detect(&pcm).z)
        })
        .await?;
        let stored = sink::put_wav(&self.store, at, wav).await?;
        let audio_seconds = samples as f64 / f64::from(SAMPLE_RATE);
        let rtf = (samples > 0).then(|| take.compute.as_secs_f64() / audio_seconds);
        if let Some(rtf) = rtf {
            metrics::histogram!(telemetry::RTF).record(rtf);
        }
        let info = self.engine.info();
        Ok(Receipt {
            seed: spec.sampling.seed.get(),
            model: info.model.clone(),
            noise_only: info.noise_only,
            weights_sha256: info.weights_sha256.clone(),
            worker: self.worker.clone(),
            attempt: at.attempt,
            frames: take.frames,
            samples,
            duration_ms: u64::from(take.frames) * u64::from(FRAME_MS),
            finish_reason: take.finish,
            queue_ms: waited.as_millis() as u64,
            compute_ms: take.compute.as_millis() as u64,
            first_audio_ms: take.first_audio.map(|first| first.as_millis() as u64),
            rtf,
            bytes: stored.bytes,
            sha256: stored.sha256,
            watermark: format!("builtin:{}", self.watermark.key_id()),
            watermark_z: z,
            location: stored.key.to_string(),
        })
    }

    /// Runs the utterance through the engine and the mark.
    async fn record(&self, at: &LeaseRef, spec: &JobSpec) -> Result<Take, SpeakError> {
        let begun = Instant::now();
        let max_frames = spec.budget.frames();
        let mut frames = self.engine.admit(self.utterance(spec)?).await?;
        let mut mark = self.watermark.stream();
        let mut audio = Marked::default();
        let (mut count, mut first_audio) = (0, None);
        while let Some(frame) = frames.next().await {
            audio.append(mark.push(&frame?.pcm));
            count += 1;
            first_audio.get_or_insert_with(|| begun.elapsed());
            if count % PROGRESS_EVERY == 1 {
                self.tell(at, u64::from(count) + 1, Event::Progress { frames: count, max_frames }).await;
            }
        }
        audio.append(mark.finish());
        let finish = frames.finish_reason().ok_or(EngineError::Closed)?;
        Ok(Take { audio, frames: count, finish, first_audio, compute: begun.elapsed() })
    }

    fn utterance(&self, spec: &JobSpec) -> Result<Utterance, PromptError> {
        let turn = |turn: &csm_shared::job::Segment| {
            let text_ids = self.tokenizer.text_ids(turn.speaker.get(), turn.text.as_str())?;
            Ok(Segment { text_ids, clip: turn.clip.clone() })
        };
        Ok(Utterance {
            context: spec.context.segments().iter().map(turn).collect::<Result<_, PromptError>>()?,
            text_ids: self.tokenizer.text_ids(spec.speaker.get(), spec.text.as_str())?,
            sampling: spec.sampling,
            max_frames: spec.budget.frames(),
        })
    }

    /// Tells followers, who can do without: a failure is logged, not raised.
    async fn tell(&self, at: &LeaseRef, sequence: u64, event: Event) {
        let id = EventId { attempt: at.attempt, sequence };
        if let Err(error) = self.live.publish(&at.id, id, &event).await {
            tracing::debug!(job = %at.id, error = %error, "an event was not published");
        }
    }
}
