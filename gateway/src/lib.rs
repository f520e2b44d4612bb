//! HTTP and WebSocket front of csm-fleet: a request becomes a job in the queue, and the job's audio
//! goes back to its caller. Of the model the gateway knows the tokenizer and the window only.
//!
//! Reading order:
//!
//! 1. `config`: settings; `app`: parts that all requests share; `router`: every path.
//! 2. `resources`: memory, places and time that a caller may hold; `http`: bodies, ranges, request
//!    ids, the check of `Host` and `Origin`, metrics, and problem documents with their pages.
//! 3. `caller`: tenant and job of a request, and whose job an id is; `fields`: one reader for each
//!    request field; `message_fields`: the same for messages of some sockets.
//! 4. `submit`: a checked request enters the queue, after `window_check` and with its long
//!    `recordings` in the store; `wait`: from a request to the end of its job; `stored_audio`: a
//!    job's file on its way to the caller; `provenance_headers`: headers of every answer with audio.
//! 5. Speech that is heard while it is made: `live_audio`: one job's samples; `speech_template` and
//!    `sentence_queue`: text in pieces, a job for each sentence; `word_times`: estimated times of its
//!    words; `sockets`: the open WebSocket with its limits.
//! 6. The faces, one folder each with its routes, messages and documents: `jobs` (`/v1/jobs`), `compat`
//!    (`/generate`, `/ws`), `stream` (`/v1/stream`), `openai`, `realtime`, `deepgram`, `elevenlabs`,
//!    `cartesia`, `wyoming`, `watermark` (`/v1/watermark`) with the search of `detections`, `fleet`, and
//!    the `page`.
//! 7. `operators` (`/v1/admin`), behind the token of `admin_token`.
//! 8. Bulk: `files`, and `batches` with the task that feeds them; `cues` of recordings.
//! 9. `readiness`: checks of Redis and the store; `scaler`: slots wanted, for KEDA; `server`: connections and
//!    the drain.

mod admin_token;
mod app;
mod batches;
mod caller;
mod cartesia;
mod compat;
mod config;
mod cues;
mod deepgram;
mod detections;
mod elevenlabs;
mod fields;
mod files;
mod fleet;
mod http;
mod jobs;
mod live_audio;
mod message_fields;
mod openai;
mod operators;
mod page;
mod provenance_headers;
mod readiness;
mod realtime;
mod recordings;
mod resources;
mod router;
mod scaler;
mod sentence_queue;
mod server;
mod sockets;
mod speech_template;
mod stored_audio;
mod stream;
mod submit;
mod wait;
mod watermark;
mod window_check;
mod word_times;
mod wyoming;

use std::net::SocketAddr;

use axum::Router;
use csm_queue::janitor::Janitor;
use csm_shared::models::{HubError, ModelFiles, resolve};
use csm_shared::process::admin::{self, AdminError, Readiness};
use csm_shared::prompt::PromptError;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use admin_token::{AdminTokenArgs, AdminTokenError};
pub use app::AppError;
pub use batches::{LocalBatch, LocalBatchError, LocalLine};
pub use config::{BATCH_WINDOW, GatewayArgs, IdSecretArgs, IdSecretError, TargetWaitArgs};

use app::App;
use http::same_site::SameSite;
use window_check::WindowCheck;

