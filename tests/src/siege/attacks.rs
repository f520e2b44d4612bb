//! What attackers do. Each function is one round of one attacker; most last until the gateway ends
//! them or the attack is over.

pub(super) mod bodies;
pub(super) mod browsers;
pub(super) mod connections;
pub(super) mod jobs;
pub(super) mod payloads;
pub(super) mod sockets;
pub(super) mod uploads;

use super::attack_table::Attacker;

/// Outcome of a connection that the gateway closed without an answer.
const CLOSED: &str = "closed";

/// Path to which jobs are posted.
const JOBS: &str = "/v1/jobs";

/// Returns the head of a POST request to `path`.
fn post_head(attacker: &Attacker, path: &str, framing: &str) -> String {
    let host = attacker.public;
    format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{framing}\r\n\r\n")
}
