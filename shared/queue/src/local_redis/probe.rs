//! Check that a freshly started server is ready, and that it is the one that was started.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use redis::RedisError;

/// Longest time for one try.
const QUESTION_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("another server answers there")]
    Foreign,
    #[error("no answer in time")]
    Slow,
}

/// Returns when the server with this pid answers PING at the URL; the caller limits the wait.
pub(super) async fn until_ready(url: &str, pid: u32) {
    let backoff = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(5))
        .with_max_delay(Duration::from_millis(200))
        .without_max_times();
    // Tries are not limited, so the outcome can only be "ready".
    let _ = (|| ask(url, pid)).retry(backoff).await;
}

async fn ask(url: &str, pid: u32) -> Result<(), NotYet> {
    tokio::time::timeout(QUESTION_LIMIT, ask_unlimited(url, pid)).await.unwrap_or(Err(NotYet::Slow))
}

async fn ask_unlimited(url: &str, pid: u32) -> Result<(), NotYet> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("PING").exec_async(&mut connection).await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
    let is_ours = info.lines().any(|line| line.strip_prefix("process_id:").is_some_and(|id| id == pid.to_string()));
    if is_ours { Ok(()) } else { Err(NotYet::Foreign) }
}
