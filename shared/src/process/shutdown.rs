//! Orderly shutdown by signals: the first SIGTERM or SIGINT asks all tasks to finish, the second
//! ends the process.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status after a second signal: 128 + SIGINT, as in shells.
pub const EXIT_INTERRUPTED: i32 = 130;

/// Parses the grace period of a drain, in seconds.
///
/// # Errors
/// If `text` is no whole number of seconds.
pub fn grace(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| format!("{text:?} is not a whole number of seconds"))
}

/// Shutdown request of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Makes a request that begins at SIGTERM or SIGINT. A second signal exits the process at once
    /// with [`EXIT_INTERRUPTED`]. Call it within a tokio runtime, once in a process.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let token = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let fired = token.clone();
        // The task lives as long as the process, because its second half is the exit.
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let name = next().await;
            tracing::info!(signal = name, "starting shutdown, a second signal exits at once");
            fired.cancel();
            let name = next().await;
            tracing::warn!(signal = name, "exiting on second signal");
            std::process::exit(EXIT_INTERRUPTED);
        });
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
