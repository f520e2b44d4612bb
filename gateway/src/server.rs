//! Connections: accepted, each served in a task of its own, and drained in order and in time.
//!
//! The server speaks HTTP/1.1 only. HTTP/1.1 carries all of this API, WebSockets included, and its
//! header reads have a time limit.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use csm_shared::process::outage_log::OutageLog;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Largest number of open connections; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 8_192;
/// Longest time for the headers of a request, and for an idle connection between two requests.
const HEADER_READ_LIMIT: Duration = Duration::from_secs(30);
/// Pause after a failed accept, for example because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest time for answers to leave after the end of the grace.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// Serves until the app is told to stop, then drains within `grace` (and [`FLUSH_LIMIT`]).
pub(crate) async fn run(listener: TcpListener, router: Router, app: App, grace: Duration) {
    let mut connections = JoinSet::new();
    // Only the token ends it. The listener is closed with it, so that callers go elsewhere.
    app.stop.run_until_cancelled(accept(listener, router, &app.stop, &mut connections)).await;
    tracing::info!(connections = connections.len(), grace_s = grace.as_secs(), "draining connections");
    if timeout(grace, drained(&mut connections, &app)).await.is_ok() {
        tracing::info!("drained connections");
        return;
    }
    let late = connections.len();
    tracing::warn!(connections = late, "cancelling requests at end of grace");
    app.late.cancel();
    if timeout(FLUSH_LIMIT, drained(&mut connections, &app)).await.is_err() {
        tracing::warn!(connections = connections.len(), tasks = app.tasks.len(), "closing connections at end of grace");
    }
}

/// Returns when every connection has closed and every task of a request is done.
async fn drained(connections: &mut JoinSet<()>, app: &App) {
    while connections.join_next().await.is_some() {}
    app.tasks.close();
    app.tasks.wait().await;
}

/// Accepts connections without end.
async fn accept(
    listener: TcpListener,
    router: Router,
    stop: &CancellationToken,
    connections: &mut JoinSet<()>,
) -> Infallible {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, caller)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    serve(stream, caller, router, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                static OUTAGE: OutageLog = OutageLog::new();
                if let Some(outage) = OUTAGE.failed() {
                    tracing::warn!(error = %error, %outage, "cannot accept connection");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection until it closes; on `stop` it closes after the request in progress.
async fn serve(stream: TcpStream, caller: SocketAddr, router: Router, stop: CancellationToken) {
    // Without Nagle's algorithm small answers and events leave at once.
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_LIMIT);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%caller, error = %error, "cannot serve connection");
    }
}
