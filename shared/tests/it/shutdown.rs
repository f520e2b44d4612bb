//! Tests of shutdown signals on a real process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use csm_shared::process::shutdown::{EXIT_INTERRUPTED, EXIT_LATE, Shutdown};
use csm_testing::child::{Child, say};
use tokio::signal::unix::{SignalKind, signal};

/// Longest drain of the process, in case no signal ends it.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Runs as the process that the tests send signals to; not a test itself. SIGUSR1 ends its drain.
#[tokio::test]
#[ignore = "started by the tests below"]
async fn process_that_hangs() {
    let shutdown = Shutdown::on_signals(DRAIN_MAX).unwrap();
    let mut drained = signal(SignalKind::user_defined1()).unwrap();
    say("ready");
    shutdown.begun().await;
    say("begun");
    let drain = tokio::time::timeout(DRAIN_MAX, drained.recv()).await;
    std::process::exit(i32::from(drain.is_err()));
}

/// Runs as a process whose threads all stand still; not a test itself.
#[tokio::test]
#[ignore = "started by the tests below"]
async fn process_that_stands_still() {
    let _shutdown = Shutdown::on_signals(Duration::from_secs(1)).unwrap();
    say("ready");
    std::thread::sleep(DRAIN_MAX);
}

async fn begin(signal: &str) -> Child {
    let mut child = Child::start("shutdown::process_that_hangs");
    assert_eq!(child.says().await, "ready");
    child.signal(signal).await;
    assert_eq!(child.says().await, "begun");
    child
}

#[tokio::test]
async fn the_first_signal_begins_the_shutdown() {
    for signal in ["-TERM", "-INT"] {
        let mut child = begin(signal).await;
        child.signal("-USR1").await;
        assert_eq!(child.ended().await.code(), Some(0), "one signal leaves the process to its drain");
    }
}

#[tokio::test]
async fn the_second_signal_ends_the_process() {
    let mut child = begin("-TERM").await;
    child.signal("-INT").await;
    assert_eq!(child.ended().await.code(), Some(EXIT_INTERRUPTED));
}

#[tokio::test]
async fn a_process_that_stands_still_ends_at_its_time_limit() {
    let mut child = Child::start("shutdown::process_that_stands_still");
    assert_eq!(child.says().await, "ready");
    child.signal("-TERM").await;
    assert_eq!(child.ended().await.code(), Some(EXIT_LATE));
}