/// Fault at the start or the end of the gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Public address that could not be bound.
    #[error("cannot listen on {address} (--listen, CSM_LISTEN): {source}")]
    Listen {
        /// Address as configured.
        address: SocketAddr,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// Address of the Wyoming protocol that could not be bound.
    #[error("cannot listen on {address} (--wyoming, CSM_WYOMING): {source}")]
    Wyoming {
        /// Address as configured.
        address: SocketAddr,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// Address of KEDA's scaler that could not be bound.
    #[error("cannot listen on {address} (--scaler-listen, CSM_SCALER_LISTEN): {source}")]
    Scaler {
        /// Address as configured.
        address: SocketAddr,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// Admin address that could not be bound.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Missing tokenizer.
    #[error("CSM_MODEL: {0}")]
    Model(#[from] HubError),
    /// Unreadable tokenizer or config of the model.
    #[error("CSM_MODEL: {0}")]
    Tokenizer(#[from] PromptError),
    /// Settings of Redis, the store or the watermark that cannot be used.
    #[error(transparent)]
    App(#[from] AppError),
    /// Shutdown before the start was done.
    #[error("stopped before the gateway was ready")]
    Stopped,
    /// Panic of a task.
    #[error("the gateway failed: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Running gateway.
pub struct Gateway {
    /// Address of the public API.
    pub address: SocketAddr,
    /// Address of health, readiness and metrics.
    pub admin_address: SocketAddr,
    /// Address of the Wyoming protocol, if it is served.
    pub wyoming_address: Option<SocketAddr>,
    /// Address of KEDA's scaler, if it is served.
    pub scaler_address: Option<SocketAddr>,
    server: JoinHandle<()>,
}

impl Gateway {
    /// Waits until the gateway was told to stop and has drained.
    ///
    /// # Errors
    /// [`GatewayError::Panicked`].
    pub async fn join(self) -> Result<(), GatewayError> {
        Ok(self.server.await?)
    }
}

/// Binds both ports, gets the tokenizer, and serves until `stop` is cancelled; then drains within
/// `args.grace()`.
///
/// Redis and the store may still be away; the readiness shows their state.
///
/// # Errors
/// [`GatewayError`]; no task is left running then.
pub async fn serve(
    args: &GatewayArgs,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> Result<Gateway, GatewayError> {
    let failed = |source| GatewayError::Listen { address: args.listen, source };
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let wyoming = bind(args.wyoming, |address, source| GatewayError::Wyoming { address, source }).await?;
    let scaler = bind(args.scaler_listen, |address, source| GatewayError::Scaler { address, source }).await?;
    let address_of = |bound: &Option<(TcpListener, SocketAddr)>| bound.as_ref().map(|(_, address)| *address);
    let (wyoming_address, scaler_address) = (address_of(&wyoming), address_of(&scaler));
    // Health and metrics stay until all else has ended.
    let over = CancellationToken::new();
    let guard = over.clone().drop_guard();
    let (readiness, seen) = watch::channel(Readiness::Starting { phase: "getting the tokenizer".to_owned() });
    let admin_address = admin::serve(args.admin_listen, seen, metrics, over).await?;

    let window_check =
        stop.run_until_cancelled(Box::pin(open_window_check(args))).await.ok_or(GatewayError::Stopped)??;
    let same_site = SameSite::new(address.ip(), &args.allowed_hosts, &args.allowed_origins);
    let app = Box::pin(App::new(args, window_check, stop)).await?;
    if let Some((listener, _)) = wyoming {
        app.tasks.spawn(wyoming::run(listener, app.clone()));
    }
    if let Some((listener, _)) = scaler {
        app.tasks.spawn(scaler::run(listener, app.clone()));
    }
    tracing::info!(%address, %admin_address, wyoming = wyoming_address.map(tracing::field::display), scaler = scaler_address.map(tracing::field::display), model = %args.model, "gateway listens");
    let router = router::router(app.clone(), same_site);
    let server = tokio::spawn(run(listener, router, app, args.grace(), readiness, guard));
    Ok(Gateway { address, admin_address, wyoming_address, scaler_address, server })
}

/// Binds an address, if there is one. Returns the listener and its address.
async fn bind(
    address: Option<SocketAddr>,
    failed: impl Fn(SocketAddr, std::io::Error) -> GatewayError,
) -> Result<Option<(TcpListener, SocketAddr)>, GatewayError> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|source| failed(address, source))?;
    let bound = listener.local_addr().map_err(|source| failed(address, source))?;
    Ok(Some((listener, bound)))
}

/// Gets the model's tokenizer, from the hub if need be.
async fn open_window_check(args: &GatewayArgs) -> Result<WindowCheck, GatewayError> {
    let folder = resolve(&args.model, ModelFiles::Tokenizer, &args.hub).await?;
    Ok(tokio::task::spawn_blocking(move || WindowCheck::open(&folder.path)).await??)
}

/// Runs the background tasks and the server until the drain is over.
async fn run(
    listener: TcpListener,
    router: Router,
    app: App,
    grace: std::time::Duration,
    readiness: watch::Sender<Readiness>,
    _admin: DropGuard,
) {
    app.tasks.spawn(readiness::run(app.clone(), readiness.clone()));
    app.tasks.spawn(readiness::log_advice(app.clone()));
    app.tasks.spawn(Janitor::new(app.patient_queue.for_accepted_job().clone(), app.live.clone()).run(app.stop.clone()));
    app.tasks.spawn(batches::feed(app.clone()));
    app.tasks.spawn(app.temporary_objects.clone().run(app.stop.clone()));
    server::run(listener, router, app, grace).await;
}
