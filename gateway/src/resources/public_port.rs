//! Bounds of the public port's connections.

use std::time::Duration;

use csm_shared::process::connections::{ConnectionLimits, Protocol};
use csm_shared::process::descriptors;
use csm_shared::process::telemetry::HTTP_CONNECTIONS;

/// Memory of one open connection without a request in progress, in bytes: its buffers and its task.
const CONNECTION_BYTES: u64 = 32 * 1024;
/// Share of the process's memory that idle connections may take: one part in this many.
const CONNECTIONS_PART: u64 = 4;
/// Largest number of open connections, whatever the memory.
const CONNECTIONS_MAX: u64 = 8_192;
/// Longest time for the head of a request, and for an idle connection between two requests.
const HEAD_READ_LIMIT: Duration = Duration::from_secs(30);
/// Longest time without progress of an answer whose caller does not read.
const WRITE_STALL_LIMIT: Duration = Duration::from_secs(30);
/// Idle time after which a connection closes once the gateway has stopped: as long as clients commonly keep
/// an idle connection for another request.
const LAST_REQUEST_WAIT: Duration = Duration::from_secs(5);
/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Returns the bounds of the connections of a process that may use `memory` bytes, within its limit
/// of open files. A peer may have half of the connections.
pub(crate) fn connection_limits(memory: u64) -> ConnectionLimits {
    let of_memory = (memory / CONNECTIONS_PART / CONNECTION_BYTES).clamp(2, CONNECTIONS_MAX) as usize;
    let connections_max = of_memory.min(descriptors::for_connections()).max(2);
    ConnectionLimits {
        protocol: Protocol::Http1,
        connections_max,
        peer_connections_max: connections_max / 2,
        head_read: HEAD_READ_LIMIT,
        write_stall: WRITE_STALL_LIMIT,
        last_request_wait: LAST_REQUEST_WAIT,
        head_bytes: HEAD_BYTES_MAX,
        gauge: Some(HTTP_CONNECTIONS),
    }
}
