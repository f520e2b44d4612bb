//! The engine: prompts go in, bounded streams of spoken frames come out. No tensor shows in its face.
//!
//! One OS thread, `csm-engine`, owns the model from loading to the end; everything else holds an [`Engine`] handle. An
//! utterance takes one of a few slots. All slots that can make a frame make it in one batched step; prompts are fed in
//! pieces between two steps. Beside that thread `csm-codec` turns frames into sound while the next ones are made, and
//! `csm-encode` turns context recordings into codes. An utterance's result depends on its prompt and sampling alone, not
//! on its slot, on who speaks beside it, or on what was spoken before.
//!
//! Reading order: an utterance on its way through ([`prefill`], [`active_utterance`]), the choice of the
//! next work ([`slots`], [`schedule`]), the loop ([`engine_thread`]) and the threads beside it
//! ([`decoder_thread`], [`encoder_thread`]), the way out ([`frame_stream`]); then the cache
//! ([`prefix_cache`]), the end of a runaway ([`guard`]), and the counters ([`meter`], [`progress_counter`]).
//!
//! # Resuming
//! An utterance may come with the frames that an earlier attempt at it made ([`Utterance::resumed_frames`]). The model makes the
//! first one again, which shows whether it would say the same, and whether there was a second try; it then reads the others
//! in pieces like a prompt, without drawing a code. Codec, guard and budget take all of them as if they were made here. So
//! the stream is bit for bit that of an undisturbed run, and most of it comes faster.
//!
//! # Endings
//! The model ends an utterance by its end frame ([`FinishReason::Eos`]); an end frame before any other is answered by one
//! second try with other draws, and if that ends at once too, or there are no draws (temperature 0), the result is empty
//! audio. Otherwise it is cut at its budget ([`FinishReason::Length`]), or by the [`guard`] ([`FinishReason::Runaway`]).
//!
//! An error or a panic in the model or codec, logits that are no numbers, or a device without memory end the engine: every
//! stream then says so, [`Engine::closed`] resolves, and the process is expected to hand its jobs back and leave.

mod device;
mod load;

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

use csm_shared::audio::{Clip, Frame};
use csm_shared::job::Sampling;
use tokio::sync::{mpsc, oneshot, watch};

pub use csm_shared::job::FinishReason;
pub use device::DeviceChoice;
pub use frame_stream::{AudioFrame, FRAMES_AHEAD, FrameStream};
pub use load::{LoadStage, ModelInfo};
pub use meter::EngineStats;
pub use progress_counter::ProgressCounter;

use crate::model::WeightChoice;
use backend::{EngineParts, SpeechModel};
use engine_thread::{Admission, EngineCommand};
use frame_stream::EngineLink;
use meter::Meter;

/// Slots that one engine may have.
pub const MAX_SLOTS: usize = 32;
/// Commands that may wait for the thread. It takes all of them between two steps, so a sender waits for one step at most.
const COMMANDS: usize = 64;

/// What to load and where.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Local checkpoint folder.
    pub folder: PathBuf,
    /// The model's name in logs and receipts.
    pub model: String,
    /// Where to run it.
    pub device: DeviceChoice,
    /// Utterances spoken at a time, 1 to [`MAX_SLOTS`].
    pub slots: usize,
    /// What the model's matrices are held in.
    pub weights: WeightChoice,
    /// Threads of the CPU's kernels; as many as the machine has where it does not say.
    pub threads: Option<usize>,
    /// Bytes of keys and values that are kept of contexts; 0 keeps none.
    pub prefix_cache_bytes: u64,
}

/// How a turn was spoken.
#[derive(Debug, Clone, PartialEq)]
pub enum SegmentAudio {
    /// A recording, to be encoded.
    Clip(Clip),
    /// The codes of frames that this model made itself, without the end frame.
    Codes(Vec<Frame>),
}

impl SegmentAudio {
    /// Frames of 80 ms, the last one possibly in part.
    #[must_use]
    pub fn frames(&self) -> usize {
        match self {
            Self::Clip(clip) => clip.frames(),
            Self::Codes(frames) => frames.len(),
        }
    }
}

/// A turn spoken before: its text and its recording.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptSegment {
    /// Ids of `[speaker]text`, made by `csm_shared::prompt`.
    pub text_ids: Vec<u32>,
    /// How it was spoken.
    pub audio: SegmentAudio,
}

/// One thing to say.
#[derive(Debug, Clone)]
pub struct Utterance {
    /// Earlier turns, oldest first.
    pub context: Vec<PromptSegment>,
    /// Turns at the beginning of the context that later utterances may begin with too; more than there are means all. What
    /// the model makes of the others is not kept, since it would only take the place of what is asked for again.
    pub recurring: usize,
    /// Ids of the text to speak, made by `csm_shared::prompt`.
    pub text_ids: Vec<u32>,
    /// How codes are drawn.
    pub sampling: Sampling,
    /// Frames of 80 ms after which the speech is cut, at least 1. Prompt and frames share the model's window.
    pub max_frames: u32,
    /// Draw index of the first frame. It is 0, unless earlier utterances of one job have used up draws of the same seed.
    pub first_frame: u32,
    /// Frames that an earlier attempt at this very utterance made, from the first one on; the stream begins with them. They
    /// are dropped where the model, asked for the first frame, makes another one.
    pub resumed_frames: Vec<Frame>,
}

