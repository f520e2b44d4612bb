//! Waiting for a gateway that does not answer for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::time::Instant;

use super::display::BulkDisplay;
use crate::client::ClientError;

/// Time without an answer after which a run gives up, in seconds.
pub(super) const DEFAULT_LIMIT_S: u64 = 600;
/// Pause before the second try of a request.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Longest pause between two tries, without its random part.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Repeats requests for a limited time. All requests of a run share it.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    limit: Duration,
    display: &'a BulkDisplay,
    /// True between the remark that the gateway is away and the next answer.
    away: AtomicBool,
}

impl<'a> Patience<'a> {
    /// Makes a patience that ends when a request had no answer for `limit`.
    pub(super) fn new(limit: Duration, display: &'a BulkDisplay) -> Self {
        Self { limit, display, away: AtomicBool::new(false) }
    }

    /// Sends a request until it is answered.
    ///
    /// # Errors
    /// If the gateway refuses it, or gives no answer for too long.
    pub(super) async fn call<T, F>(&self, mut request: impl FnMut() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut waiting = None;
        loop {
            match request().await {
                Ok(answer) => {
                    if self.away.swap(false, Ordering::Relaxed) {
                        self.display.remark("the gateway answers again");
                    }
                    return Ok(answer);
                }
                Err(error) if error.may_pass() => {
                    let outage = waiting.get_or_insert_with(Outage::begin);
                    self.wait(outage, error).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits before the next try.
    async fn wait(&self, outage: &mut Outage, error: ClientError) -> anyhow::Result<()> {
        let left = self.limit.saturating_sub(outage.begun.elapsed());
        if left.is_zero() {
            return Err(error).with_context(|| format!("no answer for {} s", self.limit.as_secs()));
        }
        // A request that fails once is no remark worth.
        if outage.tries > 0 && !self.away.swap(true, Ordering::Relaxed) {
            self.display.remark(&format!("{error}; trying again for {} s", left.as_secs()));
        }
        outage.tries += 1;
        let pause = outage.pauses.next().unwrap_or(PAUSE_MAX);
        tokio::time::sleep(pause.min(left)).await;
        Ok(())
    }
}

/// Time in which one request was not answered.
struct Outage {
    begun: Instant,
    tries: u64,
    pauses: backon::ExponentialBackoff,
}

impl Outage {
    fn begin() -> Self {
        let pauses = ExponentialBuilder::new().with_min_delay(PAUSE_FIRST).with_max_delay(PAUSE_MAX).with_jitter();
        Self { begun: Instant::now(), tries: 0, pauses: pauses.without_max_times().build() }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn away() -> ClientError {
        ClientError::Unreachable { url: "http://a/".into(), cause: "refused".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_repeated_until_it_is_answered_or_the_limit_has_passed() {
        let display = BulkDisplay::new();
        let patience = Patience::new(Duration::from_secs(60), &display);
        let (begun, mut tries) = (Instant::now(), 0);
        let answer = patience.call(|| {
            tries += 1;
            std::future::ready(if begun.elapsed().as_secs() < 45 { Err(away()) } else { Ok(7) })
        });
        assert_eq!(answer.await.unwrap(), 7);
        assert!((5..20).contains(&tries), "{tries}");

        let begun = Instant::now();
        let error = patience.call(|| std::future::ready(Err::<(), _>(away()))).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "no answer for 60 s: cannot reach http://a/: refused");
        assert_eq!(begun.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_repeated() {
        let display = BulkDisplay::new();
        let patience = Patience::new(Duration::from_secs(60), &display);
        let (begun, mut tries) = (Instant::now(), 0);
        let refused = patience.call(|| {
            tries += 1;
            std::future::ready(Err::<(), _>(ClientError::Unreadable("no JSON".into())))
        });
        assert!(refused.await.is_err());
        assert_eq!((tries, begun.elapsed()), (1, Duration::ZERO));
    }
}
