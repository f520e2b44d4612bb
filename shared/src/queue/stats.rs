//! What autoscaling and dashboards read.

use std::time::Duration;

use jiff::Timestamp;
use redis::streams::StreamRangeReply;

use super::{Queue, QueueError};
use crate::job::Lane;

/// One lane at one moment.
#[derive(Clone, Copy, Debug)]
pub struct LaneStats {
    /// The lane.
    pub lane: Lane,
    /// Entries: waiting, running, and called off but not yet skipped.
    pub depth: u64,
    /// Age of its oldest entry.
    pub oldest: Option<Duration>,
}

/// The queue at one moment.
#[derive(Clone, Debug)]
pub struct QueueStats {
    /// By lane, most urgent first.
    pub lanes: Vec<LaneStats>,
    /// Jobs under a lease.
    pub running: u64,
    /// Retries not yet due.
    pub delayed: u64,
}

impl Queue {
    /// Reads the numbers in one round trip.
    pub async fn stats(&self) -> Result<QueueStats, QueueError> {
        let mut pipeline = redis::pipe();
        for lane in Lane::ALL {
            let key = self.keys.lane(lane);
            pipeline.cmd("XLEN").arg(&key).cmd("XRANGE").arg(&key).arg("-").arg("+").arg("COUNT").arg(1);
        }
        pipeline.cmd("ZCARD").arg(self.keys.leases()).cmd("ZCARD").arg(self.keys.delayed());
        type Row = (u64, StreamRangeReply, u64, StreamRangeReply, u64, StreamRangeReply, u64, u64);
        let (live, a, standard, b, bulk, c, running, delayed): Row = self.redis.pipeline(&pipeline).await?;
        let rows = [(live, a), (standard, b), (bulk, c)];
        let lanes = Lane::ALL.into_iter().zip(rows).map(|(lane, (depth, first))| LaneStats {
            lane,
            depth,
            oldest: first.ids.first().and_then(|entry| age(&entry.id)),
        });
        Ok(QueueStats { lanes: lanes.collect(), running, delayed })
    }
}

/// Age of a stream entry, from the milliseconds in its id.
fn age(entry: &str) -> Option<Duration> {
    let added: i64 = entry.split('-').next()?.parse().ok()?;
    let elapsed = Timestamp::now().as_millisecond().saturating_sub(added);
    Some(Duration::from_millis(u64::try_from(elapsed).unwrap_or(0)))
}
