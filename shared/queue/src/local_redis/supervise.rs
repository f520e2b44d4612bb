//! A private Redis that is started again whenever it ends, on the same place and data.

use std::time::Duration;

use csm_shared::process::outage_log::OutageLog;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{LocalRedis, LocalRedisError, log_tail};

/// Pause before the second start in a row; doubles up to [`PAUSE_MAX`]. The first start is at once.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause before a start.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Time that a started server must run to end the outage. On a full disk it ends at its next write.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// Running private Redis with the task that restarts it. Dropping it kills the server.
#[derive(Debug)]
pub struct SupervisedRedis {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), LocalRedisError>>,
}

impl SupervisedRedis {
    /// Returns the URL for clients, which stays the same over restarts.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends the server cleanly, as [`LocalRedis::shutdown`] does.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub async fn shutdown(mut self) -> Result<(), LocalRedisError> {
        self.stop.cancel();
        (&mut self.task).await?
    }
}

impl Drop for SupervisedRedis {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LocalRedis {
    /// Watches the server in a task of its own. Each time the server ends, the task starts it
    /// again, without end.
    #[must_use]
    pub fn supervise(self) -> SupervisedRedis {
        let (url, stop) = (self.url(), CancellationToken::new());
        let task = tokio::spawn(watch(self, stop.clone()));
        SupervisedRedis { url, stop, task }
    }
}

async fn watch(mut redis: LocalRedis, stop: CancellationToken) -> Result<(), LocalRedisError> {
    let (outage, mut pause) = (OutageLog::new(), Duration::ZERO);
    loop {
        let why = tokio::select! {
            () = stop.cancelled() => return redis.shutdown().await,
            why = redis.ended_after_steady(&outage, &mut pause) => why,
        };
        if let Some(outage) = outage.failed() {
            tracing::error!(error = why, %outage, "redis-server ended, starting it again");
        }
        loop {
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return redis.shutdown().await;
            }
            pause = (pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX);
            // A start is never dropped halfway: its process would end after this task does.
            match redis.restart().await {
                Ok(()) => break,
                Err(error) => {
                    if let Some(outage) = outage.failed() {
                        tracing::error!(error = %error, %outage, "cannot start redis-server");
                    }
                }
            }
        }
    }
}

impl LocalRedis {
    /// Waits for the server's end and returns the reason. A server that has run for
    /// [`STEADY_AFTER`] ends the outage, and the pause before the next start.
    async fn ended_after_steady(&mut self, outage: &OutageLog, pause: &mut Duration) -> String {
        let steady = async {
            sleep(STEADY_AFTER).await;
            *pause = Duration::ZERO;
            if let Some(outage) = outage.worked() {
                tracing::info!(%outage, "redis-server runs again");
            }
            std::future::pending().await
        };
        let status = tokio::select! {
            status = self.child.wait() => status,
            never = steady => never,
        };
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        format!("{status}; its log ends: {}", log_tail(&self.data_dir).replace('\n', " | "))
    }
}
