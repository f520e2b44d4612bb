//! `/generate` and `/ws`: the face of the integration that this project replaces.
//!
//! Unknown fields are ignored, the lane is `live`, and the audio is a WAV file.

mod generate;
mod request;
mod result_summary;
mod socket;
mod ws;

pub(crate) use generate::generate;
pub(crate) use ws::ws;
