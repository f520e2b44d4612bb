//! On which terms a job joins the queue: how long it may wait, until when its result is of use, how safely it is kept.

use std::time::Duration;

use csm_queue::queue::Durability;
use csm_shared::job::Invalid;
use csm_shared::job::limits::EXPIRES_IN_SECONDS;
use jiff::Timestamp;

use super::object::Object;

/// Longest wait in the queue, in whole seconds.
pub(super) fn expires_in(object: &mut Object) -> Result<Option<Duration>, Invalid> {
    let Some(number) = object.integer(&["expires_in"])? else { return Ok(None) };
    let seconds = u64::try_from(number).ok().filter(|&seconds| EXPIRES_IN_SECONDS.allows(seconds));
    let refused = || Invalid::outside("expires_in", number, &EXPIRES_IN_SECONDS);
    seconds.map(Duration::from_secs).map(Some).ok_or_else(refused)
}

/// When the result is of no more use. One that is over is refused later: a repeated request may rightly name it.
pub(super) fn deadline(object: &mut Object) -> Result<Option<Timestamp>, Invalid> {
    let Some(text) = object.string("deadline")? else { return Ok(None) };
    let expected = "an RFC 3339 timestamp, such as 2030-01-31T12:00:00Z";
    text.parse().map(Some).map_err(|_| Invalid::malformed("deadline", text, expected))
}

/// What the job has survived when it counts as accepted.
pub(super) fn durability(object: &mut Object) -> Result<Durability, Invalid> {
    match object.string("durability")?.as_deref() {
        None | Some("default") => Ok(Durability::Default),
        Some("fsync") => Ok(Durability::Fsync),
        Some(other) => Err(Invalid::malformed("durability", other, "default or fsync")),
    }
}
