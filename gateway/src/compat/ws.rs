//! `GET /ws`: the upgrade to a WebSocket. [`super::socket`] serves the open socket.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use csm_shared::job::limits::BODY_BYTES;
use csm_shared::process::connections::{ConnectionHandle, Peer};
use csm_shared::process::telemetry::{OpenCount, WEBSOCKETS};

use super::socket::{Session, SessionOrigin};
use crate::app::App;
use crate::caller::tenant;
use crate::http::Problem;
use crate::http::request_id::RequestId;
use crate::provenance_headers::Provenance;
use crate::resources::SocketMeter;

/// Buffers of a socket for bytes that arrive and that leave, in bytes each.
const BUFFER_BYTES: usize = 16 * 1024;

/// Parameter with which a caller asks for a summary after each file.
const RECEIPTS: &str = "receipts=true";

/// Opens a WebSocket under one of few permits.
pub(crate) async fn ws(
    State(app): State<App>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    uri: Uri,
    Extension(peer): Extension<Peer>,
    Extension(connection): Extension<ConnectionHandle>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|why| Problem::no_upgrade(why.status(), why.body_text()))?;
    let tenant = tenant(&headers)?;
    if app.stop.is_cancelled() {
        return Err(Problem::draining());
    }
    let place = app.sockets.take(peer);
    let place = place.ok_or_else(|| Problem::overloaded("Too many WebSockets are open. Try again."))?;
    let receipts = uri.query().is_some_and(|query| query.split('&').any(|parameter| parameter == RECEIPTS));
    let most = BODY_BYTES.max as usize;
    let upgrade = upgrade.max_message_size(most).max_frame_size(most);
    let upgrade = upgrade.read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    let meter = Arc::new(SocketMeter::new(app.memory.clone(), peer));
    let origin = SessionOrigin { tenant, peer, request_id, receipts };
    let opened = upgrade.on_upgrade(move |socket| {
        // The server does not wait for upgraded connections; the tracker does.
        let tasks = app.tasks.clone();
        tasks.track_future(async move {
            let _open = OpenCount::new(WEBSOCKETS);
            connection.meter(Arc::clone(&meter) as _);
            Session::new(socket, app, origin, meter).run().await;
            drop(place);
        })
    });
    Ok((Provenance::LIVE, opened).into_response())
}
