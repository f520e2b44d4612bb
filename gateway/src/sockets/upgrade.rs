//! Upgrade of a request to a WebSocket.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use csm_shared::job::Tenant;
use csm_shared::process::connections::{ConnectionHandle, Peer};
use csm_shared::process::telemetry::{OpenCount, WEBSOCKETS};
use tracing::{Instrument as _, Span};

use super::Socket;
use crate::app::App;
use crate::caller::tenant;
use crate::http::Problem;
use crate::http::request_id::RequestId;
use crate::provenance_headers::Provenance;
use crate::resources::{SocketMeter, peer};

/// Buffers of a socket for bytes that arrive and that leave, in bytes each.
const BUFFER_BYTES: usize = 16 * 1_024;

/// Request for a WebSocket, as an extractor.
pub(crate) struct SocketUpgrade {
    app: App,
    upgrade: WebSocketUpgrade,
    connection: Option<ConnectionHandle>,
    /// Other end of the connection.
    pub(crate) peer: Peer,
    /// Tenant of the socket's jobs.
    pub(crate) tenant: Tenant,
    /// Id of the request; what the socket tells of a fault carries it.
    pub(crate) request_id: String,
}

impl FromRequestParts<App> for SocketUpgrade {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, app).await;
        let upgrade = upgrade.map_err(|why| Problem::no_upgrade(why.status(), why.body_text()))?;
        let request_id = parts.extensions.get().map_or_else(String::new, |RequestId(id)| id.clone());
        let (peer, connection) = (peer(&parts.extensions), parts.extensions.get().cloned());
        Ok(Self { app: app.clone(), upgrade, connection, peer, tenant: tenant(&parts.headers)?, request_id })
    }
}

impl SocketUpgrade {
    /// Offers subprotocols. The answer names the first one that the caller offers as well.
    pub(crate) fn offer_protocols(mut self, protocols: &'static [&'static str]) -> Self {
        self.upgrade = self.upgrade.protocols(protocols.iter().copied());
        self
    }

    /// Opens the socket for messages of up to `message_max` bytes, and serves it in a task that the
    /// shutdown waits for.
    ///
    /// # Errors
    /// [`Problem`] if the gateway shuts down, or if all places are taken.
    pub(crate) fn open<F: Future<Output = ()> + Send + 'static>(
        self,
        message_max: usize,
        serve: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Result<Response, Problem> {
        let Self { app, upgrade, connection, peer, .. } = self;
        if app.stop.is_cancelled() {
            return Err(Problem::draining());
        }
        let place = app.sockets.take(peer);
        let place = place.ok_or_else(|| Problem::overloaded("Too many WebSockets are open. Try again."))?;
        let upgrade = upgrade.max_message_size(message_max).max_frame_size(message_max);
        let upgrade = upgrade.read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
        let request = Span::current();
        let opened = upgrade.on_upgrade(move |socket| {
            // The server does not wait for upgraded connections; the tracker does.
            let tasks = app.tasks.clone();
            let served = async move {
                let _open = OpenCount::new(WEBSOCKETS);
                let meter = Arc::new(SocketMeter::new(app.memory.clone(), peer));
                if let Some(connection) = connection {
                    connection.meter(Arc::clone(&meter) as _);
                }
                serve(Socket::new(socket, meter)).await;
                drop(place);
            };
            tasks.track_future(served.instrument(request))
        });
        Ok((Provenance::LIVE, opened).into_response())
    }
}
