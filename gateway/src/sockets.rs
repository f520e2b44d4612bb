//! WebSockets: the upgrade under one of few places, and the open socket with its limits.
//!
//! Every protocol over WebSockets opens its sockets here and talks through [`Socket`].

mod socket;
mod upgrade;

pub(crate) use socket::{Received, SessionEnd, Socket};
pub(crate) use upgrade::SocketUpgrade;

use crate::app::App;

/// Waits until a session must end because the gateway shuts down: soon if nothing of the session is in
/// progress, else at the end of the grace.
///
/// A session asks this before anything else (`biased`). The end of the grace also cuts its jobs,
/// which must not look like failures of theirs.
pub(crate) async fn shutdown(app: &App, idle: bool) -> SessionEnd {
    tokio::select! {
        () = app.stop.cancelled(), if idle => {}
        () = app.late.cancelled() => {}
    }
    SessionEnd::Restart
}

/// Longest message of a protocol whose messages are pieces of text, in bytes.
pub(crate) const TEXT_MESSAGE_MAX: usize = 64 * 1_024;
