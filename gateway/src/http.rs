//! Parts of HTTP that all routes share: bodies, byte ranges, request ids and problem documents.

pub(crate) mod body;
pub(crate) mod media_type;
pub(crate) mod problem;
pub(crate) mod range;
pub(crate) mod request_id;
pub(crate) mod request_metrics;
pub(crate) mod request_trace;
pub(crate) mod same_site;

pub(crate) use problem::Problem;
