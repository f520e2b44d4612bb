//! The threads beside the engine's own: their start, their end, and their notices to the engine's
//! thread.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use csm_shared::audio::Frame;
use tokio::sync::mpsc;

use super::engine_command::EngineCommand;
use super::engine_command::MAX_SLOTS;
use super::error::EngineError;
use super::slots::SlotId;

/// Capacity of the queue of notices to the engine's thread. The queue is never full. Between two
/// reads each slot runs away at most once, the encoder's full queue is answered once, and each
/// thread ends once. Sending a notice therefore never waits, and the threads cannot deadlock.
pub(super) const NOTICES: usize = 4 * MAX_SLOTS;

/// A notice to the engine's thread.
pub(super) enum Notice {
    /// Codes of an utterance's recordings; `None` if they were no longer wanted.
    Encoded(SlotId, Option<Vec<Vec<Frame>>>),
    /// The guard has stopped this utterance and published its end.
    RanAway(SlotId),
    /// A side thread has ended.
    Ended(EngineError),
}

/// Sender of notices that also wakes the engine's thread.
#[derive(Clone)]
pub(super) struct EngineNotifier {
    pub(super) notices: SyncSender<Notice>,
    pub(super) commands: mpsc::WeakSender<EngineCommand>,
}

impl EngineNotifier {
    pub(super) fn notify(&self, notice: Notice) {
        // If the engine has ended, no notice is needed.
        let _ = self.notices.send(notice);
        if let Some(commands) = self.commands.upgrade() {
            // A full command queue wakes the thread too.
            let _ = commands.try_send(EngineCommand::Wake);
        }
    }
}

/// Handle of a thread that is joined on drop. The sender whose drop ends the thread must be dropped
/// before.
pub(super) struct JoinOnDrop(Option<JoinHandle<()>>);

impl JoinOnDrop {
    /// Starts a thread. If the thread ends with another error than [`EngineError::Closed`],
    /// `notifier` reports it to the engine.
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

/// Runs `body` to its end and turns a panic into an error.
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
