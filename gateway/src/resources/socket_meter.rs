//! Meter of a WebSocket's messages: their bytes are charged as they arrive.
//!
//! A message is held by the protocol's reader until it is complete, out of reach of the session.
//! The meter sees the bytes of the connection instead. If there is no memory for more of them, the
//! connection is not read, and a socket that gets none in time ends: others may wait for what the
//! socket holds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use csm_shared::process::connections::{Peer, ReadMeter};
use futures::future::BoxFuture;

use super::memory_budget::SMALL_BYTES;
use super::{MemoryBudget, MemoryGrant, NoMemory, UploadPace};

/// Memory by which the grant of a message grows, in bytes: the largest page that the system may put
/// under one byte of a buffer.
const STEP_BYTES: usize = 2 * 1024 * 1024;
/// Longest wait of an unfinished message for memory that others hold.
const ROOM_WAIT: Duration = Duration::from_secs(2);
/// Bytes in front of the payload of a control frame from a caller: two of head, four of mask
/// (RFC 6455, section 5.2).
const CONTROL_HEAD_BYTES: usize = 6;

/// Meter of one socket.
pub(crate) struct SocketMeter {
    budget: MemoryBudget,
    peer: Peer,
    state: Mutex<MeterState>,
}

/// Growth of a grant that waits for memory.
type Growing = BoxFuture<'static, (MemoryGrant, Result<(), NoMemory>)>;

struct MeterState {
    /// Bytes since the last complete message.
    unfinished: usize,
    /// Pace of the unfinished message.
    pace: Option<UploadPace>,
    /// Memory of the unfinished message; absent while it grows.
    grant: Option<MemoryGrant>,
    growing: Option<Growing>,
    /// True if the message got no memory in time.
    starved: bool,
}

impl SocketMeter {
    /// Makes the meter of a socket of `peer`.
    pub(crate) fn new(budget: MemoryBudget, peer: Peer) -> Self {
        let grant = Some(budget.begin(peer));
        let state = MeterState { unfinished: 0, pace: None, grant, growing: None, starved: false };
        Self { budget, peer, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, MeterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a message and returns its memory.
    pub(crate) fn end_message(&self) -> MemoryGrant {
        let mut state = self.state();
        let next = self.budget.begin(self.peer);
        (state.unfinished, state.pace, state.growing) = (0, None, None);
        // If the grant was still growing, its user grows it again.
        state.grant.replace(next).unwrap_or_else(|| self.budget.begin(self.peer))
    }

    /// Takes a control frame of `payload` bytes off the count: the frame is no part of a message.
    pub(crate) fn skip_control(&self, payload: usize) {
        let mut state = self.state();
        state.unfinished = state.unfinished.saturating_sub(payload + CONTROL_HEAD_BYTES);
        if state.unfinished == 0 {
            state.pace = None;
        }
    }

    /// Returns whether an unfinished message got no memory in time.
    pub(crate) fn is_starved(&self) -> bool {
        self.state().starved
    }

    /// Returns whether an unfinished message arrives too slowly.
    pub(crate) fn is_too_slow(&self) -> bool {
        let state = self.state();
        state.pace.is_some_and(|pace| pace.deadline(state.unfinished) <= tokio::time::Instant::now())
    }
}

impl ReadMeter for SocketMeter {
    fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let MeterState { unfinished, grant, growing, starved, .. } = &mut *state;
        // The place of a socket covers a small message.
        if let Some(held) = grant.take_if(|held| *unfinished > SMALL_BYTES && held.bytes() < *unfinished) {
            let (mut held, bytes) = (held, unfinished.next_multiple_of(STEP_BYTES));
            *growing = Some(Box::pin(async move {
                let grown = held.grow_within(bytes, ROOM_WAIT).await;
                (held, grown)
            }));
        }
        let Some(growth) = growing else { return Poll::Ready(()) };
        let Poll::Ready((held, grown)) = growth.as_mut().poll(context) else { return Poll::Pending };
        (*grant, *growing) = (Some(held), None);
        *starved = grown.is_err();
        // The session ends a socket that got no memory.
        if *starved { Poll::Pending } else { Poll::Ready(()) }
    }

    fn count(&self, bytes: usize) {
        let mut state = self.state();
        state.unfinished += bytes;
        if bytes > 0 {
            state.pace.get_or_insert_with(UploadPace::begin);
        }
    }
}
