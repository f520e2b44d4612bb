//! A single attempt from prompt to stored file: frames from the engine, joined
//! ([`sentence_stream`]) and marked as they come, encoded, stored. The returned receipt is not yet
//! a result: the runner commits.
//!
//! The codes go out with the progress events ([`progress`]). A later attempt at the job reads them
//! and hands them to the engine, which resumes behind them. The audio is that of an undisturbed
//! run, bit for bit. If the delivery is live, the marked samples go out with the same events. A later
//! attempt sends only the samples that no earlier attempt has sent.
//!
//! A sentence whose audio has a fault is spoken again ([`take_check`]), and so is one that its caller
//! wants again after the end ([`edits`]).

mod attempt_error;
mod attempt_progress;
mod context_window;
mod current_sentence;
mod edits;
mod join;
mod loudness;
mod origin;
mod progress;
mod recordings;
mod sentence_stream;
mod speech_engine;
mod stored_object;
mod take_check;
#[cfg(test)]
mod tests;
mod times;
mod voices;
mod warnings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use csm_queue::live::{Event, EventId, Live, Origin, ResumePoint};
use csm_queue::queue::LeaseRef;
use csm_queue::redis_client::RedisFault;
use csm_shared::audio::{Clip, Frame, SAMPLE_RATE};
use csm_shared::job::{FinishReason, JobSpec, Receipt, ReceiptWarning, SentenceReceipt, WarningCode};
use csm_shared::process::telemetry;
use csm_shared::process::traces::TraceContext;
use csm_shared::prompt::{PromptTokenizer, SpeechPlan};
use csm_shared::store::Store;

use tracing::{Instrument as _, info_span};

use crate::encode::{AudioEncoder, EncodeError};
use crate::health::{Breaker, KEEP_MAX, PartError, SharedFault, SharedPart};
use crate::marks::{Finished, Marked, Marker};
use crate::sink::{self, Stored};
use crate::stretch::TimeStretch;
use csm_engine::engine::{Engine, PromptSegment, SegmentAudio};

pub use attempt_error::{AttemptError, Blame};
pub use attempt_progress::AttemptProgress;
pub use edits::EditError;
use origin::origin;
pub use progress::PublishPace;
use progress::{PendingEvent, ProgressPublisher};
pub use recordings::RecordingError;
use sentence_stream::{AttemptPlan, Ending, SentenceStream};
pub use stored_object::ObjectError;
use take_check::TakeCheck;
pub use take_check::TakeLimits;
use times::{stretch_times, turns};
pub use voices::{VoiceError, Voices};

/// Longest time to publish an event, or to read the resume point.
const PUBLISH_LIMIT: Duration = Duration::from_secs(30);
/// Longest time to encode and store finished audio: either may have to wait for a shared part.
const DELIVERY_LIMIT: Duration = KEEP_MAX.saturating_mul(2).saturating_add(Duration::from_secs(600));
/// Longest time to read the recordings of the context, which may have to wait for the store.
const FETCH_LIMIT: Duration = KEEP_MAX.saturating_add(Duration::from_secs(600));
/// Longest time to find out what a failure is to be blamed on: a self-test of the marks.
const BLAME_LIMIT: Duration = Duration::from_secs(120);
/// Failed signatures by a signer that passes its self-test, after which the file is at fault.
const SIGNATURES_MAX: u32 = 3;

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
    /// Breaker of the parts that all attempts share.
    pub breaker: Breaker,
    /// Prompts of the shipped voices.
    pub voices: Voices,
    /// Limits that the audio of a sentence must keep, or be spoken again.
    pub take_limits: TakeLimits,
    /// Pace at which the codes of a running job are published.
    pub publish_pace: PublishPace,
    /// Live channel to the followers of a job; `None` in a process without Redis, in which nothing is
    /// published, and nothing resumed.
    pub live: Option<Live>,
    /// Id of this worker, for the receipt.
    pub worker: String,
}

/// Audio of one attempt, and the figures for its receipt.
struct GeneratedAudio {
    audio: Finished,
    frames: u32,
    resumed: u32,
    sentences: Vec<SentenceReceipt>,
    /// Codes of each sentence.
    codes: Vec<Vec<Frame>>,
    warnings: Vec<ReceiptWarning>,
    finish: FinishReason,
    first_audio: Option<Duration>,
    compute: Duration,
}

