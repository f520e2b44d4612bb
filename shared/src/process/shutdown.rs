//! From signal to orderly end: the first SIGTERM or SIGINT asks everything to finish, the second ends the process.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit status after a second signal: 128 + SIGINT, as shells count.
pub const EXIT_INTERRUPTED: i32 = 130;

/// Reads the grace of a drain from a setting.
///
/// # Errors
/// What is no whole number of seconds.
pub fn grace(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| format!("{text:?} is not a whole number of seconds"))
}

/// One process's wish to end. Clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Fires at SIGTERM or SIGINT; a second one exits the process at once with [`EXIT_INTERRUPTED`]. To be called
    /// within a tokio runtime, once a process.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let token = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let fired = token.clone();
        // Lives as long as the process: its second half is the exit.
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let name = next().await;
            tracing::info!(signal = name, "shutting down, a second signal exits at once");
            fired.cancel();
            let name = next().await;
            tracing::warn!(signal = name, "exiting on second signal");
            std::process::exit(EXIT_INTERRUPTED);
        });
        Ok(Self { token })
    }

    /// Waits until the end is asked for.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// The token behind it, to wait on or to make children of.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}
