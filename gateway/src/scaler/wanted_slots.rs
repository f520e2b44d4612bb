//! Slots that each lane wants at one moment.

use std::convert::Infallible;

use csm_queue::queue::QueueError;
use csm_shared::job::Lane;
use csm_shared::process::outage_log::OutageLog;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::READ_EVERY;
use crate::app::App;

/// Slots that each lane wants, and when they were read.
#[derive(Clone, Copy, Debug)]
pub(super) struct WantedSlots {
    /// Time of the read.
    pub(super) read: Instant,
    /// Slots in the order of [`Lane::ALL`].
    slots: [u64; Lane::ALL.len()],
}

impl WantedSlots {
    /// Reads the numbers of the queue.
    pub(super) async fn read(app: &App) -> Result<Self, QueueError> {
        let stats = app.status_queue.stats().await?;
        let wanted = |lane| {
            let numbers = stats.lanes.iter().find(|numbers| numbers.lane == lane);
            numbers.map_or(0, |numbers| stats.desired_slots(numbers, &app.target_waits))
        };
        Ok(Self { read: Instant::now(), slots: Lane::ALL.map(wanted) })
    }

    /// Returns the slots that the lanes want together.
    pub(super) fn of(&self, lanes: &[Lane]) -> u64 {
        Lane::ALL.into_iter().zip(self.slots).filter(|(lane, _)| lanes.contains(lane)).map(|(_, slots)| slots).sum()
    }
}

/// Reads the numbers at each turn of [`READ_EVERY`]. While Redis is away, the last ones stay.
pub(super) async fn watch(app: &App, sender: &watch::Sender<Option<WantedSlots>>) -> Infallible {
    let outage = OutageLog::new();
    let mut turns = tokio::time::interval(READ_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        match WantedSlots::read(app).await {
            Ok(wanted) => drop(sender.send_replace(Some(wanted))),
            Err(error) => {
                if let Some(outage) = outage.failed() {
                    tracing::warn!(error = %error, %outage, "cannot read the queue for the scaler");
                }
            }
        }
    }
}