impl AttemptContext {
    /// Makes an attempt, and finds out what its failure is to be blamed on.
    pub async fn attempt_or_blame(
        &self,
        at: &LeaseRef,
        spec: &JobSpec,
        waited: Duration,
        progress: &AttemptProgress,
    ) -> Result<Receipt, Blame> {
        match Box::pin(self.attempt(at, spec, waited, progress)).await {
            Ok(receipt) => Ok(receipt),
            Err(error) => {
                let finding = attempt_error::blame(&error, &self.marker, &self.breaker);
                let blame = progress.during(BLAME_LIMIT, finding).await;
                tracing::error!(error = %error, ?blame, "attempt failed");
                Err(blame)
            }
        }
    }

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
        let publishing = info_span!("publish");
        if spec.delivery.is_live() && at.attempt > 1 {
            // Publishing this event fences off earlier attempts: from here on they cannot send
            // samples.
            progress.during(PUBLISH_LIMIT, self.publish_patiently(at, &started)).await?;
        } else {
            progress.during(PUBLISH_LIMIT, self.try_publish(at, &started)).await;
        }
        drop(publishing);
        let mut generated = self.generate(at, spec, progress).await?;
        metrics::histogram!(telemetry::QUEUE_WAIT_SECONDS).record(waited.as_secs_f64());
        if let Some(first) = generated.first_audio {
            metrics::histogram!(telemetry::FIRST_AUDIO_SECONDS).record(first.as_secs_f64());
        }
        let audio = generated.audio;
        let time_limit = audio.time_limit();
        let marking = tokio::task::spawn_blocking(move || audio.complete());
        let marking = marking.instrument(info_span!("watermark"));
        let (whole, watermarks) = progress.during(time_limit, marking).await??;
        let samples = whole.samples().len() as u64;
        loudness::log(whole.samples());
        let stored =
            Box::pin(progress.during(DELIVERY_LIMIT, self.deliver(at, spec, Arc::new(whole), progress))).await?;
        let codes = std::mem::take(&mut generated.codes);
        let keeping = Box::pin(self.keep_speech(at, spec, &generated.sentences, codes));
        let editable_until = progress.during(PUBLISH_LIMIT, keeping).await;
        if spec.editing.is_on() && editable_until.is_none() {
            generated.warnings.push(ReceiptWarning { code: WarningCode::NotEditable, sentences: Vec::new() });
        }
        let audio_seconds = samples as f64 / f64::from(SAMPLE_RATE);
        // Most frames of an edit are decoded only.
        let rtf =
            (samples > 0 && spec.editing.edit().is_none()).then(|| generated.compute.as_secs_f64() / audio_seconds);
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
            voice: spec.voice,
            speed: (!spec.speed.is_original()).then_some(spec.speed.get()),
            samples,
            duration_ms: samples * 1_000 / u64::from(SAMPLE_RATE),
            finish_reason: generated.finish,
            warnings: generated.warnings,
            queue_ms: waited.as_millis() as u64,
            compute_ms: generated.compute.as_millis() as u64,
            first_audio_ms: generated.first_audio.map(|first| first.as_millis() as u64),
            rtf,
            bytes: stored.bytes,
            sha256: stored.sha256,
            format: spec.format,
            watermarks,
            location: stored.key.to_string(),
            turns: turns(spec, &generated.sentences),
            sentences: generated.sentences,
            editable_until,
            trace_id: spec.trace.as_ref().map(TraceContext::trace_id),
        })
    }

    /// Encodes the finished audio and stores the file. While the signer or the store is out of
    /// order, the audio is kept in memory: one recording for each slot.
    async fn deliver(
        &self,
        at: &LeaseRef,
        spec: &JobSpec,
        whole: Arc<Marked>,
        progress: &AttemptProgress,
    ) -> Result<Stored, AttemptError> {
        let encode = |trial| {
            progress.note_trial(trial);
            let (encoder, whole, format) = (self.encoder.clone(), Arc::clone(&whole), spec.format);
            async move {
                let encoding = tokio::task::spawn_blocking(move || encoder.encode(&whole, format));
                match encoding.await.map_err(|panicked| PartError::Own(AttemptError::Join(panicked)))? {
                    Err(EncodeError::Provenance(error)) if trial < SIGNATURES_MAX => {
                        Err(PartError::Shared(SharedFault::new(SharedPart::Signer, &error)))
                    }
                    encoded => encoded.map_err(|error| PartError::Own(AttemptError::from(error))),
                }
            }
        };
        let file = Bytes::from(self.breaker.outlast(encode).instrument(info_span!("encode")).await?);
        drop(whole);
        let put = |trial| {
            progress.note_trial(trial);
            sink::put(&self.store, at, spec, file.clone(), trial)
        };
        Ok(self.breaker.outlast(put).instrument(info_span!("upload")).await?)
    }

    /// Generates the audio of the job and marks it.
    async fn generate(
        &self,
        at: &LeaseRef,
        spec: &JobSpec,
        progress: &AttemptProgress,
    ) -> Result<GeneratedAudio, AttemptError> {
        let begun = Instant::now();
        let fetch = |trial| {
            progress.note_trial(trial);
            recordings::fetch(&self.store, &spec.context, trial)
        };
        let clips = progress.during(FETCH_LIMIT, self.breaker.outlast(fetch)).instrument(info_span!("fetch")).await?;
        let mut plan = Box::pin(self.attempt_plan(spec, clips, progress)).instrument(info_span!("plan")).await?;
        // Each step before the first frame is progress, too: a slow machine is not a stuck one.
        progress.advance();
        if let Some(edit) = spec.editing.edit() {
            plan.edit = Some(Box::pin(self.edit(edit, &plan.plan, progress)).await?);
        }
        let origin = origin(self.engine.info(), &plan.plan);
        let live = spec.delivery.is_live();
        let before = progress.during(PUBLISH_LIMIT, self.resume_point(at, origin, live)).await?;
        progress.advance();
        let mut publisher =
            ProgressPublisher::new(origin, self.publish_pace, spec.budget.frames(), live.then_some(before.published()));
        plan.resumed = before.into_sentences();
        let mut stream = SentenceStream::new(&self.engine, plan);
        let mut marking = self.marker.begin(&at.id);
        let mut stretch = TimeStretch::new(spec.speed.get());
        let mut first_audio = None;
        let speaking = async {
            while let Some(frame) = stream.next().await? {
                progress.advance();
                publisher.push(&frame, &marking.push(&stretch.push(&frame.pcm))?);
                first_audio.get_or_insert_with(|| begun.elapsed());
                while let Some(pending) = publisher.due() {
                    if !progress.during(PUBLISH_LIMIT, self.try_publish(at, pending)).await {
                        publisher.defer();
                        break;
                    }
                    publisher.mark_published();
                }
            }
            Ok::<_, AttemptError>(())
        };
        Box::pin(speaking).instrument(info_span!("speak")).await?;
        let publishing = info_span!("publish");
        let Ending { pcm, mut sentences, codes, warnings, finish } = stream.finish();
        stretch_times(&mut sentences, spec.speed);
        // The mark does not survive a stretch, so the stretched samples are marked.
        let mut last = stretch.push(&pcm);
        last.append(&mut stretch.finish());
        let ready = marking.push(&last)?;
        let (rest, audio) = marking.finish();
        publisher.end(&ready, &rest);
        while let Some(pending) = publisher.due() {
            progress.during(PUBLISH_LIMIT, self.publish_patiently(at, pending)).await?;
            publisher.mark_published();
        }
        drop(publishing);
        let (frames, resumed, compute) = (publisher.frames(), publisher.resumed(), begun.elapsed());
        Ok(GeneratedAudio { audio, frames, resumed, sentences, codes, warnings, finish, first_audio, compute })
    }

    /// Plans the job for the engine; `clips` are the recordings of its context.
    async fn attempt_plan(
        &self,
        spec: &JobSpec,
        clips: Vec<Clip>,
        progress: &AttemptProgress,
    ) -> Result<AttemptPlan, AttemptError> {
        let prompted = self.voices.prompted(spec);
        let mut plan = SpeechPlan::new(&self.tokenizer, &prompted)?;
        let mut context_ids = std::mem::take(&mut plan.context_ids).into_iter();
        let mut context = Vec::new();
        for voice in prompted.prompted_voices() {
            let Some(text_ids) = context_ids.next() else { break };
            let prompt = |trial| {
                progress.note_trial(trial);
                self.voices.prompt(voice, &self.engine, &self.store, &text_ids)
            };
            let frames = Box::pin(progress.during(FETCH_LIMIT, self.breaker.outlast(prompt))).await?;
            context.push(voices::segment(text_ids, frames));
        }
        let clips = context_ids.zip(clips);
        context.extend(clips.map(|(text_ids, clip)| PromptSegment { text_ids, audio: SegmentAudio::Clip(clip) }));
        Ok(AttemptPlan {
            context,
            plan,
            sampling: spec.sampling,
            budget: spec.budget.frames(),
            positions: self.engine.info().max_positions,
            speakers_apart: self.voices.are_speakers(),
            take_check: self.take_check(),
            live: spec.delivery.is_live(),
            resumed: Vec::new(),
            edit: None,
        })
    }

    /// Returns the check of takes.
    fn take_check(&self) -> TakeCheck {
        if self.engine.info().noise_only { TakeCheck::Emptiness } else { TakeCheck::Limits(self.take_limits) }
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
        let Some(live) = &self.live else { return Ok(()) };
        live.patiently(|| self.publish(at, pending)).await
    }

    async fn publish(&self, at: &LeaseRef, pending: &PendingEvent) -> Result<(), RedisFault> {
        let Some(live) = &self.live else { return Ok(()) };
        let id = EventId { attempt: at.attempt, sequence: pending.sequence };
        live.publish_with(&at.id, id, &pending.event, pending.codes.as_ref()).await
    }

    /// Returns the frames of earlier attempts, as far as this engine would generate the same, and
    /// how many samples they sent. If they cannot be read, the job starts over. A job with live
    /// delivery fails instead, because the samples already sent are unknown.
    async fn resume_point(&self, at: &LeaseRef, origin: Origin, is_live: bool) -> Result<ResumePoint, RedisFault> {
        let Some(live) = self.live.as_ref().filter(|_| at.attempt > 1) else { return Ok(ResumePoint::default()) };
        let read = || live.resume_point(&at.id, origin);
        match if is_live { live.patiently(read).await } else { read().await } {
            Ok(resume_point) => {
                let (frames, published) = (resume_point.len(), resume_point.published());
                tracing::info!(frames, published, "resuming attempt from resume point");
                Ok(resume_point)
            }
            Err(error) if is_live => Err(error),
            Err(error) => {
                tracing::warn!(error = %error, "cannot read resume point, restarting job");
                Ok(ResumePoint::default())
            }
        }
    }
}
