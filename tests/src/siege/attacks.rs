//! What attackers do. Each function is one round of one attacker; most last until the gateway ends
//! them or the attack is over.

pub(super) mod answers;
pub(super) mod bodies;
pub(super) mod browsers;
pub(super) mod connections;
pub(super) mod payloads;
pub(super) mod sockets;
pub(super) mod uploads;

use std::net::SocketAddr;

/// Outcome of a connection that the gateway closed without an answer.
const CLOSED: &str = "closed";

/// Returns the head of a POST request to the native face.
fn post_head(address: SocketAddr, framing: &str) -> String {
    format!("POST /v1/jobs HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n{framing}\r\n\r\n")
}
