//! Tests of shutdown signals on a real process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use csm_shared::process::shutdown::{EXIT_INTERRUPTED, Shutdown};

use csm_testing::child::{Child, say};

/// Runs as the process that the tests send signals to; not a test itself. Its drain takes three
/// seconds.
#[tokio::test]
#[ignore = "started by the tests below"]
async fn process_that_hangs() {
    let shutdown = Shutdown::on_signals().unwrap();
    say("ready");
    shutdown.begun().await;
    say("begun");
    // Leaves time for a second signal; without one, the shutdown is orderly.
    tokio::time::sleep(Duration::from_secs(3)).await;
    std::process::exit(0);
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
        assert_eq!(child.ended().await.code(), Some(0), "one signal leaves the process to its drain");
    }
}

#[tokio::test]
async fn the_second_signal_ends_the_process() {
    let mut child = begin("-TERM").await;
    child.signal("-INT").await;
    assert_eq!(child.ended().await.code(), Some(EXIT_INTERRUPTED));
}
