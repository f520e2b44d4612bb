//! Damaged inputs for everything that reads bytes from outside, some seconds each.

use csm_testing::process::Process;

/// Variable with the length of each run, in seconds.
const SECONDS: &str = "CSM_FUZZ_SECONDS";
/// Length without the variable.
const DEFAULT_SECONDS: u64 = 5;

/// Runs one target in a process of its own, whose allocator counts.
async fn survives(target: &str) {
    let seconds = std::env::var(SECONDS).ok().map_or(DEFAULT_SECONDS, |text| text.parse().expect(SECONDS));
    let folder = tempfile::Builder::new().prefix("csm-fuzz-").tempdir().unwrap();
    let args = ["--target", target, "--seconds", &seconds.to_string(), "--folder"].map(str::to_owned).to_vec();
    let args = [args, vec![folder.path().display().to_string()]].concat();
    let mut process = Process::start("csm-fuzz", &args, &[], None).unwrap();
    // The program ends after its time by itself; nextest ends a test that does not.
    let status = process.wait().await.unwrap();
    assert!(status.success(), "{status}; the input is in {}", folder.keep().display());
}

#[tokio::test]
async fn no_body_is_answered_with_a_fault_of_the_gateway() {
    survives("json-bodies").await;
}

#[tokio::test]
async fn no_recording_panics_or_takes_more_than_its_limit() {
    survives("recordings").await;
}

#[tokio::test]
async fn no_text_panics_or_takes_long() {
    survives("texts").await;
}

#[tokio::test]
async fn no_frame_of_a_socket_panics_or_keeps_it_open() {
    survives("socket-messages").await;
}

#[tokio::test]
async fn no_hash_in_redis_panics_or_hangs_the_queue() {
    survives("redis-records").await;
}

#[tokio::test]
async fn no_hub_makes_a_file_outside_of_its_cache() {
    survives("hub-listings").await;
}
