//! Redis: the server that `csm dev` starts, and the server that a fleet is told to use.

use std::time::Duration;

use csm_queue::queue::{Queue, QueueArgs, QueueError};
use csm_queue::redis_client::{RedisArgs, RedisClient, RedisTlsArgs};
use secrecy::{ExposeSecret as _, SecretString};

use super::CheckResult;
use super::program::{answer, find, first_line};

/// Servers that `csm dev` can start, each with the oldest version that has the queue's commands.
const SERVERS: [(&str, (u32, u32)); 2] = [("redis-server", (6, 2)), ("valkey-server", (7, 2))];

const INSTALL: &str =
    "Install it: apt-get install redis-server, dnf install valkey, apk add valkey, brew install redis";

/// Checks the program that `csm dev` and the tests start. With a configured server, nothing else
/// needs it.
pub(super) async fn server(configured: bool) -> CheckResult {
    const CHECK: &str = "redis-server";
    let Some((name, oldest, file)) = SERVERS.iter().find_map(|&(name, oldest)| Some((name, oldest, find(name)?)))
    else {
        let what = "neither redis-server nor valkey-server is on PATH";
        return if configured {
            CheckResult::warning(CHECK, what, format!("`csm dev` and the tests need one. {INSTALL}"))
        } else {
            CheckResult::problem(CHECK, what, INSTALL)
        };
    };
    let said = answer(&file, &["--version"], &[]).await.map(|output| first_line(&output.stdout)).unwrap_or_default();
    match version(&said) {
        None => CheckResult::problem(CHECK, format!("{} does not say its version", file.display()), INSTALL),
        Some(version) if version < oldest => CheckResult::problem(
            CHECK,
            format!(
                "{} is {}.{}, while {}.{} is the oldest that works",
                file.display(),
                version.0,
                version.1,
                oldest.0,
                oldest.1
            ),
            format!("Install a newer {name}"),
        ),
        Some(version) => CheckResult::ok(CHECK, format!("{} {}.{}", file.display(), version.0, version.1)),
    }
}

/// Parses major and minor of `Redis server v=7.0.15 sha=...`.
pub(super) fn version(said: &str) -> Option<(u32, u32)> {
    let numbers = said.split_once("v=")?.1;
    let mut numbers = numbers.split(['.', ' ']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Checks whether the server at `url` answers, and which of its settings could cost jobs.
pub(super) async fn reachable(url: &SecretString, tls: &RedisTlsArgs) -> CheckResult {
    const CHECK: &str = "redis";
    const SCHEMES: &str =
        "A URL begins with redis://, redis+sentinel:// or redis+cluster:// (rediss for TLS), and certificates are PEM";
    let args = RedisArgs { tls: tls.clone(), ..RedisArgs::new(url.expose_secret(), "csm") };
    let client = match RedisClient::new(&args, Duration::ZERO) {
        Ok(client) => client,
        Err(error) => return CheckResult::problem(CHECK, error.to_string(), SCHEMES),
    };
    match answers(&client).await {
        Ok(what) => match client.advice().await {
            advice if advice.is_empty() => CheckResult::ok(CHECK, what),
            advice => CheckResult::warning(CHECK, what, advice.join(". ")),
        },
        Err(error) => CheckResult::problem(
            CHECK,
            format!("the server of CSM_REDIS_URL does not answer: {error}"),
            "Start it, or correct host, port and password; without the variable, `csm dev` starts one of its own",
        ),
    }
}

/// Describes the server and the jobs that wait there.
async fn answers(client: &RedisClient) -> Result<String, QueueError> {
    let server = client.capabilities().await?;
    let stats = Queue::new(client.clone(), &QueueArgs::default()).stats().await?;
    let waiting: u64 = stats.lanes.iter().map(|lane| lane.depth).sum();
    Ok(format!("{server}; {waiting} jobs in its lanes, {} running", stats.running))
}
