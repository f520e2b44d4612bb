//! A pub/sub connection per process, shared by all followers of jobs. A message on a job's channel
//! wakes its followers. So does every reconnection, because messages sent meanwhile are lost.
//!
//! The channels that followers want are a set. The task compares the set with what its connection
//! is subscribed to, and sends the difference in batches. However many followers come and go at
//! once, the two sets end up equal.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use redis::RedisResult;
use redis::aio::PubSub;
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::job_reader::JobReaders;
use super::wake_channel;
use crate::redis_client::{RedisClient, RedisFault};
use csm_shared::job::JobId;
use csm_shared::process::outage_log::OutageLog;
use csm_shared::store::Store;

/// Largest number of channels in one command.
const BATCH_MAX: usize = 256;
/// Largest number of changed channels that are remembered one by one. Beyond it the task compares
/// all channels.
const CHANGES_MAX: usize = 4_096;
/// Longest wait for the confirmation of one command.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);
/// Pause before a lost connection is made again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// Handle on the task that wakes the followers of each job.
#[derive(Clone)]
pub struct Subscriptions {
    state: Arc<SubscriptionState>,
    /// Store that the events of ended jobs are read from.
    store: Option<Store>,
}

struct SubscriptionState {
    redis: RedisClient,
    topics: Arc<Topics>,
    readers: Arc<JobReaders>,
    _stop: DropGuard,
}

/// A follower's subscription to a channel. Dropping the last one of a channel ends the subscription
/// in Redis.
pub struct Subscription {
    state: Arc<SubscriptionState>,
    channel: String,
    /// Whether the connection is subscribed to the channel.
    wake: watch::Receiver<bool>,
}

impl Subscription {
    /// Returns when a message has come since the last call, or may have been missed.
    pub async fn woken(&mut self) {
        // Cannot fail: the sender lives in the topic, and the topic as long as this subscription.
        let _ = self.wake.changed().await;
    }

    /// Returns true while the connection is subscribed to the channel, so that messages arrive.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        *self.wake.borrow()
    }
}

impl Subscriptions {
    /// Starts the task that listens. The task ends when the last handle and the last follower are
    /// gone.
    #[must_use]
    pub fn start(redis: RedisClient) -> Self {
        let stop = CancellationToken::new();
        let topics = Arc::new(Topics::default());
        let listener = listen(redis.clone(), Arc::clone(&topics));
        let until = stop.clone();
        tokio::spawn(async move { until.run_until_cancelled(listener).await });
        let readers = Arc::default();
        Self { state: Arc::new(SubscriptionState { redis, topics, readers, _stop: stop.drop_guard() }), store: None }
    }

    /// Returns the handle with the store that holds the events of ended live jobs.
    #[must_use]
    pub fn with_store(self, store: Store) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Returns the Redis client that followers read with.
    pub(super) fn redis(&self) -> &RedisClient {
        &self.state.redis
    }

    /// Returns the store of the events of ended jobs.
    pub(super) const fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Returns the readers of the jobs that are followed.
    pub(super) fn readers(&self) -> &Arc<JobReaders> {
        &self.state.readers
    }

    /// Subscribes to a job: from now on every message about the job's events wakes the
    /// subscription.
    pub(super) fn subscribe(&self, job: &JobId) -> Subscription {
        self.subscribe_to(wake_channel(self.state.redis.prefix(), job))
    }

    /// Subscribes to any channel.
    #[must_use]
    pub fn subscribe_to(&self, channel: String) -> Subscription {
        let wake = self.state.topics.add_follower(&channel);
        Subscription { state: Arc::clone(&self.state), channel, wake }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.state.topics.remove_follower(&self.channel);
    }
}

/// Channels that have followers.
#[derive(Default)]
struct Topics {
    wanted: Mutex<WantedChannels>,
    /// Notified when a channel gets its first follower or loses its last.
    changed: Notify,
}

#[derive(Default)]
struct WantedChannels {
    topics: HashMap<String, Topic>,
    /// Channels to compare with the connection's.
    changed: HashSet<String>,
    /// Whether all channels are to be compared.
    all_changed: bool,
}

/// A channel with at least one follower.
struct Topic {
    followers: usize,
    /// Whether the connection is subscribed; sent again for each message.
    wake: watch::Sender<bool>,
}

/// Commands that bring a connection closer to the wanted channels.
#[derive(Debug, Default, PartialEq)]
struct Difference {
    subscribe: Vec<String>,
    unsubscribe: Vec<String>,
}

impl Topics {
    fn add_follower(&self, channel: &str) -> watch::Receiver<bool> {
        let mut wanted = self.lock();
        if let Some(topic) = wanted.topics.get_mut(channel) {
            topic.followers += 1;
            return topic.wake.subscribe();
        }
        let (wake, receiver) = watch::channel(false);
        wanted.topics.insert(channel.to_owned(), Topic { followers: 1, wake });
        self.note_change(wanted, channel);
        receiver
    }

    fn remove_follower(&self, channel: &str) {
        let mut wanted = self.lock();
        let Some(topic) = wanted.topics.get_mut(channel) else { return };
        topic.followers -= 1;
        if topic.followers == 0 {
            wanted.topics.remove(channel);
            self.note_change(wanted, channel);
        }
    }

