//! What a caller may hold: bytes of memory, places of work, and time.
//!
//! [`MemoryBudget`] hands out the memory of the process. Bodies, messages of sockets, decoding,
//! searches for marks and answers draw on it. Whoever works on a request owns the
//! [`MemoryGrant`] until the work is done, whether the caller is still there or not.
//! [`RecordingDecoder`] decodes recordings in few places. [`UploadPace`] ends an upload that is too
//! slow. [`connection_limits`] bounds the connections of the public port.

mod memory_budget;
mod memory_limit;
mod public_port;
mod recording_decoder;
mod socket_meter;
mod socket_places;
mod upload_pace;

use std::net::{IpAddr, Ipv4Addr};

use axum::http::Extensions;
use csm_shared::process::connections::Peer;

pub(crate) use memory_budget::{MemoryBudget, MemoryGrant, NoMemory};
pub(crate) use memory_limit::memory_limit;
pub(crate) use public_port::connection_limits;
pub(crate) use recording_decoder::{DecodeError, DecodeRecording, RecordingDecoder};
pub(crate) use socket_meter::SocketMeter;
pub(crate) use socket_places::SocketPlaces;
pub(crate) use upload_pace::{UPLOAD_GRACE, UPLOAD_LIMIT, UPLOAD_RATE, UploadPace};

/// Returns the other end of a request's connection.
pub(crate) fn peer(extensions: &Extensions) -> Peer {
    extensions.get().copied().unwrap_or_else(|| Peer::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}
