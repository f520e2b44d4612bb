//! Orderly shutdown by signals: the first SIGTERM or SIGINT asks all tasks to finish. A second
//! signal, or the end of the time limit, ends the process.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::log_queue;

/// Exit status after a second signal: 128 + SIGINT, as in shells.
pub const EXIT_INTERRUPTED: i32 = 130;

/// Exit status of a process that did not finish within its limit, as `timeout` has it.
pub const EXIT_LATE: i32 = 124;

/// Time limit of a command that has nothing to drain, from the first signal.
pub const COMMAND_END_LIMIT: Duration = Duration::from_secs(10);

/// Longest grace period of a drain.
pub const GRACE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Parses the grace period of a drain, in seconds.
///
/// # Errors
/// If `text` is no number from 0 to [`GRACE_MAX`].
pub fn grace(text: &str) -> Result<Duration, String> {
    let grace = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let most = GRACE_MAX.as_secs();
    grace
        .filter(|&grace| grace <= GRACE_MAX)
        .ok_or_else(|| format!("{text:?} is no number of seconds from 0 to {most}"))
}

/// Shutdown request of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Makes a request that begins at SIGTERM or SIGINT. The process exits with
    /// [`EXIT_INTERRUPTED`] at a second signal, and with [`EXIT_LATE`] if it is still there `limit`
    /// after the first. To be called once in a process.
    ///
    /// The signals have a thread of their own, so that nothing that the other threads wait for can
    /// keep the process from ending.
    ///
    /// # Errors
    /// If the signal handlers or the thread cannot be installed.
    pub fn on_signals(limit: Duration) -> io::Result<Self> {
        let token = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _inside = runtime.enter();
            Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? }
        };
        let fired = token.clone();
        std::thread::Builder::new()
            .name("csm-signals".to_owned())
            .spawn(move || runtime.block_on(end(signals, &fired, limit)))?;
        Ok(Self { token })
    }

    /// Waits until the shutdown begins.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Returns the cancellation token, to wait on or to derive child tokens from.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Waits for a signal and returns its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Asks the process to finish at the first signal, and ends it if it does not.
async fn end(mut signals: Signals, fired: &CancellationToken, limit: Duration) {
    let name = signals.next().await;
    fired.cancel();
    tracing::info!(signal = name, "starting shutdown, a second signal exits at once");
    let status = tokio::select! {
        name = signals.next() => {
            tracing::warn!(signal = name, "exiting on second signal");
            EXIT_INTERRUPTED
        }
        () = tokio::time::sleep(limit) => {
            tracing::error!(limit_s = limit.as_secs(), "exiting at time limit of shutdown");
            EXIT_LATE
        }
    };
    log_queue::flush();
    std::process::exit(status);
}
