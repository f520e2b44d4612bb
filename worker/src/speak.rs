//! A single attempt from prompt to stored file: frames from the engine, joined
//! ([`sentence_stream`]) and marked as they come, encoded, stored. The returned receipt is not yet
//! a result: the runner commits.
//!
//! The codes go out with the progress events ([`progress`]). A later attempt at the job reads them
//! and hands them to the engine, which resumes behind them. The audio is that of an undisturbed
//! run, bit for bit. If the delivery is live, the marked samples go out with the same events. A
//! later attempt sends only the samples that no earlier attempt has sent.

mod attempt_progress;
mod context_window;
mod join;
mod progress;
mod recordings;
mod sentence_stream;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use csm_queue::live::{Event, EventId, Live, Origin, ResumePoint};
use csm_queue::queue::LeaseRef;
use csm_queue::redis_client::RedisFault;
use csm_shared::audio::{Clip, SAMPLE_RATE};
use csm_shared::job::{Failure, FailureClass, FinishReason, JobSpec, Receipt, SentenceReceipt};
use csm_shared::process::telemetry;
use csm_shared::prompt::{PromptError, PromptTokenizer, SpeechPlan};
use csm_shared::store::Store;

use crate::IDENTITY;
use crate::encode::{AudioEncoder, EncodeError};
use crate::marks::{Finished, MarkError, Marker};
use crate::sink::{self, SinkError};
use csm_engine::engine::{Engine, EngineError, ModelInfo, PromptSegment, SegmentAudio};

pub use attempt_progress::AttemptProgress;
use progress::{PendingEvent, ProgressPublisher};
pub use recordings::RecordingError;
use sentence_stream::{AttemptPlan, Ending, SentenceStream};

/// Longest time to publish an event, or to read the resume point.
const PUBLISH_LIMIT: Duration = Duration::from_secs(30);
/// Longest time to store a file, all tries included.
const STORE_LIMIT: Duration = Duration::from_secs(120);

/// Resources that every attempt of a worker needs.
pub struct AttemptContext {
    /// Engine of the model.
    pub engine: Engine,
    /// Tokenizer, the same as the gateway counts with.
    pub tokenizer: PromptTokenizer,
    /// Marker, which also checks the marks.
    pub marker: Marker,
    /// Encoder of files.
    pub encoder: AudioEncoder,
    /// Store of files.
    pub store: Store,
    /// Live channel to the followers of a job.
    pub live: Live,
    /// Id of this worker, for the receipt.
    pub worker: String,
}

/// Failure of an attempt.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The tokenizer refused the text.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A recording of the context could not be read from the store.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The file could not be stored.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The store took too long with the file.
    #[error("the audio was not stored within {} s", STORE_LIMIT.as_secs())]
    StoreTimedOut,
    /// The audio could not be marked, or its mark was not found in it.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// An event could not be published, or the resume point could not be read.
    #[error("live audio: {0}")]
    Publish(#[from] RedisFault),
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The thread that marks and encodes panicked.
    #[error("marking and encoding the audio: {0}")]
    Join(#[from] tokio::task::JoinError),
}

impl AttemptError {
    /// Returns the failure as the queue records it. Its message is safe to show: messages of
    /// libraries and devices stay in the log.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let class = match self {
            Self::Prompt(_) => FailureClass::Invalid,
            Self::Recording(error) if error.is_gone() => FailureClass::Invalid,
            Self::Engine(error) if error.is_invalid() => FailureClass::Invalid,
            Self::Engine(_) | Self::Mark(_) | Self::Encode(_) | Self::Join(_) => FailureClass::Resource,
            Self::Sink(error) if error.is_permanent() => FailureClass::Resource,
            Self::Recording(_) | Self::Sink(_) | Self::StoreTimedOut | Self::Publish(_) => FailureClass::Transient,
        };
        let message = match self {
            Self::Prompt(_) => "the text could not be tokenized".to_owned(),
            Self::Recording(error) if error.is_gone() => "a recording of the context is no longer kept".to_owned(),
            Self::Recording(_) => "a recording of the context could not be read".to_owned(),
            Self::Engine(error) if error.is_invalid() => error.to_string(),
            Self::Engine(_) => "the model or its device failed while speaking".to_owned(),
            Self::Sink(_) | Self::StoreTimedOut => "the audio could not be stored".to_owned(),
            Self::Publish(_) => "the audio could not be sent while it was spoken".to_owned(),
            Self::Mark(_) => "the watermark could not be put on the audio, so it may not leave".to_owned(),
            Self::Encode(_) | Self::Join(_) => "the audio could not be encoded".to_owned(),
        };
        Failure::new(class, message)
    }
}

