//! WebSockets: the upgrade under one of few places, and the open socket with its limits.
//!
//! Every protocol over WebSockets opens its sockets here and talks through [`Socket`].

mod socket;
mod upgrade;

pub(crate) use socket::{Received, SessionEnd, Socket};
pub(crate) use upgrade::SocketUpgrade;

/// Longest message of a protocol whose messages are pieces of text, in bytes.
pub(crate) const TEXT_MESSAGE_MAX: usize = 64 * 1_024;
