//! `GET /ws`: the upgrade to a WebSocket. [`super::socket`] serves the open socket.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use csm_shared::job::limits::BODY_BYTES;

use super::socket::{Session, SessionOrigin};
use crate::app::App;
use crate::http::Problem;
use crate::sockets::SocketUpgrade;

/// Parameter with which a caller asks for a summary after each file.
const RECEIPTS: &str = "receipts=true";

/// Opens a WebSocket under one of few permits.
pub(crate) async fn ws(State(app): State<App>, uri: Uri, upgrade: SocketUpgrade) -> Result<Response, Problem> {
    let receipts = uri.query().is_some_and(|query| query.split('&').any(|parameter| parameter == RECEIPTS));
    let (tenant, peer, request_id) = (upgrade.tenant.clone(), upgrade.peer, upgrade.request_id.clone());
    let origin = SessionOrigin { tenant, peer, request_id, receipts };
    upgrade.open(BODY_BYTES.max as usize, move |socket| Session::new(app, origin).run(socket))
}
