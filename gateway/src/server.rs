//! The public port, and its drain in order and in time.

use std::time::Duration;

use axum::Router;
use csm_shared::process::connections::Connections;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::app::App;

/// Longest time for answers to leave after the end of the grace.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// Serves until the app is told to stop, then drains within `grace` (and [`FLUSH_LIMIT`]).
pub(crate) async fn run(listener: TcpListener, router: Router, app: App, grace: Duration) {
    let mut connections = Connections::new(app.connection_limits);
    connections.accept(listener, router, &app.stop).await;
    tracing::info!(connections = connections.len(), grace_s = grace.as_secs(), "draining connections");
    if timeout(grace, drained(&mut connections, &app)).await.is_ok() {
        tracing::info!("drained connections");
        return;
    }
    tracing::warn!(connections = connections.len(), "cancelling requests at end of grace");
    app.late.cancel();
    if timeout(FLUSH_LIMIT, drained(&mut connections, &app)).await.is_err() {
        tracing::warn!(connections = connections.len(), tasks = app.tasks.len(), "closing connections at end of grace");
    }
}

/// Returns when every connection has closed and every task of a request is done.
async fn drained(connections: &mut Connections, app: &App) {
    connections.closed().await;
    app.tasks.close();
    app.tasks.wait().await;
}
