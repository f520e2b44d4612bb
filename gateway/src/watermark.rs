//! `/v1/watermark`: the search for marks in recordings.

mod detect_watermark;
mod recording_upload;

pub(crate) use detect_watermark::detect_watermark;
