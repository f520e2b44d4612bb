//! `/v1/watermark`: the search for marks in recordings.

mod detect_watermark;
mod detections;

pub(crate) use detect_watermark::detect_watermark;
pub(crate) use detections::Detections;
