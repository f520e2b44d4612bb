//! `expires_in`, `deadline` and `durability`: the terms on which a job joins the queue.

use std::time::Duration;

use csm_queue::queue::{Durability, Ticket};
use csm_shared::job::Invalid;
use csm_shared::job::limits::EXPIRES_IN_SECONDS;
use jiff::Timestamp;

use super::JsonObject;

/// Reads the three fields into a ticket.
pub(crate) fn terms(object: &mut JsonObject<'_>, ticket: Ticket) -> Result<Ticket, Invalid> {
    Ok(Ticket {
        expires_in: expires_in(object)?,
        deadline: deadline(object)?,
        durability: durability(object)?,
        ..ticket
    })
}

/// Reads the longest wait in the queue, in whole seconds.
fn expires_in(object: &mut JsonObject<'_>) -> Result<Option<Duration>, Invalid> {
    let Some(number) = object.integer(&["expires_in"])? else { return Ok(None) };
    let seconds = u64::try_from(number).ok().filter(|&seconds| EXPIRES_IN_SECONDS.allows(seconds));
    let refused = || Invalid::outside("expires_in", number, &EXPIRES_IN_SECONDS);
    seconds.map(Duration::from_secs).map(Some).ok_or_else(refused)
}

/// Reads the moment after which the result is useless. A deadline in the past is refused later,
/// because a repeated request may name one.
fn deadline(object: &mut JsonObject<'_>) -> Result<Option<Timestamp>, Invalid> {
    let Some(text) = object.string("deadline")? else { return Ok(None) };
    let expected = "an RFC 3339 timestamp, such as 2030-01-31T12:00:00Z";
    text.parse().map(Some).map_err(|_| Invalid::malformed("deadline", text, expected))
}

/// Reads the faults that a job survives once it counts as accepted.
fn durability(object: &mut JsonObject<'_>) -> Result<Durability, Invalid> {
    match object.string("durability")?.as_deref() {
        None | Some("default") => Ok(Durability::Default),
        Some("fsync") => Ok(Durability::Fsync),
        Some(other) => Err(Invalid::malformed("durability", other, "default or fsync")),
    }
}
