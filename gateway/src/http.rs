//! Parts of HTTP that all routes share: bodies, forms, byte ranges, request ids, headers with warnings, and
//! problem documents.

pub(crate) mod body;
pub(crate) mod form;
pub(crate) mod media_type;
pub(crate) mod problem;
pub(crate) mod range;
pub(crate) mod request_id;
pub(crate) mod request_metrics;
pub(crate) mod request_trace;
pub(crate) mod same_site;
mod warning_headers;

pub(crate) use problem::Problem;
pub(crate) use warning_headers::append_warnings;
