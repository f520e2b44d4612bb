//! From signal to orderly end: the first SIGTERM or SIGINT asks everything to finish, the second ends the process.
//!
//! Whoever waits takes the token; whoever drains runs under [`Shutdown::drain`], which starts its clock only when the
//! end was asked for.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit status after a second signal: 128 + SIGINT, as shells count.
pub const EXIT_INTERRUPTED: i32 = 130;

/// One process's wish to end. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

/// The work was still not done when its grace was over; it was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not finished {} s after the shutdown was asked for", .grace.as_secs_f32())]
pub struct DrainTimedOut {
    /// The grace that was given.
    pub grace: Duration,
}

impl Shutdown {
    /// A shutdown that only [`Shutdown::begin`] fires: for tests, and for services that run inside another's process.
    #[must_use]
    pub fn manual() -> Self {
        Self::default()
    }

    /// Fires at SIGTERM or SIGINT; a second one exits the process at once with [`EXIT_INTERRUPTED`]. To be called
    /// within a tokio runtime, once a process.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::manual();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let token = shutdown.token.clone();
        // Lives as long as the process: its second half is the exit.
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let name = next().await;
            tracing::info!(signal = name, "shutting down; a second signal ends at once");
            token.cancel();
            let name = next().await;
            tracing::warn!(signal = name, "second signal, ending at once");
            std::process::exit(EXIT_INTERRUPTED);
        });
        Ok(shutdown)
    }

    /// Asks for the end, as a first signal does.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.token.is_cancelled()
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

    /// Runs `work` to its end, or until `grace` is over, counted from when the end is asked for.
    ///
    /// # Errors
    /// [`DrainTimedOut`]: the work was dropped unfinished.
    pub async fn drain<T>(&self, grace: Duration, work: impl Future<Output = T>) -> Result<T, DrainTimedOut> {
        let deadline = async {
            self.begun().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = deadline => Err(DrainTimedOut { grace }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn work_without_shutdown_has_no_deadline() {
        let slow = tokio::time::sleep(GRACE * 3);
        assert_eq!(Shutdown::manual().drain(GRACE, slow).await, Ok(()));
    }

    #[tokio::test]
    async fn work_that_sees_the_token_finishes_in_its_grace() {
        let shutdown = Shutdown::manual();
        let work = shutdown.begun();
        shutdown.begin();
        assert!(shutdown.is_begun());
        assert_eq!(shutdown.drain(GRACE, work).await, Ok(()));
    }

    #[tokio::test]
    async fn work_that_hangs_is_dropped_after_the_grace() {
        let shutdown = Shutdown::manual();
        shutdown.begin();
        let hung = std::future::pending::<()>();
        assert_eq!(shutdown.drain(GRACE, hung).await, Err(DrainTimedOut { grace: GRACE }));
    }
}
