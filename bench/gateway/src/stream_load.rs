//! Load of live streams that all speak at once, and short probes beside them.

use std::net::SocketAddr;
use std::time::Duration;

use csm_shared::errln;
use rand::RngExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::core_plan::CorePlan;
use crate::frame_stamp::now;
use crate::processor_time::{MachineUse, Processes, Readings};
use crate::speech_client::{HeardStream, listen};

/// Mean pause between the starts of two streams.
const START_EVERY: Duration = Duration::from_millis(4);
/// Pause between the last start and the measurement.
const SETTLE: Duration = Duration::from_millis(500);
/// Frames of a stream that speaks for longer than any measurement.
const ENDLESS_FRAMES: u32 = 1_400;
/// Frames of a probe.
const PROBE_FRAMES: u32 = 5;

/// Server under load.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) processes: Processes,
    pub(crate) cores: &'a CorePlan,
}

/// Size of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Streams that speak from the beginning to the end.
    pub(crate) streams: u32,
    /// Duration of the measurement.
    pub(crate) measured: Duration,
    /// Pause between the starts of two probes; none start without it.
    pub(crate) probe_every: Option<Duration>,
}

/// Streams of a load, as they were heard.
pub(crate) struct LoadResult {
    pub(crate) streams: Vec<HeardStream>,
    pub(crate) probes: Vec<HeardStream>,
    /// Streams and probes that were refused or cut.
    pub(crate) failed: usize,
    /// Beginning and end of the measurement, while all streams speak.
    pub(crate) window: (u64, u64),
    pub(crate) used: MachineUse,
}

/// Starts the streams, measures while all of them speak, and hangs up. `on_begin` is called at the
/// beginning of the measurement.
pub(crate) async fn run(target: Target<'_>, load: Load, on_begin: impl FnOnce()) -> LoadResult {
    let (stop, begun) = (CancellationToken::new(), Instant::now());
    let mut streams = Listeners::default();
    for number in 0..load.streams {
        let jitter = START_EVERY.mul_f64(rand::rng().random_range(0.0..1.0));
        sleep_until(begun + START_EVERY * number + jitter).await;
        streams.start(target.address, ENDLESS_FRAMES, &stop);
    }
    sleep(SETTLE).await;
    on_begin();
    let readings = Readings::take(target.processes, target.cores);
    let (first, end) = (now(), Instant::now() + load.measured);
    let mut probes = Listeners::default();
    if let Some(every) = load.probe_every {
        let mut due = Instant::now();
        while due < end {
            sleep_until(due).await;
            probes.start(target.address, PROBE_FRAMES, &stop);
            due += every.mul_f64(rand::rng().random_range(0.5..1.5));
        }
    }
    sleep_until(end).await;
    let used = readings.until_now(target.processes, target.cores);
    let window = (first, now());
    stop.cancel();
    let ((streams, failed), (probes, failed_probes)) = (streams.join().await, probes.join().await);
    LoadResult { streams, probes, failed: failed + failed_probes, window, used }
}

/// Clients that listen at the same time.
#[derive(Default)]
pub(crate) struct Listeners(JoinSet<anyhow::Result<HeardStream>>);

impl Listeners {
    /// Starts a client.
    pub(crate) fn start(&mut self, address: SocketAddr, frames: u32, stop: &CancellationToken) {
        let stop = stop.clone();
        self.0.spawn(async move { listen(address, frames, &stop).await });
    }

    /// Waits for all clients. Returns their streams, and the number of those that failed.
    pub(crate) async fn join(mut self) -> (Vec<HeardStream>, usize) {
        let (mut heard, mut failed) = (Vec::new(), 0);
        while let Some(ended) = self.0.join_next().await {
            match ended.map_err(anyhow::Error::from).flatten() {
                Ok(stream) => heard.push(stream),
                Err(error) => {
                    if failed == 0 {
                        errln!("a stream failed: {error:#}");
                    }
                    failed += 1;
                }
            }
        }
        (heard, failed)
    }
}
