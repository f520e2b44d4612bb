//! The two measurements, the same for every peer in this program.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::Result;
use crate::board::Board;

/// Jobs run before anything is measured: connections, scripts and caches are warm after them.
pub const WARM_UP: usize = 200;
/// Enqueue calls in flight while throughput is measured.
const IN_FLIGHT: usize = 16;
/// Time between two enqueue calls while latency is measured.
const GAP: Duration = Duration::from_millis(5);
/// A measurement without an end after this long has failed.
const PATIENCE: Duration = Duration::from_secs(600);

/// A job queue under measurement, with its consumers already running.
pub trait Peer: Send + Sync + 'static {
    /// Promise about an accepted job, in words.
    const GUARANTEE: &'static str;
    /// Processes and connections, in words.
    const SHAPE: &'static str;

    /// Enqueues one job with one call.
    fn push(&self, payload: Payload) -> impl Future<Output = Result<()>> + Send;
    /// Jobs acknowledged since the start.
    fn acknowledged(&self) -> impl Future<Output = Result<usize>> + Send;
    /// Stops the consumers.
    fn stop(&self) -> impl Future<Output = Result<()>> + Send;
}

/// Payload of a job: 300 bytes as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Payload {
    pub n: usize,
    voice: String,
    format: String,
    text: String,
}

impl Payload {
    pub fn new(n: usize) -> Self {
        let text = "Every job carries a line of text to be spoken. ".repeat(6);
        let mut payload = Self { n, voice: "default".into(), format: "wav".into(), text };
        let spare = serde_json::to_string(&payload).map_or(0, |json| json.len() - 300);
        payload.text.truncate(payload.text.len() - spare);
        payload
    }
}

pub struct Rate {
    /// From the first enqueue call to the last answer, in seconds.
    pub enqueue_seconds: f64,
    /// From the first enqueue call to the last acknowledgement, in seconds.
    pub seconds: f64,
}

pub struct Wait {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Enqueues `jobs` jobs numbered from `first`, `IN_FLIGHT` calls at a time, and waits until all are
/// acknowledged.
pub async fn throughput<P: Peer>(peer: &Arc<P>, board: &Arc<Board>, first: usize, jobs: usize) -> Result<Rate> {
    let next = Arc::new(AtomicUsize::new(first));
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (peer, board, next) = (Arc::clone(peer), Arc::clone(board), Arc::clone(&next));
        callers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= first + jobs {
                    return Ok(());
                }
                board.ask(n);
                peer.push(Payload::new(n)).await?;
            }
        });
    }
    join(callers).await?;
    let enqueue_seconds = start.elapsed().as_secs_f64();
    all_acknowledged(peer, board, first + jobs).await?;
    Ok(Rate { enqueue_seconds, seconds: start.elapsed().as_secs_f64() })
}

/// Enqueues `jobs` jobs numbered from `first`, one every `GAP` whatever becomes of the earlier
/// ones.
pub async fn latency<P: Peer>(peer: &Arc<P>, board: &Arc<Board>, first: usize, jobs: usize) -> Result<Wait> {
    if jobs == 0 {
        return Ok(Wait { p50_ms: 0.0, p99_ms: 0.0 });
    }
    let mut ticks = tokio::time::interval(GAP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut callers = JoinSet::new();
    for n in first..first + jobs {
        ticks.tick().await;
        let (peer, board) = (Arc::clone(peer), Arc::clone(board));
        callers.spawn(async move {
            let payload = Payload::new(n);
            board.ask(n);
            peer.push(payload).await
        });
    }
    join(callers).await?;
    all_acknowledged(peer, board, first + jobs).await?;
    let waits = board.waits_ms(first, jobs);
    let rank = |share: f64| waits[(share * jobs as f64).ceil() as usize - 1];
    Ok(Wait { p50_ms: rank(0.50), p99_ms: rank(0.99) })
}

async fn join(mut callers: JoinSet<Result<()>>) -> Result<()> {
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(())
}

async fn all_acknowledged<P: Peer>(peer: &Arc<P>, board: &Board, target: usize) -> Result<()> {
    let give_up = Instant::now() + PATIENCE;
    while board.ended() < target || peer.acknowledged().await? < target {
        if Instant::now() > give_up {
            return Err(format!("{} of {target} handlers ran, then nothing more", board.ended()).into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
