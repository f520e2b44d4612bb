//! The commands, one file each.

mod bulk;
mod demo;
mod dev;
mod dlq;
mod doctor;
mod jobs;
mod model;
mod queue;
mod say;
mod top;
mod watermark;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use csm_queue::queue::{Queue, QueueArgs, SHARDS_MAX};
use csm_queue::redis_client::{RedisArgs, RedisClient, RedisTlsArgs};
use csm_shared::process::telemetry::{LogFormat, TelemetryArgs};
use secrecy::{ExposeSecret as _, SecretString};

use crate::local_fleet::{DEFAULT_DATA, KEY_PREFIX, running_redis};

/// Redis of a fleet whose settings do not name one.
const DEFAULT_REDIS: &str = "redis://127.0.0.1:6379";

/// Text to watermarked speech with CSM: the whole fleet, its client and its tools
#[derive(Debug, Parser)]
#[command(name = "csm", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole fleet on this machine: Redis, store, gateway and workers
    Dev(Box<dev::DevArgs>),
    /// Start a fleet, speak a sentence through its HTTP API, stop it again
    Demo(Box<demo::DemoArgs>),
    /// Speak a text and write the WAV
    Say(say::SayArgs),
    /// Speak all lines of a file; look at batches, pause or cancel them
    #[command(subcommand)]
    Bulk(bulk::BulkCommand),
    /// Look at a job, or cancel it
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Look at the queue; pause lanes; stop the intake
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Look at dead letters; retry them or throw them away
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// Watch lanes, workers and rates, once a second
    Top(top::TopArgs),
    /// Write the toy voice; make models of random weights; trace a model
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Time the engine beside its peers; compare number formats
    Bench(csm_bench::command::BenchArgs),
    /// Check this machine and say what a fleet lacks here. Exit status 1 if something does not work
    Doctor(Box<doctor::DoctorArgs>),
    /// Look for the watermark
    #[command(subcommand)]
    Watermark(watermark::WatermarkCommand),
}

impl Command {
    /// Returns the log settings. Servers log as told; the other commands log only failures and slow
    /// steps.
    pub(crate) fn logs(&self) -> TelemetryArgs {
        match self {
            Self::Dev(args) => args.logs.clone(),
            Self::Demo(args) => args.logs.to_telemetry(),
            Self::Say(_)
            | Self::Bulk(_)
            | Self::Jobs(_)
            | Self::Queue(_)
            | Self::Dlq(_)
            | Self::Watermark(_)
            | Self::Bench(_) => quiet("warn"),
            // Log lines would be written over the view, and both commands print failures
            // themselves.
            Self::Doctor(_) | Self::Top(_) => quiet("error"),
            Self::Model(_) => quiet("info"),
        }
    }

    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Dev(args) => dev::run(*args).await,
            Self::Demo(args) => demo::run(*args).await,
            Self::Say(args) => say::run(args).await,
            Self::Bulk(command) => bulk::run(command).await,
            Self::Bench(args) => csm_bench::command::run(args).await,
            Self::Doctor(args) => doctor::run(*args).await,
            Self::Jobs(command) => jobs::run(command).await,
            Self::Queue(command) => queue::run(command).await,
            Self::Dlq(command) => dlq::run(command).await,
            Self::Top(args) => top::run(&args).await,
            Self::Model(command) => Box::pin(model::run(command)).await,
            Self::Watermark(command) => watermark::run(&command),
        }
    }
}

/// Gateway to ask.
#[derive(Args, Clone, Debug)]
pub(crate) struct UrlArgs {
    /// URL of the gateway
    #[arg(long, env = "CSM_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(crate) url: String,
}

/// Queue in Redis, used without a gateway.
#[derive(Args, Clone, Debug)]
pub(crate) struct RedisQueueArgs {
    /// URL of Redis or Valkey, as for the fleet [default: the Redis of the `csm dev` that runs here,
    /// else redis://127.0.0.1:6379]
    #[arg(long, env = "CSM_REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<SecretString>,
    /// Data folder of the `csm dev` to look for
    #[arg(long, default_value = DEFAULT_DATA, value_name = "DIR", conflicts_with = "redis_url")]
    data: PathBuf,
    /// First part of every key
    #[arg(long, env = "CSM_KEY_PREFIX", default_value = KEY_PREFIX, value_name = "NAME")]
    key_prefix: String,
    /// Shards of the queue, the same number as for the fleet's other processes
    #[arg(long, env = "CSM_QUEUE_SHARDS", default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=i64::from(SHARDS_MAX)))]
    queue_shards: u16,
    #[command(flatten)]
    tls: RedisTlsArgs,
}

impl RedisQueueArgs {
    /// Opens the queue in the given Redis, else in that of the running `csm dev`, else at the usual
    /// address. While Redis is unreachable, a call is retried for `patience`.
    pub(crate) fn open(&self, patience: Duration) -> anyhow::Result<Queue> {
        let given = self.redis_url.as_ref().map(|url| url.expose_secret().to_owned());
        let running = if given.is_none() { running_redis(&self.data) } else { None };
        let is_dev = running.is_some();
        let redis_url = given.or(running).unwrap_or_else(|| DEFAULT_REDIS.to_owned());
        // `csm dev` has the usual prefix, one shard and no TLS, whatever the shell says of other fleets.
        let key_prefix = if is_dev { KEY_PREFIX.to_owned() } else { self.key_prefix.clone() };
        let queue_shards = if is_dev { 1 } else { self.queue_shards };
        let tls = if is_dev { RedisTlsArgs::default() } else { self.tls.clone() };
        let redis = RedisClient::new(&RedisArgs { redis_url, key_prefix, tls }, patience)?;
        Ok(Queue::new(redis, &QueueArgs { queue_shards, ..QueueArgs::default() }))
    }
}

fn quiet(log: &str) -> TelemetryArgs {
    TelemetryArgs { log: log.to_owned(), log_format: LogFormat::Text }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn arguments_do_not_collide() {
        Cli::command().debug_assert();
    }
}
