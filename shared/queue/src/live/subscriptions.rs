//! A pub/sub connection per process, shared by all followers of jobs. A message on a job's channel
//! wakes its followers. So does every reconnection, because messages sent meanwhile are lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use redis::aio::PubSub;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::wake_channel;
use crate::redis_client::{RedisClient, RedisFault};
use csm_shared::job::JobId;
use csm_shared::process::outage_log::OutageLog;

/// Largest number of commands that wait for the task.
const COMMANDS_MAX: usize = 1_024;
/// Pause before a lost connection is made again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// Handle on the task that wakes the followers of each job.
#[derive(Clone)]
pub struct Subscriptions {
    state: Arc<SubscriptionState>,
}

struct SubscriptionState {
    redis: RedisClient,
    topics: Mutex<HashMap<String, Topic>>,
    commands: mpsc::Sender<SubscriptionCommand>,
    _stop: DropGuard,
}

/// A channel with at least one follower.
struct Topic {
    followers: usize,
    wake: watch::Sender<()>,
}

enum SubscriptionCommand {
    Subscribe(String),
    Unsubscribe(String),
}

/// A follower's subscription to a channel. Dropping the last one of a channel ends the subscription
/// in Redis.
pub struct Subscription {
    state: Arc<SubscriptionState>,
    channel: String,
    wake: watch::Receiver<()>,
}

impl Subscription {
    /// Returns when a message has come since the last call, or may have been missed.
    pub async fn woken(&mut self) {
        // Cannot fail: the sender lives in the topic, and the topic as long as this subscription.
        let _ = self.wake.changed().await;
    }
}

impl Subscriptions {
    /// Starts the task that listens. The task ends when the last handle and the last follower are
    /// gone.
    #[must_use]
    pub fn start(redis: RedisClient) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let stop = CancellationToken::new();
        let state = Arc::new(SubscriptionState {
            redis: redis.clone(),
            topics: Mutex::default(),
            commands,
            _stop: stop.clone().drop_guard(),
        });
        let weak = Arc::downgrade(&state);
        tokio::spawn(async move {
            let topics = || weak.upgrade().map(|state| state.channels()).unwrap_or_default();
            let wake = |channel: Option<&str>| {
                if let Some(state) = weak.upgrade() {
                    state.wake(channel);
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = listen(&redis, inbox, topics, wake) => {}
            }
        });
        Self { state }
    }

    /// Returns the Redis client that followers read with.
    pub(super) fn redis(&self) -> &RedisClient {
        &self.state.redis
    }

    /// Subscribes to a job: from now on every message about the job's events wakes the
    /// subscription.
    pub(super) fn subscribe(&self, job: &JobId) -> Subscription {
        self.subscribe_to(wake_channel(self.state.redis.prefix(), job))
    }

    /// Subscribes to any channel.
    pub fn subscribe_to(&self, channel: String) -> Subscription {
        let mut topics = self.state.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let topic = topics.entry(channel.clone()).or_insert_with(|| {
            self.state.command(SubscriptionCommand::Subscribe(channel.clone()));
            Topic { followers: 0, wake: watch::Sender::new(()) }
        });
        topic.followers += 1;
        Subscription { state: Arc::clone(&self.state), wake: topic.wake.subscribe(), channel }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut topics = self.state.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = topics.get_mut(&self.channel) else { return };
        topic.followers -= 1;
        if topic.followers == 0 {
            topics.remove(&self.channel);
            self.state.command(SubscriptionCommand::Unsubscribe(self.channel.clone()));
        }
    }
}

impl SubscriptionState {
    /// Sends the task a command. If its inbox is full the command is dropped: followers also read
    /// on a timer.
    fn command(&self, command: SubscriptionCommand) {
        if self.commands.try_send(command).is_err() {
            static OUTAGE: OutageLog = OutageLog::new();
            if let Some(outage) = OUTAGE.failed() {
                tracing::warn!(%outage, "cannot queue subscription command");
            }
        }
    }

    fn channels(&self) -> Vec<String> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Wakes the followers of one channel, or of all.
    fn wake(&self, channel: Option<&str>) {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        match channel {
            Some(channel) => topics.get(channel).into_iter().for_each(|topic| topic.wake.send_replace(())),
            None => topics.values().for_each(|topic| topic.wake.send_replace(())),
        }
    }
}

/// Connects again and again until the last handle is gone. Each new connection subscribes to all
/// topics and wakes all followers.
async fn listen(
    redis: &RedisClient,
    mut inbox: mpsc::Receiver<SubscriptionCommand>,
    topics: impl Fn() -> Vec<String>,
    wake: impl Fn(Option<&str>),
) {
    loop {
        let outcome = match redis.pubsub().await {
            Ok(connection) => relay(connection, &mut inbox, topics(), &wake).await,
            Err(fault) => Err(fault),
        };
        if inbox.is_closed() {
            return;
        }
        static OUTAGE: OutageLog = OutageLog::new();
        if let Some(outage) = OUTAGE.failed() {
            let error = outcome.err().map(tracing::field::display);
            tracing::warn!(error, %outage, "reconnecting subscription connection");
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// Serves one connection until it ends.
async fn relay(
    connection: PubSub,
    inbox: &mut mpsc::Receiver<SubscriptionCommand>,
    topics: Vec<String>,
    wake: &impl Fn(Option<&str>),
) -> Result<(), RedisFault> {
    let (mut sink, mut messages) = connection.split();
    for channel in topics {
        sink.subscribe(channel).await?;
    }
    wake(None);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => wake(Some(message.get_channel_name())),
                None => return Ok(()),
            },
            command = inbox.recv() => match command {
                Some(SubscriptionCommand::Subscribe(channel)) => {
                    sink.subscribe(&channel).await?;
                    wake(Some(&channel));
                }
                Some(SubscriptionCommand::Unsubscribe(channel)) => sink.unsubscribe(&channel).await?,
                None => return Ok(()),
            },
        }
    }
}
