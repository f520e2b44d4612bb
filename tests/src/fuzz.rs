//! Damaged inputs for everything that reads bytes from outside: callers, Redis and the model hub.
//!
//! Inputs are seeded changes of a small corpus ([`csm_testing::mutator`]). An input is a fault if
//! its reader panics, takes too long, takes too much memory at once, or answers with an error of
//! the server. The gateway's inputs go through a real gateway over TCP, those of Redis through a
//! real server.
//!
//! Reading order:
//! - [`fuzz_run`]: the loop, its limits and the report
//! - `json_bodies`, `socket_messages`: a gateway in this process, of `fuzz_gateway`
//! - `recordings`, `texts`, `redis_records`, `hub_listings`

mod fuzz_gateway;
pub mod fuzz_run;
mod hub_listings;
mod json_bodies;
mod recordings;
mod redis_records;
mod socket_messages;
mod texts;

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use fuzz_run::{FuzzOptions, FuzzReport, drive};

/// Reader under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FuzzTargetName {
    /// Bodies of `POST /v1/jobs`.
    JsonBodies,
    /// Recordings of every format.
    Recordings,
    /// Texts to speak.
    Texts,
    /// Frames of WebSockets.
    SocketMessages,
    /// Hashes of jobs in Redis.
    RedisRecords,
    /// Listings, indexes and headers of the model hub.
    HubListings,
}

/// Feeds damaged inputs to one reader.
///
/// # Errors
/// If the reader's surroundings cannot be started. A fault of the reader is in the report.
pub async fn run(target: FuzzTargetName, options: &FuzzOptions) -> anyhow::Result<FuzzReport> {
    match target {
        FuzzTargetName::JsonBodies => drive(json_bodies::JsonBodies::start().await?, options).await,
        FuzzTargetName::Recordings => drive(recordings::Recordings, options).await,
        FuzzTargetName::Texts => drive(texts::Texts, options).await,
        FuzzTargetName::SocketMessages => drive(socket_messages::SocketMessages::start().await?, options).await,
        FuzzTargetName::RedisRecords => drive(redis_records::RedisRecords::start().await?, options).await,
        FuzzTargetName::HubListings => drive(hub_listings::HubListings::start().await?, options).await,
    }
}

/// Returns the folder of a corpus.
fn corpus_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

/// Returns a text without its digits, so that texts that differ in numbers alone are one outcome.
fn without_digits(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    text.chars().filter(|c| !c.is_ascii_digit()).take(CHARS_MAX).collect()
}
