//! `GET /v1/fleet`: lanes, workers and slots, for the page and for people who look.

use axum::Json;
use axum::extract::State;
use csm_queue::queue::{LaneStats, WorkerStatus};
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
    /// Wait that a job would be told now, in seconds; absent if it is not known.
    wait_s: Option<f64>,
    /// Slots that the lane wants.
    desired_slots: u64,
    paused: bool,
}

#[derive(Debug, Serialize)]
struct WorkerDocument {
    id: String,
    host: String,
    model: String,
    slots: u8,
    running: u8,
    draining: bool,
    /// Frames of 80 ms that all slots make in a second, measured over the last jobs.
    frames_per_second: f64,
}

/// Answers with the numbers of the fleet.
pub(crate) async fn fleet(State(app): State<App>) -> Result<Json<FleetDocument>, Problem> {
    let stats = app.status_queue.stats().await?;
    let model = ModelDocument { name: app.model_name.clone(), kind: app.window_check.model_kind() };
    let lanes = stats.lanes.iter().map(|lane| lane_document(lane, stats.desired_slots(lane, &app.target_waits)));
    let (lanes, closed) = (lanes.collect(), stats.closed);
    let workers = stats.workers.into_iter().map(worker).collect();
    Ok(Json(FleetDocument { model, lanes, workers, closed }))
}

fn lane_document(stats: &LaneStats, desired_slots: u64) -> LaneDocument {
    LaneDocument {
        lane: stats.lane,
        waiting: stats.depth.saturating_sub(stats.running),
        running: stats.running,
        oldest_s: stats.oldest.map(|age| age.as_secs_f64()),
        waiting_audio_s: stats.waiting_audio.as_secs_f64(),
        wait_s: stats.wait.map(|wait| wait.as_secs_f64()),
        desired_slots,
        paused: stats.paused,
    }
}

fn worker(WorkerStatus { owner, report }: WorkerStatus) -> WorkerDocument {
    WorkerDocument {
        id: owner,
        host: report.host,
        model: report.model,
        slots: report.slots,
        running: report.running,
        draining: report.draining,
        frames_per_second: report.frames_per_second,
    }
}
