//! The HTTP and WebSocket front of csm-fleet: a request becomes a job in the queue, the job's audio goes back to its
//! caller. It knows the model's tokenizer and window, and nothing else of the model.
//!
//! Reading order: settings ([`GatewayArgs`]), what requests share (`app`), the paths (`router`, `routes`), a request's way
//! in (`body`, `request`, `window_check`, `submit`) and out (`wait`, `socket`, `response`, `provenance_headers`, `problem`), then the server itself.

#![forbid(unsafe_code)]

mod config;

mod app;
mod router;
mod routes;

mod body;
mod detections;
mod request;
mod request_id;
mod submit;
mod window_check;

mod problem;
mod provenance_headers;
mod range;
mod response;
mod socket;
mod wait;

mod readiness;
mod server;

use std::net::SocketAddr;

use csm_queue::queue::Janitor;
use csm_shared::models::{HubError, ModelFiles, resolve};
use csm_shared::process::admin::{self, AdminError, Readiness};
use csm_shared::prompt::PromptError;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use app::AppError;
pub use config::{DetectionKeyArgs, GatewayArgs};

use app::App;
use window_check::WindowCheck;

/// The gateway could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The public address could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as given.
        address: SocketAddr,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The admin address could not be bound.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// There is no tokenizer.
    #[error("CSM_MODEL: {0}")]
    Model(#[from] HubError),
    /// The tokenizer or the model's config cannot be read.
    #[error("CSM_MODEL: {0}")]
    Tokenizer(#[from] PromptError),
    /// Redis or the store is set up wrong.
    #[error(transparent)]
    App(#[from] AppError),
    /// The end was asked for before the start was done.
    #[error("stopped before the gateway was ready")]
    Stopped,
    /// A task of the gateway panicked.
    #[error("the gateway failed: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

/// A running gateway.
pub struct Gateway {
    /// Where the public API listens.
    pub address: SocketAddr,
    /// Where health, readiness and metrics are.
    pub admin_address: SocketAddr,
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

/// Binds both ports, gets the tokenizer, and serves until `stop` is cancelled; then drains within `args.drain`. Redis and
/// the store need not be there yet: readiness tells.
///
/// # Errors
/// [`GatewayError`]; nothing is left running then.
pub async fn serve(
    args: &GatewayArgs,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> Result<Gateway, GatewayError> {
    let failed = |source| GatewayError::Listen { address: args.listen, source };
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    // Health and metrics stay until everything else has ended.
    let over = CancellationToken::new();
    let guard = over.clone().drop_guard();
    let (readiness, seen) = watch::channel(Readiness::Starting { phase: "getting the tokenizer".to_owned() });
    let admin_address = admin::serve(args.admin_listen, seen, metrics, over).await?;

    let window_check =
        stop.run_until_cancelled(Box::pin(open_window_check(args))).await.ok_or(GatewayError::Stopped)??;
    let app = Box::pin(App::new(args, window_check, stop)).await?;
    tracing::info!(%address, %admin_address, model = %args.model, "gateway listens");
    let server = tokio::spawn(run(listener, app, args.drain, readiness, guard));
    Ok(Gateway { address, admin_address, server })
}

async fn open_window_check(args: &GatewayArgs) -> Result<WindowCheck, GatewayError> {
    let folder = resolve(&args.model, ModelFiles::Tokenizer, &args.hub).await?;
    Ok(tokio::task::spawn_blocking(move || WindowCheck::open(&folder.path)).await??)
}

async fn run(
    listener: TcpListener,
    app: App,
    grace: std::time::Duration,
    readiness: watch::Sender<Readiness>,
    _admin: DropGuard,
) {
    app.tasks.spawn(readiness::run(app.clone(), readiness.clone()));
    app.tasks.spawn(readiness::log_advice(app.clone()));
    app.tasks.spawn(Janitor::new(app.patient_queue.clone(), app.live.clone()).run(app.stop.clone()));
    let router = router::router(app.clone());
    server::run(listener, router, app, grace).await;
}
