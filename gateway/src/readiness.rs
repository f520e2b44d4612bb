//! Regular checks of Redis and the store: readiness for the probes, gauges for dashboards.

use std::time::Duration;

use csm_queue::queue::{QueueStats, TargetWaits};
use csm_shared::process::admin::Readiness;
use csm_shared::process::telemetry::{
    BACKLOG_AUDIO_SECONDS, DESIRED_SLOTS, DLQ_SIZE, FLEET_FRAMES_PER_SECOND, QUEUE_DEPTH, QUEUE_OLDEST_SECONDS,
    QUEUE_RUNNING, WORKERS,
};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::app::App;

/// Pause between two checks.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// Longest time for the answer of Redis or the store.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Checks until the app is told to stop.
pub(crate) async fn run(app: App, readiness: watch::Sender<Readiness>) {
    let check = async {
        loop {
            let now = check(&app).await;
            readiness.send_if_modified(|before| {
                let changed = *before != now;
                if changed {
                    tracing::info!(before = ?before, now = ?now, "readiness changed");
                    *before = now;
                }
                changed
            });
            app.memory.publish();
            if let Ok(stats) = app.status_queue.stats().await {
                publish(&stats, &app.target_waits);
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    };
    app.stop.run_until_cancelled(Box::pin(check)).await;
    readiness.send_replace(Readiness::Draining);
}

/// Logs once, as soon as Redis answers, its version and those of its settings that can lose jobs.
pub(crate) async fn log_advice(app: App) {
    let redis = app.status_queue.redis();
    let log_advice = async {
        while redis.ping().await.is_err() {
            tokio::time::sleep(CHECK_EVERY).await;
        }
        redis.log_server().await;
    };
    app.stop.run_until_cancelled(Box::pin(log_advice)).await;
}

/// Returns the readiness of the moment.
async fn check(app: &App) -> Readiness {
    // The comparison with the fleet asks Redis only now and then.
    let redis = async {
        app.status_queue.redis().ping().await.map_err(|error| error.to_string())?;
        app.status_queue.agree().await.map_err(|error| error.to_string())
    };
    let store = async { app.store.check().await.map_err(|error| error.to_string()) };
    let (redis, store) = tokio::join!(timeout(ANSWER_LIMIT, redis), timeout(ANSWER_LIMIT, store));
    let silent = |what: &str| Err(format!("{what} did not answer within {} s", ANSWER_LIMIT.as_secs()));
    let redis = redis.unwrap_or_else(|_| silent("Redis"));
    let store = store.unwrap_or_else(|_| silent("the store"));
    match redis.and(store) {
        Ok(()) => Readiness::Ready,
        Err(reason) => Readiness::Degraded { reason },
    }
}

/// Sets the gauges of the queue.
fn publish(stats: &QueueStats, targets: &TargetWaits) {
    for lane in &stats.lanes {
        let name = lane.lane.name();
        metrics::gauge!(QUEUE_DEPTH, "lane" => name).set(lane.depth as f64);
        let backlog = lane.waiting_audio + lane.running_audio;
        metrics::gauge!(BACKLOG_AUDIO_SECONDS, "lane" => name).set(backlog.as_secs_f64());
        metrics::gauge!(DESIRED_SLOTS, "lane" => name).set(stats.desired_slots(lane, targets) as f64);
        let oldest = lane.oldest.unwrap_or_default();
        metrics::gauge!(QUEUE_OLDEST_SECONDS, "lane" => name).set(oldest.as_secs_f64());
    }
    metrics::gauge!(QUEUE_RUNNING).set(stats.running as f64);
    metrics::gauge!(DLQ_SIZE).set(stats.dead as f64);
    metrics::gauge!(WORKERS).set(stats.workers.len() as f64);
    metrics::gauge!(FLEET_FRAMES_PER_SECOND).set(stats.frames_per_second);
}