/// Why an utterance was not spoken, or why the engine is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Every slot is taken; try again when one is free.
    #[error("every slot is taken")]
    NoFreeSlot,
    /// This utterance can never be spoken by this model; the engine is well.
    #[error("the utterance cannot be spoken: {0}")]
    Refused(String),
    /// The engine could not be started.
    #[error("the engine cannot start: {0}")]
    Start(String),
    /// The model or the device failed while speaking; the engine has ended.
    #[error("the model failed: {0}")]
    Model(String),
    /// The engine's thread panicked; the engine has ended.
    #[error("the engine panicked: {0}")]
    Panicked(String),
    /// The engine showed no sign of life and was given up.
    #[error("the engine is stuck")]
    Stuck,
    /// The last handle was dropped; the engine has ended.
    #[error("the engine was closed")]
    Closed,
}

impl EngineError {
    /// Whether the utterance is at fault, so that no engine will ever speak it.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// What an engine has room for.
#[derive(Debug, Clone, Copy)]
struct EngineCapacity {
    slots: usize,
    prefix_cache_bytes: u64,
}

/// A handle on a ready engine. Dropping the last one ends all streams and joins the threads, which blocks for the step and
/// the recording that are under way, and for the sound of the frames that are made.
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
    /// `Some` until dropped.
    commands: Option<mpsc::Sender<EngineCommand>>,
    /// `Some` until dropped.
    thread: Option<JoinHandle<()>>,
}

/// An engine on its way to being ready.
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
    /// How far loading has come; changes until [`LoadStage::Ready`].
    #[must_use]
    pub fn stage(&self) -> watch::Receiver<LoadStage> {
        self.stage.clone()
    }

    /// Waits until the model is loaded and has spoken its warm-up utterance.
    ///
    /// A `Loading` that is dropped instead lets its thread end by itself, once the model is loaded.
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
    /// [`EngineError::Start`] if the number of slots is not 1 to [`MAX_SLOTS`] or the system gives no thread. What fails
    /// later is said by [`Loading::ready`].
    pub fn start(config: EngineConfig) -> Result<Loading, EngineError> {
        let capacity = EngineCapacity { slots: config.slots, prefix_cache_bytes: config.prefix_cache_bytes };
        Self::spawn(capacity, move |stage| load::load(&config, stage))
    }

    /// [`Engine::start`] over whatever `load` makes on the engine's own thread.
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
                // Whoever no longer waits has dropped the commands too, which `serve` sees.
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

    /// Takes a slot for `utterance`, or says at once that none is free. Waits for the step that is under way, no more.
    ///
    /// The slot of a stream that was dropped before this call counts as free.
    ///
    /// # Errors
    /// [`EngineError::NoFreeSlot`], [`EngineError::Refused`], or why the engine has ended.
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

    /// What was loaded, and where.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.inner.info
    }

    /// What was done since the last call, or since the engine was ready.
    #[must_use]
    pub fn take_stats(&self) -> EngineStats {
        self.inner.meter.take()
    }

    /// A number that grows with every step, piece of a prompt, encoded recording and decoded block, and while a recording is
    /// being encoded, up to the time that it lasts itself. One that stays the same while an utterance waits for its next
    /// frame is how a stuck model is told from a slow one.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.inner.meter.progress().read()
    }

    /// Gives the engine up as stuck: [`Engine::closed`] resolves, and the threads are not waited for when the last handle is
    /// dropped. The process is expected to leave.
    pub fn give_up(&self) {
        self.inner.given_up.store(true, Ordering::Relaxed);
        end(&self.inner.tell_closed, EngineError::Stuck);
    }

    /// Resolves when the engine has ended by itself or was given up, with the reason. Until then every slot works.
    pub async fn closed(&self) -> EngineError {
        frame_stream::reason(&mut self.inner.closed.clone()).await
    }

    fn link(&self) -> EngineLink {
        let commands = self.inner.commands.as_ref().map(mpsc::Sender::downgrade);
        EngineLink { commands, closed: self.inner.closed.clone() }
    }
}

/// Tells why an engine is no more; the first reason stays.
fn end(closed: &watch::Sender<Option<EngineError>>, why: EngineError) {
    closed.send_if_modified(|told| {
        let first = told.is_none();
        told.get_or_insert(why);
        first
    });
}

impl Drop for Inner {
    fn drop(&mut self) {
        // With no sender left the thread ends after the step under way.
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && !self.given_up.load(Ordering::Relaxed)
            && thread.join().is_err()
        {
            tracing::error!("engine thread panicked outside its guard");
        }
    }
}
