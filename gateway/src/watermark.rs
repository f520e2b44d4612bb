//! `/v1/watermark`: the search for marks in recordings.

mod detect_watermark;

pub(crate) use detect_watermark::detect_watermark;
