//! The engine: it takes prompts and returns bounded streams of audio frames. Its interface shows no
//! tensors.
//!
//! The OS thread `csm-engine` owns the model from loading to the end; every other part holds an
//! [`Engine`] handle. An utterance takes one of a few slots. Each step makes one frame for all
//! slots that can make one, in one batch. Prompts are fed in blocks between two steps. The thread
//! `csm-codec` decodes frames to audio while the model makes the next ones. The thread `csm-encode`
//! turns context recordings into codes. The result of an utterance depends on its prompt and
//! sampling alone, not on its slot, its neighbours or earlier utterances.
//!
//! Reading order: first the path of an utterance ([`prefill`], [`active_utterance`]) and the choice
//! of the next work ([`slots`], [`schedule`]). The loop follows ([`engine_thread`]), with the
//! threads beside it ([`decoder_thread`], [`encoder_thread`]) and the output ([`frame_stream`]).
//! Last come the cache ([`prefix_cache`]), the runaway guard ([`guard`]) and the counters
//! ([`meter`], [`progress_counter`]).
//!
//! # Resuming
//! An utterance may carry frames that an earlier attempt made ([`Utterance::resumed_frames`]). The
//! model makes the first of these frames again. The comparison shows whether the model would repeat
//! the others, and whether the earlier attempt was a second try. The model then reads the other
//! frames in blocks like a prompt, without drawing codes. Codec, guard and budget treat all resumed
//! frames as if this attempt had made them. The stream is bit for bit that of an undisturbed run,
//! and the resumed part comes faster.
//!
//! # Endings
//! The model ends an utterance with its end frame ([`FinishReason::Eos`]). If the end frame comes
//! first, the engine retries once with other draws. The result is empty audio if the second try
//! ends at once too, or if nothing is drawn (temperature 0). Otherwise the utterance is cut at its
//! budget ([`FinishReason::Length`]) or by the [`guard`] ([`FinishReason::Runaway`]).
//!
//! The engine ends if the model or the codec fails or panics, if logits are not numbers, or if the
//! device has no memory left. Every stream then reports the error, and [`Engine::closed`] resolves.
//! The process is expected to hand back its jobs and exit.

mod device;
mod load;

mod engine_command;
mod error;
mod utterance;

mod active_utterance;
mod prefill;

mod schedule;
mod slots;

mod backend;
mod decoder_thread;
mod encoder_thread;
mod engine_thread;
mod frame_stream;
mod side_thread;

mod guard;
mod meter;
mod prefix_cache;
mod progress_counter;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

pub use csm_shared::job::FinishReason;
pub use device::DeviceChoice;
pub use engine_command::{AudioFrame, FRAMES_AHEAD, MAX_SLOTS};
pub use error::EngineError;
pub use frame_stream::FrameStream;
pub use load::{LoadStage, ModelInfo};
pub use meter::EngineStats;
pub use progress_counter::ProgressCounter;
pub use utterance::{PromptSegment, SegmentAudio, Utterance};

use crate::model::WeightChoice;
use backend::{EngineParts, SpeechModel};
use engine_command::{Admission, COMMANDS, EngineCapacity, EngineCommand};
use frame_stream::EngineLink;
use meter::Meter;

/// Configuration of an engine: the model to load and the device.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Local folder of the model's files.
    pub folder: PathBuf,
    /// The model's name in logs and receipts.
    pub model: String,
    /// Device that runs the model.
    pub device: DeviceChoice,
    /// Utterances generated at a time, 1 to [`MAX_SLOTS`].
    pub slots: usize,
    /// Number format of the model's matrices in memory.
    pub weights: WeightChoice,
    /// Threads of the CPU's kernels; `None` means all threads of the machine.
    pub threads: Option<usize>,
    /// Limit of the prefix cache, in bytes of keys and values; 0 switches the cache off.
    pub prefix_cache_bytes: u64,
}

/// Handle of a ready engine. Dropping the last handle ends all streams and joins the threads. The
/// drop blocks until the step and the recording under way are done and the existing frames are
/// decoded.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    info: ModelInfo,
    closed: watch::Receiver<Option<EngineError>>,
    tell_closed: watch::Sender<Option<EngineError>>,
    given_up: AtomicBool,
    meter: Arc<Meter>,
    /// Sender of commands; `None` only during the drop.
    commands: Option<mpsc::Sender<EngineCommand>>,
    /// Thread to join; `None` only during the drop.
    thread: Option<JoinHandle<()>>,
}

/// An engine that is still loading.
pub struct Loading {
    stage: watch::Receiver<LoadStage>,
    info: oneshot::Receiver<ModelInfo>,
    closed: watch::Receiver<Option<EngineError>>,
    tell_closed: watch::Sender<Option<EngineError>>,
    meter: Arc<Meter>,
    commands: mpsc::Sender<EngineCommand>,
    thread: JoinHandle<()>,
}

impl Loading {
    /// Returns a watch of the load stage, which changes until [`LoadStage::Ready`].
    #[must_use]
    pub fn stage(&self) -> watch::Receiver<LoadStage> {
        self.stage.clone()
    }

    /// Waits until the model is loaded and has finished its warm-up utterance.
    ///
    /// If a `Loading` is dropped instead, its thread ends by itself once the model is loaded.
    ///
    /// # Errors
    /// [`EngineError::Start`] with the reason.
    pub async fn ready(mut self) -> Result<Engine, EngineError> {
        let Ok(info) = self.info.await else {
            return Err(frame_stream::reason(&mut self.closed).await);
        };
        let Self { closed, tell_closed, meter, commands, thread, .. } = self;
        let (given_up, commands, thread) = (AtomicBool::new(false), Some(commands), Some(thread));
        Ok(Engine { inner: Arc::new(Inner { info, closed, tell_closed, given_up, meter, commands, thread }) })
    }
}

