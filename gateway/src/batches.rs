//! `/v1/batches`: many lines in one order, in OpenAI's shape, and the feeder that works on them.
//!
//! Reading order:
//!
//! 1. `create`, `orders`, `results`, `archive`, `events`, `document`: the routes and what they answer.
//! 2. `feeder`: the task that takes batches; any gateway may, one does at a time.
//! 3. `validate`, `line_checks`: every line is checked before any runs; `input`, `raw_lines`, `table`, `subtitles`: the
//!    formats; `request_line`: a line and its job.
//! 4. `feed`: lines enter the bulk lane a few at a time, by `submission`; `shard`, `outcome`: what becomes
//!    of them; `finish`: output and errors.
//! 5. `local_batch`: the same lines without a gateway.

mod archive;
mod create;
mod document;
mod events;
mod fault;
mod feed;
mod feeder;
mod finish;
mod input;
mod keys;
mod line_checks;
mod local_batch;
mod orders;
mod outcome;
mod raw_lines;
mod redo;
mod request_line;
mod results;
mod shard;
mod store_reader;
mod submission;
mod subtitles;
mod table;
mod validate;

pub(crate) use feeder::run as feed;
pub use local_batch::{LocalBatch, LocalBatchError, LocalLine};

use std::net::{IpAddr, Ipv4Addr};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use csm_queue::batches::Batch;
use csm_shared::process::connections::Peer;

use crate::app::App;
use crate::caller::tenant;
use crate::http::Problem;

/// Makes the routes of batches.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/batches", get(orders::list_batches).post(create::create_batch))
        .route("/v1/batches/{id}", get(orders::get_batch))
        .route("/v1/batches/{id}/cancel", post(orders::cancel_batch))
        .route("/v1/batches/{id}/pause", post(orders::pause_batch))
        .route("/v1/batches/{id}/resume", post(orders::resume_batch))
        .route("/v1/batches/{id}/events", get(events::batch_events))
        .route("/v1/batches/{id}/shards/{number}", get(results::shard))
        .route("/v1/batches/{id}/lines/{line}/audio", get(results::line_audio))
        .route("/v1/batches/{id}/lines/{line}/cues", get(results::line_cues))
        .route("/v1/batches/{id}/lines/{line}/redo", post(redo::redo_line))
        .route("/v1/batches/{id}/archive", get(archive::archive))
}

/// Reads a tenant's batch.
async fn own_batch(app: &App, headers: &HeaderMap, id: &str) -> Result<Batch, Problem> {
    app.batches.get(&tenant(headers)?, id).await?.ok_or_else(|| Problem::no_batch(id))
}

/// Returns the peer under which the feeder's own memory is counted.
fn own_peer() -> Peer {
    Peer::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
