//! `GET /v1/fleet`: lanes, workers and slots, for the page and for people who look.

use axum::Json;
use axum::extract::State;
use csm_queue::queue::{LaneStats, QueueStats, Unclaimed, WorkerStatus};
use csm_shared::job::Lane;
use csm_shared::models::ModelKind;
use serde::Serialize;

use crate::app::App;
use crate::http::Problem;

/// Numbers of the fleet at one moment.
#[derive(Debug, Serialize)]
pub(crate) struct FleetDocument {
    model: ModelDocument,
    lanes: Vec<LaneDocument>,
    workers: Vec<WorkerDocument>,
    /// True while an operator has closed the intake.
    closed: bool,
}

#[derive(Debug, Serialize)]
struct ModelDocument {
    name: String,
    kind: ModelKind,
}

#[derive(Debug, Serialize)]
struct LaneDocument {
    lane: Lane,
    waiting: u64,
    running: u64,
    /// Age of the oldest of them, in seconds.
    oldest_s: Option<f64>,
    /// Expected audio of the waiting jobs, in seconds.
    waiting_audio_s: f64,
    /// Expected audio of the running jobs, in seconds.
    running_audio_s: f64,
    /// Wait that a job would be told now, in seconds; absent if it is not known.
    wait_s: Option<f64>,
    /// Slots that the lane wants.
    desired_slots: u64,
    /// Wait that the lane's slots are chosen for, in seconds.
    target_wait_s: f64,
    /// Reason why nobody claims the waiting jobs; absent if there is no sign of it.
    unclaimed: Option<Unclaimed>,
    paused: bool,
}

#[derive(Debug, Serialize)]
struct WorkerDocument {
    id: String,
    host: String,
    model: String,
    build: String,
    slots: u8,
    running: u8,
    draining: bool,
    /// Frames of 80 ms that all slots make in a second, measured over the last jobs.
    frames_per_second: f64,
}

/// Answers with the numbers of the fleet.
pub(crate) async fn fleet(State(app): State<App>) -> Result<Json<FleetDocument>, Problem> {
    Ok(Json(FleetDocument::of(&app, &app.status_queue.stats().await?)))
}

impl FleetDocument {
    /// Makes the document of the queue's numbers.
    pub(crate) fn of(app: &App, stats: &QueueStats) -> Self {
        Self {
            model: ModelDocument { name: app.model_name.clone(), kind: app.window_check.model_kind() },
            lanes: stats.lanes.iter().map(|lane| lane_document(app, stats, lane)).collect(),
            workers: stats.workers.iter().map(worker).collect(),
            closed: stats.closed,
        }
    }
}

fn lane_document(app: &App, stats: &QueueStats, lane: &LaneStats) -> LaneDocument {
    LaneDocument {
        lane: lane.lane,
        waiting: lane.depth.saturating_sub(lane.running),
        running: lane.running,
        oldest_s: lane.oldest.map(|age| age.as_secs_f64()),
        waiting_audio_s: lane.waiting_audio.as_secs_f64(),
        running_audio_s: lane.running_audio.as_secs_f64(),
        wait_s: lane.wait.map(|wait| wait.as_secs_f64()),
        desired_slots: stats.desired_slots(lane, &app.target_waits),
        target_wait_s: app.target_waits.of(lane.lane).as_secs_f64(),
        unclaimed: stats.unclaimed(lane),
        paused: lane.paused,
    }
}

fn worker(WorkerStatus { owner, report }: &WorkerStatus) -> WorkerDocument {
    WorkerDocument {
        id: owner.clone(),
        host: report.host.clone(),
        model: report.model.clone(),
        build: report.build.clone(),
        slots: report.slots,
        running: report.running,
        draining: report.draining,
        frames_per_second: report.frames_per_second,
    }
}
