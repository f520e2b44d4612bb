//! Log lines on their way to standard error, which a thread of its own writes.
//!
//! No other thread waits for the reader of the log, and none fails with it. A line that does not
//! fit the queue, or that cannot be written, is dropped and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes of lines that wait to be written. A reader that is slower loses lines.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// Longest wait for the lines to be written, in [`flush`].
const FLUSH_LIMIT: Duration = Duration::from_millis(500);

static QUEUE: LogQueue = LogQueue { state: Mutex::new(LogState::new()), changed: Condvar::new() };
static DROPPED: AtomicU64 = AtomicU64::new(0);

struct LogQueue {
    state: Mutex<LogState>,
    /// Notified at a new line, and when all lines are written.
    changed: Condvar,
}

struct LogState {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of `lines`.
    bytes: usize,
    /// True while the thread writes lines that it took from `lines`.
    writing: bool,
}

impl LogState {
    const fn new() -> Self {
        Self { lines: VecDeque::new(), bytes: 0, writing: false }
    }

    fn is_idle(&self) -> bool {
        self.lines.is_empty() && !self.writing
    }
}

impl LogQueue {
    fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.bytes + line.len() > QUEUE_BYTES_MAX {
            count_dropped();
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line.to_vec());
        self.changed.notify_all();
    }

    /// Takes all lines once there are some.
    fn take(&self) -> VecDeque<Vec<u8>> {
        let state = self.state();
        let mut state =
            self.changed.wait_while(state, |state| state.lines.is_empty()).unwrap_or_else(PoisonError::into_inner);
        (state.bytes, state.writing) = (0, true);
        std::mem::take(&mut state.lines)
    }

    fn written(&self) {
        self.state().writing = false;
        self.changed.notify_all();
    }
}

/// Starts the thread that writes the lines. To be called once, before the first line.
///
/// # Errors
/// If the system starts no thread.
pub(super) fn start() -> io::Result<()> {
    std::thread::Builder::new().name("csm-log".to_owned()).spawn(|| {
        loop {
            for line in QUEUE.take() {
                if io::stderr().write_all(&line).is_err() {
                    count_dropped();
                }
            }
            QUEUE.written();
        }
    })?;
    Ok(())
}

/// Waits until the lines before this call are written, for [`FLUSH_LIMIT`] at most.
pub fn flush() {
    let busy = |state: &mut LogState| !state.is_idle();
    drop(QUEUE.changed.wait_timeout_while(QUEUE.state(), FLUSH_LIMIT, busy));
}

/// Returns the number of lines that were dropped since the process began.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn count_dropped() {
    DROPPED.fetch_add(1, Ordering::Relaxed);
}

/// Writer of one log line, for `tracing-subscriber`. It never fails.
pub(super) struct LineWriter;

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        QUEUE.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
