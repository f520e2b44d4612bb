//! Announcements of workers that look for marks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_queue::detect_queue::{DetectQueue, DetectorAvailability};

use crate::fleet::TestFleet;

#[tokio::test]
async fn a_dead_detector_is_not_available_for_the_hour_by_which_the_clock_was_set_back() {
    let fleet = TestFleet::start().await;
    let in_an_hour = (jiff::Timestamp::now().as_second() + 3_600).to_string();
    fleet.redis_cli(&["ZADD", "test:{detect}:attended", &in_an_hour, "dead"]).await;
    fleet.redis_cli(&["SADD", "test:{detect}:schemes", "silentcipher"]).await;
    let detectors = DetectQueue::new(fleet.client.clone());
    assert_eq!(detectors.availability().await.unwrap(), DetectorAvailability::Gone);
}
