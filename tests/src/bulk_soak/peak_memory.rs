//! Peaks of memory: resident memory of processes, and what Redis says it uses.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

/// Bytes of a KiB.
const KIB: u64 = 1_024;
/// Longest wait for an answer of Redis.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Peaks seen so far, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PeakMemory {
    /// Largest resident memory of any gateway.
    pub(super) gateway: u64,
    /// Largest memory of Redis.
    pub(super) redis: u64,
}

impl PeakMemory {
    /// Looks at a gateway. A process that is gone changes nothing.
    pub(super) fn see_gateway(&mut self, pid: Option<u32>) {
        let peak = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok());
        let peak = peak.and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:").map(str::to_owned))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
        self.gateway = self.gateway.max(peak.unwrap_or_default() * KIB);
    }

    /// Asks Redis. A server that does not answer changes nothing.
    pub(super) async fn see_redis(&mut self, url: &str) {
        let asked = tokio::time::timeout(ANSWER_WAIT, info(url)).await;
        let peak = asked.ok().and_then(Result::ok).and_then(|info| {
            info.lines().find_map(|line| line.strip_prefix("used_memory_peak:")?.trim().parse::<u64>().ok())
        });
        self.redis = self.redis.max(peak.unwrap_or_default());
    }
}

async fn info(url: &str) -> redis::RedisResult<String> {
    let mut connection: MultiplexedConnection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    redis::cmd("INFO").arg("memory").query_async(&mut connection).await
}
