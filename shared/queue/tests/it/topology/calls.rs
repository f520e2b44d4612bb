//! Calls of the client that the tests of every topology make.

use std::time::Duration;

use csm_queue::redis_client::{RedisClient, RedisFault};
use futures::StreamExt as _;
use redis::Script;

use super::servers::{PATIENCE, command};

/// Adds one to each of some keys and returns their sum.
pub(super) async fn add(client: &RedisClient, keys: &[&str]) -> Result<i64, RedisFault> {
    let script =
        Script::new("local sum = 0; for _, key in ipairs(KEYS) do sum = sum + redis.call('INCR', key) end; return sum");
    let mut call = script.prepare_invoke();
    for key in keys {
        call.key(*key);
    }
    client.script(&call).await
}

/// Opens a connection for subscriptions, as soon as a server gives one.
async fn subscription(client: &RedisClient) -> redis::aio::PubSub {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match client.pubsub().await {
            Ok(pubsub) => return pubsub,
            Err(error) if error.is_transient() && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Checks that a published message reaches a subscriber, and a pushed item a blocked reader.
pub(super) async fn delivers(client: &RedisClient, key: &str) {
    let mut pubsub = subscription(client).await;
    pubsub.subscribe("news").await.unwrap();
    let mut heard = pubsub.on_message();
    // A message is sent only once, and the nodes of a cluster that has just changed may not pass it
    // on yet.
    let mut again = tokio::time::interval(Duration::from_millis(200));
    let heard = tokio::time::timeout(PATIENCE, async {
        loop {
            tokio::select! {
                message = heard.next() => break message.unwrap().get_payload::<String>().unwrap(),
                _ = again.tick() => client.command::<()>(&command("PUBLISH news hello")).await.unwrap(),
            }
        }
    });
    assert_eq!(heard.await.unwrap(), "hello");

    let mut blocking = client.blocking_connection(key, PATIENCE).await.unwrap();
    let wait = command(&format!("BLPOP {key} 60"));
    let popped = wait.query_async::<(String, String)>(&mut blocking);
    let (popped, pushed) =
        tokio::join!(popped, async { client.command::<()>(&command(&format!("RPUSH {key} token"))).await });
    pushed.unwrap();
    assert_eq!(popped.unwrap(), (key.to_owned(), "token".to_owned()));
}
