//! The engine: prompts go in, bounded streams of spoken frames come out. No tensor shows in its face.
//!
//! One OS thread, `csm-engine`, owns the device, the model and the codec from loading to the end; everything else holds
//! an [`Engine`] handle. An utterance takes one of a few slots and advances in turn with the others, one frame each; its
//! result depends on its prompt and sampling alone. An error or a panic in the model ends the thread: every stream then
//! says so, [`Engine::closed`] resolves, and the process is expected to hand its jobs back and leave.

mod device;
mod load;
mod prompt;
mod schedule;
mod slots;
mod speech;
mod stream;
mod thread;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use csm_shared::audio::Clip;
use csm_shared::job::Sampling;
use tokio::sync::{mpsc, oneshot, watch};

pub use csm_shared::job::FinishReason;
pub use device::DeviceChoice;
pub use load::{LoadStage, ModelInfo};
pub use stream::{FRAMES_AHEAD, FrameStream, SpokenFrame};

use speech::SpeechModel;
use stream::Link;
use thread::{Admission, Command};

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
}

/// A turn spoken before: its text and its recording.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Ids of `[speaker]text`, made by `csm_shared::prompt`.
    pub text_ids: Vec<u32>,
    /// How it was spoken.
    pub clip: Clip,
}

/// One thing to say.
#[derive(Debug, Clone)]
pub struct Utterance {
    /// Earlier turns, oldest first.
    pub context: Vec<Segment>,
    /// Ids of the text to speak, made by `csm_shared::prompt`.
    pub text_ids: Vec<u32>,
    /// How codes are drawn.
    pub sampling: Sampling,
    /// Frames of 80 ms after which the speech is cut, at least 1. Prompt and frames share the model's window.
    pub max_frames: u32,
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

/// A handle on a ready engine. Dropping the last one ends all streams and joins the thread, which blocks for the rest
/// of the step that is under way.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    info: ModelInfo,
    closed: watch::Receiver<Option<EngineError>>,
    /// `Some` until dropped.
    commands: Option<mpsc::Sender<Command>>,
    /// `Some` until dropped.
    thread: Option<JoinHandle<()>>,
}

/// An engine on its way to being ready.
pub struct Loading {
    stage: watch::Receiver<LoadStage>,
    info: oneshot::Receiver<ModelInfo>,
    closed: watch::Receiver<Option<EngineError>>,
    commands: mpsc::Sender<Command>,
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
            return Err(stream::reason(&mut self.closed).await);
        };
        let (commands, thread) = (Some(self.commands), Some(self.thread));
        Ok(Engine { inner: Arc::new(Inner { info, closed: self.closed, commands, thread }) })
    }
}

impl Engine {
    /// Starts the thread, which loads and warms up the model.
    ///
    /// # Errors
    /// [`EngineError::Start`] if the number of slots is not 1 to [`MAX_SLOTS`] or the system gives no thread. What fails
    /// later is said by [`Loading::ready`].
    pub fn start(config: EngineConfig) -> Result<Loading, EngineError> {
        let slots = config.slots;
        Self::spawn(slots, move |stage| load::load(&config, stage))
    }

    /// [`Engine::start`] over whatever `load` makes on the engine's own thread.
    fn spawn<M, L>(slots: usize, load: L) -> Result<Loading, EngineError>
    where
        M: SpeechModel,
        L: FnOnce(&watch::Sender<LoadStage>) -> Result<(M, ModelInfo), EngineError> + Send + 'static,
    {
        if !(1..=MAX_SLOTS).contains(&slots) {
            return Err(EngineError::Start(format!("{slots} slots, while 1 to {MAX_SLOTS} are possible")));
        }
        let (commands, received) = mpsc::channel(COMMANDS);
        let (report, stage) = watch::channel(LoadStage::Weights { done: 0, total: 0 });
        let (tell_info, info) = oneshot::channel();
        let (tell_closed, closed) = watch::channel(None);
        let body = move || {
            let ended = thread::guarded(|| {
                let (model, info) = load(&report)?;
                report.send_replace(LoadStage::Ready);
                // Whoever no longer waits has dropped the commands too, which `serve` sees.
                let _ = tell_info.send(info);
                Err(thread::serve(model, slots, received))
            });
            tell_closed.send_replace(Some(ended));
        };
        let thread = std::thread::Builder::new()
            .name("csm-engine".to_owned())
            .spawn(body)
            .map_err(|error| EngineError::Start(error.to_string()))?;
        Ok(Loading { stage, info, closed, commands, thread })
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
        if commands.send(Command::Admit(Box::new(admission))).await.is_err() {
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

    /// Resolves when the engine has ended by itself, with the reason. Until then every slot works.
    pub async fn closed(&self) -> EngineError {
        stream::reason(&mut self.inner.closed.clone()).await
    }

    fn link(&self) -> Link {
        let commands = self.inner.commands.as_ref().map(mpsc::Sender::downgrade);
        Link { commands, closed: self.inner.closed.clone() }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // With no sender left the thread ends after the step under way.
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread panicked outside its guard");
        }
    }
}