/// Audio of one attempt, and the figures for its receipt.
struct GeneratedAudio {
    audio: Finished,
    frames: u32,
    resumed: u32,
    sentences: Vec<SentenceReceipt>,
    finish: FinishReason,
    first_audio: Option<Duration>,
    compute: Duration,
}

impl AttemptContext {
    /// Generates and stores the audio. Returns the receipt to commit, which points to the file.
    /// Meanwhile, `progress` shows whether the attempt makes progress.
    pub async fn attempt(
        &self,
        at: &LeaseRef,
        spec: &JobSpec,
        waited: Duration,
        progress: &AttemptProgress,
    ) -> Result<Receipt, AttemptError> {
        let event = Event::Started { worker: self.worker.clone() };
        let started = PendingEvent { sequence: 1, event, codes: None };
        if spec.delivery.is_live() && at.attempt > 1 {
            // Publishing this event fences off earlier attempts: from here on they cannot send
            // samples.
            progress.during(PUBLISH_LIMIT, self.publish_patiently(at, &started)).await?;
        } else {
            progress.during(PUBLISH_LIMIT, self.try_publish(at, &started)).await;
        }
        let generated = self.generate(at, spec, progress).await?;
        metrics::histogram!(telemetry::QUEUE_WAIT_SECONDS).record(waited.as_secs_f64());
        if let Some(first) = generated.first_audio {
            metrics::histogram!(telemetry::FIRST_AUDIO_SECONDS).record(first.as_secs_f64());
        }
        let (audio, encoder, format) = (generated.audio, self.encoder.clone(), spec.format);
        let time_limit = audio.time_limit();
        let finishing = tokio::task::spawn_blocking(move || {
            let (whole, findings) = audio.complete()?;
            Ok::<_, AttemptError>((encoder.encode(&whole, format)?, whole.samples().len() as u64, findings))
        });
        let (file, samples, watermarks) = progress.during(time_limit, finishing).await??;
        let store = Box::pin(tokio::time::timeout(STORE_LIMIT, sink::put(&self.store, at, format, file)));
        let stored = progress.during(STORE_LIMIT, store).await.map_err(|_| AttemptError::StoreTimedOut)??;
        let audio_seconds = samples as f64 / f64::from(SAMPLE_RATE);
        let rtf = (samples > 0).then(|| generated.compute.as_secs_f64() / audio_seconds);
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
            frames: generated.frames,
            resumed_frames: generated.resumed,
            samples,
            duration_ms: samples * 1_000 / u64::from(SAMPLE_RATE),
            finish_reason: generated.finish,
            queue_ms: waited.as_millis() as u64,
            compute_ms: generated.compute.as_millis() as u64,
            first_audio_ms: generated.first_audio.map(|first| first.as_millis() as u64),
            rtf,
            bytes: stored.bytes,
            sha256: stored.sha256,
            format,
            watermarks,
            location: stored.key.to_string(),
            sentences: generated.sentences,
        })
    }

    /// Generates the audio of the job and marks it.
    async fn generate(
        &self,
        at: &LeaseRef,
        spec: &JobSpec,
        progress: &AttemptProgress,
    ) -> Result<GeneratedAudio, AttemptError> {
        let begun = Instant::now();
        let clips = progress.during(recordings::FETCH_LIMIT, recordings::fetch(&self.store, &spec.context)).await?;
        let mut plan = self.attempt_plan(spec, clips)?;
        let origin = origin(self.engine.info(), &plan.plan);
        let live = spec.delivery.is_live();
        let before = progress.during(PUBLISH_LIMIT, self.resume_point(at, origin, live)).await?;
        let mut publisher = ProgressPublisher::new(origin, spec.budget.frames(), live.then_some(before.published()));
        plan.resumed_frames = before.into_sentences();
        let mut stream = SentenceStream::new(&self.engine, plan);
        let mut marking = self.marker.begin(&at.id);
        let mut first_audio = None;
        while let Some(frame) = stream.next().await? {
            progress.advance();
            publisher.push(&frame, &marking.push(&frame.pcm)?);
            first_audio.get_or_insert_with(|| begun.elapsed());
            while let Some(pending) = publisher.due() {
                if !progress.during(PUBLISH_LIMIT, self.try_publish(at, pending)).await {
                    publisher.defer();
                    break;
                }
                publisher.mark_published();
            }
        }
        let Ending { pcm, sentences, finish } = stream.finish();
        let ready = marking.push(&pcm)?;
        let (rest, audio) = marking.finish();
        publisher.end(&ready, &rest);
        while let Some(pending) = publisher.due() {
            progress.during(PUBLISH_LIMIT, self.publish_patiently(at, pending)).await?;
            publisher.mark_published();
        }
        let (frames, resumed, compute) = (publisher.frames(), publisher.resumed(), begun.elapsed());
        Ok(GeneratedAudio { audio, frames, resumed, sentences, finish, first_audio, compute })
    }

    /// Plans the job for the engine; `clips` are the recordings of its context.
    fn attempt_plan(&self, spec: &JobSpec, clips: Vec<Clip>) -> Result<AttemptPlan, PromptError> {
        let mut plan = SpeechPlan::new(&self.tokenizer, spec)?;
        let segments = std::mem::take(&mut plan.context_ids).into_iter().zip(clips);
        Ok(AttemptPlan {
            context: segments
                .map(|(text_ids, clip)| PromptSegment { text_ids, audio: SegmentAudio::Clip(clip) })
                .collect(),
            plan,
            sampling: spec.sampling,
            budget: spec.budget.frames(),
            positions: self.engine.info().max_positions,
            resumed_frames: Vec::new(),
        })
    }

    /// Writes one event. Returns false if it may not be in the stream: the failure is logged, and
    /// the event is kept and written again before the next.
    async fn try_publish(&self, at: &LeaseRef, pending: &PendingEvent) -> bool {
        let written = self.publish(at, pending).await;
        if let Err(error) = &written {
            tracing::debug!(job = %at.id, error = %error, "cannot publish event");
        }
        written.is_ok()
    }

    /// Writes one event that followers cannot do without; retries it if Redis is away.
    async fn publish_patiently(&self, at: &LeaseRef, pending: &PendingEvent) -> Result<(), RedisFault> {
        self.live.patiently(|| self.publish(at, pending)).await
    }

    async fn publish(&self, at: &LeaseRef, pending: &PendingEvent) -> Result<(), RedisFault> {
        let id = EventId { attempt: at.attempt, sequence: pending.sequence };
        self.live.publish_with(&at.id, id, &pending.event, pending.codes.as_ref()).await
    }

    /// Returns the frames of earlier attempts, as far as this engine would generate the same, and
    /// how many samples they sent. If they cannot be read, the job starts over. A job with live
    /// delivery fails instead, because the samples already sent are unknown.
    async fn resume_point(&self, at: &LeaseRef, origin: Origin, live: bool) -> Result<ResumePoint, RedisFault> {
        if at.attempt <= 1 {
            return Ok(ResumePoint::default());
        }
        let read = || self.live.resume_point(&at.id, origin);
        match if live { self.live.patiently(read).await } else { read().await } {
            Ok(resume_point) => {
                let (frames, published) = (resume_point.len(), resume_point.published());
                tracing::info!(frames, published, "resuming attempt from resume point");
                Ok(resume_point)
            }
            Err(error) if live => Err(error),
            Err(error) => {
                tracing::warn!(error = %error, "cannot read resume point, restarting job");
                Ok(ResumePoint::default())
            }
        }
    }
}

/// Returns the origin of a job's codes: a digest of all that decides them beside the job itself.
/// Its parts are the identity of the build, the engine, and the plan of the text.
fn origin(info: &ModelInfo, plan: &SpeechPlan) -> Origin {
    let plan = format!("{plan:?}");
    Origin::of(&[IDENTITY, &info.weights_sha256, &info.dtype, &info.kernels, &plan])
}