impl Engine {
    /// Starts the thread, which loads and warms up the model.
    ///
    /// # Errors
    /// [`EngineError::Start`] if the number of slots is not 1 to [`MAX_SLOTS`], or if the system
    /// gives no thread. [`Loading::ready`] reports later failures.
    pub fn start(config: EngineConfig) -> Result<Loading, EngineError> {
        let capacity = EngineCapacity { slots: config.slots, prefix_cache_bytes: config.prefix_cache_bytes };
        Self::spawn(capacity, move |stage| load::load(&config, stage))
    }

    /// Starts the engine's thread, which calls `load` to make the model. [`Engine::start`] uses it
    /// for the real model.
    fn spawn<M, L>(capacity: EngineCapacity, load: L) -> Result<Loading, EngineError>
    where
        M: SpeechModel,
        L: FnOnce(&watch::Sender<LoadStage>) -> Result<(EngineParts<M>, ModelInfo), EngineError> + Send + 'static,
    {
        let slots = capacity.slots;
        if !(1..=MAX_SLOTS).contains(&slots) {
            return Err(EngineError::Start(format!("{slots} slots, while 1 to {MAX_SLOTS} are possible")));
        }
        let (commands, received) = mpsc::channel(COMMANDS);
        let (report, stage) = watch::channel(LoadStage::Weights { done: 0, total: 0 });
        let (tell_info, info) = oneshot::channel();
        let (tell_closed, closed) = watch::channel(None);
        let tell = tell_closed.clone();
        let meter = Arc::new(Meter::new());
        let (wake, counted) = (commands.downgrade(), Arc::clone(&meter));
        let body = move || {
            let ended = side_thread::guarded(|| {
                let (parts, info) = load(&report)?;
                report.send_replace(LoadStage::Ready);
                // A dropped receiver means that the command sender is dropped too, which `serve`
                // notices.
                let _ = tell_info.send(info);
                engine_thread::serve(parts, capacity, received, wake, counted)
            });
            if ended != EngineError::Closed {
                tracing::error!(error = %ended, "engine stopped");
            }
            end(&tell, ended);
        };
        let thread = std::thread::Builder::new()
            .name("csm-engine".to_owned())
            .spawn(body)
            .map_err(|error| EngineError::Start(error.to_string()))?;
        Ok(Loading { stage, info, closed, tell_closed, meter, commands, thread })
    }

    /// Takes a slot for `utterance`, or fails at once if none is free. The call waits for the step
    /// under way at most.
    ///
    /// The slot of a stream that was dropped before this call counts as free.
    ///
    /// # Errors
    /// [`EngineError::NoFreeSlot`], [`EngineError::Refused`], or the reason why the engine has
    /// ended.
    pub async fn admit(&self, utterance: Utterance) -> Result<FrameStream, EngineError> {
        let link = self.link();
        let Some(commands) = &self.inner.commands else {
            return Err(EngineError::Closed);
        };
        let (reply, answer) = oneshot::channel();
        let admission = Admission { utterance, span: tracing::Span::current(), reply };
        if commands.send(EngineCommand::Admit(Box::new(admission))).await.is_err() {
            return Err(self.closed().await);
        }
        match answer.await {
            Ok(answer) => answer.map(|ends| FrameStream::new(ends, link)),
            Err(_) => Err(self.closed().await),
        }
    }

    /// Returns the facts about the loaded model.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.inner.info
    }

    /// Returns the counts since the last call, or since the engine became ready.
    #[must_use]
    pub fn take_stats(&self) -> EngineStats {
        self.inner.meter.take()
    }

    /// Returns a number that grows with every step, prefill block, encoded recording and decoded
    /// block. During the encoding of a recording the number also grows, for up to the recording's
    /// duration (at least 10 s). The number tells a stuck model from a slow one: a stuck engine
    /// leaves it unchanged while an utterance waits for a frame.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.inner.meter.progress().read()
    }

    /// Gives up the engine as stuck: [`Engine::closed`] resolves, and dropping the last handle does
    /// not join the threads. The process is expected to exit.
    pub fn give_up(&self) {
        self.inner.given_up.store(true, Ordering::Relaxed);
        end(&self.inner.tell_closed, EngineError::Stuck);
    }

    /// Resolves with the reason when the engine has ended by itself or was given up. Until then
    /// every slot works.
    pub async fn closed(&self) -> EngineError {
        frame_stream::reason(&mut self.inner.closed.clone()).await
    }

    fn link(&self) -> EngineLink {
        let commands = self.inner.commands.as_ref().map(mpsc::Sender::downgrade);
        EngineLink { commands, closed: self.inner.closed.clone() }
    }
}

/// Publishes the reason why an engine has ended; the first reason stays.
fn end(closed: &watch::Sender<Option<EngineError>>, why: EngineError) {
    closed.send_if_modified(|told| {
        let first = told.is_none();
        told.get_or_insert(why);
        first
    });
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without a sender the thread ends after the step under way.
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && !self.given_up.load(Ordering::Relaxed)
            && thread.join().is_err()
        {
            tracing::error!("engine thread panicked outside its guard");
        }
    }
}
