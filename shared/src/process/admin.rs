//! The admin port of every process: liveness, readiness, metrics. Not for callers.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connections::{ConnectionLimits, Connections, Protocol};
use super::figures;

/// Bounds of the port. Probes and scrapes are small, and come from few peers.
const LIMITS: ConnectionLimits = ConnectionLimits {
    protocol: Protocol::Http1,
    connections_max: 256,
    peer_connections_max: 64,
    head_read: Duration::from_secs(5),
    write_stall: Duration::from_secs(10),
    last_request_wait: Duration::ZERO,
    head_bytes: 16 * 1024,
    gauge: None,
};
/// Longest time for answers to leave after the port was told to stop.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// State of a process, as its readiness probe reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Readiness {
    /// Not ready yet, in the given phase of starting.
    Starting {
        /// Current phase, such as `loading weights, 40 %`.
        phase: String,
    },
    /// Ready for work.
    Ready,
    /// Alive, but without something that it needs.
    Degraded {
        /// Name of the missing part.
        reason: String,
    },
    /// Finishing its work; takes nothing new.
    Draining,
}

impl Readiness {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Ready => StatusCode::OK,
            Self::Starting { .. } | Self::Degraded { .. } | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Error if the address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for health and metrics (--admin-listen, CSM_ADMIN_LISTEN): {source}")]
pub struct AdminError {
    address: SocketAddr,
    source: std::io::Error,
}

#[derive(Clone)]
struct Admin {
    readiness: watch::Receiver<Readiness>,
    metrics: PrometheusHandle,
}

/// Binds `address` and serves `/livez`, `/readyz` and `/metrics` until `stop` is cancelled. Returns
/// the bound address.
pub async fn serve(
    address: SocketAddr,
    readiness: watch::Receiver<Readiness>,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> Result<SocketAddr, AdminError> {
    let failed = |source| AdminError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let router = Router::new()
        .route("/livez", get(async || "alive"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(Admin { readiness, metrics });
    tokio::spawn(async move {
        let mut connections = Connections::new(LIMITS);
        connections.accept(listener, router, &stop).await;
        if timeout(CLOSE_LIMIT, connections.closed()).await.is_err() {
            tracing::debug!(connections = connections.len(), "closing connections of admin port");
        }
    });
    Ok(bound)
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    let readiness = admin.readiness.borrow().clone();
    (readiness.status(), Json(readiness))
}

async fn render(State(admin): State<Admin>) -> impl IntoResponse {
    (
        [("content-type", "text/plain; version=0.0.4; charset=utf-8")],
        format!("{}{}", admin.metrics.render(), figures::render()),
    )
}
