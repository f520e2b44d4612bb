//! `lane`, `format` and `delivery`: the urgency of a job, and the way of its result.

use csm_shared::job::{AudioFormat, Delivery, Invalid, Lane};

use super::JsonObject;

/// Reads the lane.
pub(crate) fn lane(object: &mut JsonObject<'_>) -> Result<Lane, Invalid> {
    lane_or(object, Lane::default())
}

/// Reads the lane; `default` is the one of a request that names none.
pub(crate) fn lane_or(object: &mut JsonObject<'_>, default: Lane) -> Result<Lane, Invalid> {
    object.string("lane")?.map_or(Ok(default), |name| name.parse())
}

/// Reads the format of the audio file.
pub(crate) fn format(object: &mut JsonObject<'_>) -> Result<AudioFormat, Invalid> {
    object.string("format")?.map_or(Ok(AudioFormat::default()), |name| name.parse())
}

/// Reads the delivery. Its limit depends on the budget: see [`Delivery::check`].
pub(crate) fn delivery(object: &mut JsonObject<'_>) -> Result<Delivery, Invalid> {
    object.string("delivery")?.map_or(Ok(Delivery::default()), |name| name.parse())
}
