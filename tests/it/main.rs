//! The whole system as its users run it: real processes, a real Redis, a real S3 protocol server,
//! real signals.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking and may say what it measured"
)]

mod cut_off;
mod source_tree;
mod test_client;
mod test_system;

mod arrows;
mod builds;
mod bulk;
mod deletion_cost;
mod drain;
mod edits;
mod faults;
mod fuzz;
mod heard;
mod live_reserve;
mod log_readers;
mod long_text;
mod manifests;
mod metric_names;
mod old_snippets;
mod other_fleet;
mod pages;
mod promise;
mod redis_rules;
mod resume;
mod retakes;
mod s3;
mod secured;
mod settings;
mod shared_faults;
mod siege;
mod slots;
mod soak;
mod toy_voice;
mod watermark;
mod watermark_policy;
