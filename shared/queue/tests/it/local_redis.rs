//! The private Redis ends with the process that started it, even after `kill -9`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use csm_testing::child::{Child, say};

/// Runs as the process that is killed; not a test.
#[tokio::test]
#[ignore = "started by the test below"]
async fn process_with_a_redis() {
    let folder = tempfile::tempdir().unwrap();
    let redis = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await.unwrap();
    say(&redis.port().to_string());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_parent_takes_its_redis_along() {
    let mut child = Child::start("local_redis::process_with_a_redis");
    let port: u16 = child.says().await.parse().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_ok());
    child.signal("-KILL").await;
    child.ended().await;
    let gone = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), gone).await.unwrap();
}
