//! Objects that are removed at a time, in a real Redis and a folder.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use csm_queue::temporary_objects::TemporaryObjects;
use csm_shared::store::{ObjectKey, StoreError};
use jiff::Timestamp;

use crate::fleet::TestFleet;

#[tokio::test]
async fn temporary_objects_are_removed_when_they_are_due_and_not_before() {
    let fleet = TestFleet::start().await;
    let objects = TemporaryObjects::new(fleet.client.clone(), fleet.store.clone());
    let now = Timestamp::now();
    let key = |n: u64| ObjectKey::new(format!("events/x/{n}")).unwrap();
    for n in 0..250 {
        let until = now + Duration::from_secs(if n < 240 { 10 } else { 20 });
        objects.put(&key(n), Bytes::from_static(b"x"), "text/plain", until).await.unwrap();
    }
    // Removed by someone else, and written again with the same time.
    fleet.store.delete(&key(3)).await.unwrap();
    objects.put(&key(4), Bytes::from_static(b"x"), "text/plain", now + Duration::from_secs(10)).await.unwrap();
    assert_eq!(objects.remove_due(now).await.unwrap(), 0);
    assert_eq!(objects.remove_due(now + Duration::from_secs(11)).await.unwrap(), 240);
    for n in [0, 3, 4, 239] {
        assert!(matches!(fleet.store.get(&key(n)).await, Err(StoreError::NotFound(_))), "{n}");
    }
    assert!(fleet.store.get(&key(249)).await.is_ok());
    assert_eq!(objects.remove_due(now + Duration::from_secs(11)).await.unwrap(), 0);
    assert_eq!(objects.remove_due(now + Duration::from_secs(30)).await.unwrap(), 10);
    assert_eq!(fleet.ask::<u64>(&["ZCARD", "test:temporary"]).await, 0);
}
