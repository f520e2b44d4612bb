//! Report of this worker to the queue, sent every few seconds until the worker ends.

use std::sync::Arc;

use csm_queue::queue::{REPORT_EVERY, WorkerReport};
use csm_shared::process::outage_log::OutageLog;
use tokio_util::sync::CancellationToken;

use super::Runner;
use super::occupancy::Occupancy;
use crate::BUILD;

/// Reports until `over` is cancelled, then removes the worker from the list. Reports say "draining"
/// once `stop` is cancelled.
pub(super) async fn run(runner: Arc<Runner>, occupancy: Occupancy, stop: CancellationToken, over: CancellationToken) {
    let tell = async {
        loop {
            let report = report(&runner, &occupancy, stop.is_cancelled());
            static OUTAGE: OutageLog = OutageLog::new();
            if let Err(error) = runner.queue.report(&runner.worker_id, &report).await
                && let Some(outage) = OUTAGE.failed()
            {
                tracing::warn!(error = %error, %outage, "cannot send worker report");
            }
            tokio::time::sleep(REPORT_EVERY).await;
        }
    };
    over.run_until_cancelled(tell).await;
    if let Err(error) = runner.queue.leave(&runner.worker_id).await {
        tracing::warn!(error = %error, "cannot deregister worker, its entry stays until its last report expires");
    }
}

fn report(runner: &Runner, occupancy: &Occupancy, draining: bool) -> WorkerReport {
    let capacity = occupancy.capacity(runner.capacity);
    WorkerReport {
        host: runner.host.clone(),
        model: runner.context.engine.info().model.clone(),
        build: BUILD.to_owned(),
        slots: capacity.slots,
        lane_slots: capacity.lane_slots(),
        running: capacity.running,
        frames_per_second: occupancy.rate() * f64::from(capacity.slots),
        frames: occupancy.frames(),
        draining,
    }
}
