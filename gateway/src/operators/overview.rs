//! `GET /v1/admin/fleet`: all numbers of the fleet, with those that its size follows from.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use csm_queue::queue::QueueStats;
use csm_shared::job::JobState;
use serde::Serialize;

use super::access::Access;
use crate::app::App;
use crate::fleet::FleetDocument;
use crate::http::Problem;

/// Numbers of the fleet at one moment, for operators.
#[derive(Debug, Serialize)]
pub(super) struct OverviewDocument {
    /// Rights of this request.
    access: Access,
    #[serde(flatten)]
    fleet: FleetDocument,
    /// Version of the gateway that answers.
    gateway_version: &'static str,
    /// Jobs without a final state.
    open: u64,
    /// Jobs under a lease.
    running: u64,
    /// Jobs that wait to run alone, or run alone, because their worker died.
    suspects: u64,
    /// Retries that are not yet due.
    delayed: u64,
    dead_letters: u64,
    /// Jobs that have ended since the queue was created, by state.
    ended: Vec<EndedDocument>,
    /// Frames a second that the living workers can make.
    frames_per_second: f64,
    slots: SlotsDocument,
    builds: Vec<BuildDocument>,
}

#[derive(Debug, Serialize)]
struct EndedDocument {
    state: JobState,
    jobs: u64,
}

/// Slots of the fleet, and the rate from which the wanted ones follow.
#[derive(Debug, Serialize)]
struct SlotsDocument {
    /// Slots of the workers that do not drain.
    there: u64,
    /// Slots of these workers that run a job.
    busy: u64,
    /// Slots that all lanes want together.
    desired: u64,
    /// Seconds of audio that a slot is taken to make in a second.
    audio_s_per_s: f64,
    /// False until a worker has measured its rate.
    measured: bool,
}

/// Workers of one build.
#[derive(Debug, Default, Serialize)]
struct BuildDocument {
    build: String,
    workers: u64,
    slots: u64,
}

/// Answers with the numbers of the fleet.
pub(super) async fn overview(access: Access, State(app): State<App>) -> Result<Json<OverviewDocument>, Problem> {
    let stats = app.status_queue.stats().await?;
    let ended = stats.ended.iter().map(|&(state, jobs)| EndedDocument { state, jobs });
    Ok(Json(OverviewDocument {
        access,
        fleet: FleetDocument::of(&app, &stats),
        gateway_version: env!("CARGO_PKG_VERSION"),
        open: stats.open,
        running: stats.running,
        suspects: stats.suspects,
        delayed: stats.delayed,
        dead_letters: stats.dead,
        ended: ended.collect(),
        frames_per_second: stats.frames_per_second,
        slots: slots(&app, &stats),
        builds: builds(&stats),
    }))
}

fn slots(app: &App, stats: &QueueStats) -> SlotsDocument {
    let staying = || stats.workers.iter().map(|worker| &worker.report).filter(|report| !report.draining);
    SlotsDocument {
        there: staying().map(|report| u64::from(report.slots)).sum(),
        busy: staying().map(|report| u64::from(report.running)).sum(),
        desired: stats.lanes.iter().map(|lane| stats.desired_slots(lane, &app.target_waits)).sum(),
        audio_s_per_s: stats.slot_rate(),
        measured: stats.measured_slot_rate().is_some(),
    }
}

/// Counts workers and slots by build.
fn builds(stats: &QueueStats) -> Vec<BuildDocument> {
    let mut builds: BTreeMap<&str, BuildDocument> = BTreeMap::new();
    for report in stats.workers.iter().map(|worker| &worker.report) {
        let build = builds.entry(&report.build).or_default();
        build.build.clone_from(&report.build);
        build.workers += 1;
        build.slots += u64::from(report.slots);
    }
    builds.into_values().collect()
}
