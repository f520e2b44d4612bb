//! Wyoming, the protocol by which Home Assistant asks for speech: events over TCP, on a port of its
//! own.
//!
//! A text comes whole (`synthesize`) or in pieces (`synthesize-start`, `-chunk`, `-stop`); then each
//! sentence is spoken as soon as it is whole. The audio is 24 kHz, mono, 16 bit, and leaves while it
//! is made. A closed connection cancels what it asked for. The protocol has no keys and no TLS.

mod event;
mod info;
mod session;

use std::net::SocketAddr;

use csm_shared::process::connections::Peer;
use tokio::net::TcpListener;

use crate::app::App;

/// Serves connections until the app is told to stop.
pub(crate) async fn run(listener: TcpListener, app: App) {
    while let Some(accepted) = app.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, address)) => begin(&app, stream, address),
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept Wyoming connection");
                // Such as too many open files: the next try would fail at once.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Pause after a connection that could not be accepted.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// Serves a connection in a task of its own, if there is a place for it.
fn begin(app: &App, stream: tokio::net::TcpStream, address: SocketAddr) {
    let peer = Peer::of(address.ip());
    let Some(place) = app.sockets.take(peer) else {
        tracing::warn!(%address, "refusing Wyoming connection, too many sockets are open");
        return;
    };
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        session::serve(app, peer, stream).await;
        drop(place);
    });
}
