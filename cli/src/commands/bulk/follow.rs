//! The batch's changes, followed to its end over as many connections as needed.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::time::timeout;

use super::run_context::RunContext;
use crate::client::Batch;

/// Pause before a new connection.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Time without an event after which the batch is asked for. A proxy may hold events back.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// Sends the newest known batch to `seen` until its status is final.
///
/// # Errors
/// If the gateway does not know the batch, or stays away for too long.
pub(super) async fn follow(context: &RunContext<'_>, id: &str, seen: &watch::Sender<Batch>) -> anyhow::Result<()> {
    loop {
        let mut events = pin!(context.patience.call(|| context.client.batch_events(id)).await?);
        // The stream may be silent until the next change.
        let mut batch = context.patience.call(|| context.client.batch(id)).await?;
        loop {
            let is_final = batch.status.is_final();
            seen.send_replace(batch);
            if is_final {
                return Ok(());
            }
            batch = match timeout(QUIET_MAX, events.next()).await {
                Ok(Some(Ok(batch))) => batch,
                Ok(Some(Err(error))) if !error.may_pass() => return Err(error.into()),
                Ok(Some(Err(_)) | None) => break,
                Err(_) => context.patience.call(|| context.client.batch(id)).await?,
            };
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}