    fn note_change(&self, mut wanted: MutexGuard<'_, WantedChannels>, channel: &str) {
        if wanted.changed.len() < CHANGES_MAX {
            wanted.changed.insert(channel.to_owned());
        } else {
            wanted.all_changed = true;
        }
        drop(wanted);
        self.changed.notify_one();
    }

    /// Makes the next comparison one of all channels, for a connection that has none.
    fn forget_connection(&self) {
        let mut wanted = self.lock();
        wanted.all_changed = true;
        for topic in wanted.topics.values() {
            // Not a message: nobody wakes.
            topic.wake.send_if_modified(|confirmed| {
                *confirmed = false;
                false
            });
        }
    }

    /// Takes up to [`BATCH_MAX`] changed channels, and returns those that a connection with these
    /// subscriptions lacks or has in vain. Returns `None` if no channel has changed.
    fn take_difference(&self, subscribed: &HashSet<String>) -> Option<Difference> {
        let mut wanted = self.lock();
        if wanted.all_changed {
            wanted.all_changed = false;
            let all = wanted.topics.keys().chain(subscribed).cloned().collect();
            wanted.changed = all;
        }
        let batch: Vec<_> = wanted.changed.iter().take(BATCH_MAX).cloned().collect();
        let mut difference = Difference::default();
        for channel in batch {
            wanted.changed.remove(&channel);
            match (wanted.topics.contains_key(&channel), subscribed.contains(&channel)) {
                (true, false) => difference.subscribe.push(channel),
                (false, true) => difference.unsubscribe.push(channel),
                (true, true) | (false, false) => {}
            }
        }
        let more = !wanted.changed.is_empty();
        let changed = more || difference != Difference::default();
        changed.then_some(difference)
    }

    /// Wakes the followers of a channel to which the connection is subscribed.
    fn wake(&self, channel: &str) {
        if let Some(topic) = self.lock().topics.get(channel) {
            topic.wake.send_replace(true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, WantedChannels> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects again and again. Each new connection subscribes to all wanted channels, and each
/// confirmed subscription wakes the channel's followers.
async fn listen(redis: RedisClient, topics: Arc<Topics>) {
    loop {
        topics.forget_connection();
        let outcome = match redis.pubsub().await {
            Ok(connection) => relay(connection, &topics).await,
            Err(fault) => Err(fault),
        };
        static OUTAGE: OutageLog = OutageLog::new();
        if let Some(outage) = OUTAGE.failed() {
            let error = outcome.err().map(tracing::field::display);
            tracing::warn!(error, %outage, "reconnecting subscription connection");
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// Serves one connection until it ends.
async fn relay(connection: PubSub, topics: &Topics) -> Result<(), RedisFault> {
    let (mut sink, mut messages) = connection.split();
    let mut subscribed = HashSet::new();
    loop {
        if let Some(Difference { subscribe, unsubscribe }) = topics.take_difference(&subscribed) {
            // A command without channels would mean all channels.
            if !subscribe.is_empty() {
                confirmed(sink.subscribe(&subscribe[..])).await?;
                subscribe.iter().for_each(|channel| topics.wake(channel));
                subscribed.extend(subscribe);
            }
            if !unsubscribe.is_empty() {
                confirmed(sink.unsubscribe(&unsubscribe[..])).await?;
                unsubscribe.iter().for_each(|channel| _ = subscribed.remove(channel));
            }
            // Messages have their turn before the next batch.
            topics.changed.notify_one();
        }
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => topics.wake(message.get_channel_name()),
                None => return Ok(()),
            },
            () = topics.changed.notified() => {}
        }
    }
}

async fn confirmed(command: impl Future<Output = RedisResult<()>>) -> Result<(), RedisFault> {
    let silent =
        |_| RedisFault::Unavailable(format!("no confirmation of a subscription in {} s", CONFIRM_LIMIT.as_secs()));
    Ok(tokio::time::timeout(CONFIRM_LIMIT, command).await.map_err(silent)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies differences until there is none, and returns the number of commands.
    fn reconcile(topics: &Topics, subscribed: &mut HashSet<String>) -> usize {
        let mut commands = 0;
        while let Some(Difference { subscribe, unsubscribe }) = topics.take_difference(subscribed) {
            assert!(subscribe.len() + unsubscribe.len() <= BATCH_MAX);
            subscribed.extend(subscribe);
            unsubscribe.iter().for_each(|channel| assert!(subscribed.remove(channel)));
            commands += 1;
        }
        commands
    }

    #[test]
    fn the_connection_ends_up_with_the_wanted_channels_however_many_change_at_once() {
        let (topics, mut subscribed) = (Topics::default(), HashSet::from(["stale".to_owned()]));
        topics.forget_connection();
        let names: Vec<_> = (0..2 * CHANGES_MAX).map(|n| n.to_string()).collect();
        for name in &names {
            topics.add_follower(name);
            topics.add_follower(name);
        }
        for name in &names[..100] {
            topics.remove_follower(name);
            topics.remove_follower(name);
        }
        reconcile(&topics, &mut subscribed);
        assert_eq!(subscribed, names[100..].iter().cloned().collect());
        names[100..].iter().for_each(|name| topics.remove_follower(name));
        assert_eq!(topics.take_difference(&subscribed), None, "each channel has one follower left");
        names[100..].iter().for_each(|name| topics.remove_follower(name));
        reconcile(&topics, &mut subscribed);
        assert_eq!(subscribed, HashSet::new());
        assert_eq!(reconcile(&topics, &mut subscribed), 0);
    }
}
