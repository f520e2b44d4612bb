//! The threads beside the engine's own: how they are started and joined, and how they tell it something.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use csm_shared::audio::Frame;
use tokio::sync::mpsc;

use super::engine_thread::EngineCommand;
use super::slots::SlotId;
use super::{EngineError, MAX_SLOTS};

/// Notices that may wait for the engine's thread. There are never as many: between two looks at them, each slot runs away
/// once at most, the encoder's full queue is answered once, and each thread ends once. So telling one never waits, and the
/// threads cannot wait for each other in a circle.
pub(super) const NOTICES: usize = 4 * MAX_SLOTS;

/// What the engine's thread is told.
pub(super) enum Notice {
    /// The codes of the recordings of an utterance; `None` where nobody wanted them any more.
    Encoded(SlotId, Option<Vec<Vec<Frame>>>),
    /// The guard has stopped this utterance and told its reader.
    RanAway(SlotId),
    /// A thread has ended.
    Ended(EngineError),
}

/// Tells the engine's thread something and wakes it.
#[derive(Clone)]
pub(super) struct EngineNotifier {
    pub(super) notices: SyncSender<Notice>,
    pub(super) commands: mpsc::WeakSender<EngineCommand>,
}

impl EngineNotifier {
    pub(super) fn notify(&self, notice: Notice) {
        // An engine that is gone needs no notice.
        let _ = self.notices.send(notice);
        if let Some(commands) = self.commands.upgrade() {
            // A full queue of commands wakes it too.
            let _ = commands.try_send(EngineCommand::Wake);
        }
    }
}

/// A thread that is joined when this is dropped. Whatever makes it end must be dropped before.
pub(super) struct JoinOnDrop(Option<JoinHandle<()>>);

impl JoinOnDrop {
    /// Starts a thread. If it ends other than by [`EngineError::Closed`], `notifier` tells the engine.
    pub(super) fn start(
        name: &str,
        notifier: EngineNotifier,
        body: impl FnOnce() -> Result<Infallible, EngineError> + Send + 'static,
    ) -> Result<Self, EngineError> {
        let body = move || {
            let ended = guarded(body);
            if ended != EngineError::Closed {
                notifier.notify(Notice::Ended(ended));
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        Ok(Self(Some(thread.map_err(|error| EngineError::Start(error.to_string()))?)))
    }
}

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take()
            && thread.join().is_err()
        {
            tracing::error!("engine side thread panicked outside its guard");
        }
    }
}

/// Runs `body` to its end; a panic inside becomes an error like any other.
pub(super) fn guarded(body: impl FnOnce() -> Result<Infallible, EngineError>) -> EngineError {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Err(error)) => error,
        Err(panic) => EngineError::Panicked(panic_message(panic.as_ref())),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}
