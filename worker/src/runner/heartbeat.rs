//! Keeps a lease alive while its attempt runs, and brings back what the queue has to say about it.

use std::time::Duration;

use csm_shared::live::LiveHub;
use csm_shared::queue::{BEAT_EVERY, Beat, LeaseRef, Queue};

/// Pause after a beat that Redis did not answer. The lease may still be ours when it does again.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// Why an attempt must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// Somebody else has the job now.
    LeaseLost,
    /// The caller called it off.
    Cancelled,
}

/// Beats until there is a reason to stop: at once when a cancel is announced, else every [`BEAT_EVERY`].
pub(super) async fn beat(queue: &Queue, hub: &LiveHub, at: &LeaseRef) -> Interruption {
    let mut cancel = hub.listen(queue.cancel_channel(at));
    let mut pause = Duration::ZERO;
    loop {
        let _ = tokio::time::timeout(pause, cancel.woken()).await;
        pause = match queue.beat(at).await {
            Ok(Beat::Kept) => BEAT_EVERY,
            Ok(Beat::CancelRequested) => return Interruption::Cancelled,
            Ok(Beat::Lost) => return Interruption::LeaseLost,
            Err(error) => {
                tracing::warn!(job = %at.id, error = %error, "a lease could not be renewed; trying again");
                TROUBLE_PAUSE
            }
        };
    }
}
