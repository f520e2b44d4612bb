//! Capabilities of the server, and advice on settings that could lose jobs.

use std::collections::HashMap;
use std::fmt;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Value};

use super::fault::{self, FaultScope};

/// Kind and version of a server, and the newer commands that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// `redis` or `valkey`.
    pub server: &'static str,
    /// Version of the server, such as `8.0.1`.
    pub version: String,
    /// `WAITAOF`: wait until a write is on disk (Redis 7.2, Valkey 7.2).
    pub waitaof: bool,
    /// `XACKDEL`: acknowledge and delete a stream's entry at once (Redis 8.2).
    pub xackdel: bool,
    /// `XNACK`: hand a stream's entry back (Redis 8.8).
    pub xnack: bool,
}

impl fmt::Display for Capabilities {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}", self.server, self.version)?;
        let newer = [("WAITAOF", self.waitaof), ("XACKDEL", self.xackdel), ("XNACK", self.xnack)];
        let names: Vec<_> = newer.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        if names.is_empty() { Ok(()) } else { write!(to, " ({})", names.join(", ")) }
    }
}

/// Asks a server what it is and which of the newer commands it has.
pub(super) async fn probe(connection: &mut MultiplexedConnection) -> RedisResult<Capabilities> {
    let info = Info::of(connection).await?;
    // A name that the server does not know is answered by nil.
    let mut names = redis::cmd("COMMAND");
    names.arg("INFO").arg("WAITAOF").arg("XACKDEL").arg("XNACK");
    let known: Vec<Value> = names.query_async(connection).await?;
    let has = |place: usize| known.get(place).is_some_and(|command| !matches!(command, Value::Nil));
    let (server, version) = match info.get("valkey_version") {
        Some(version) => ("valkey", version),
        None => ("redis", info.get("redis_version").unwrap_or("of unknown version")),
    };
    Ok(Capabilities { server, version: version.to_owned(), waitaof: has(0), xackdel: has(1), xnack: has(2) })
}

/// Settings that decide what a crash can cost.
pub(super) struct ServerSettings {
    info: Info,
    configured: Result<Configured, String>,
}

/// Settings that only CONFIG GET tells.
pub(super) struct Configured {
    pub(super) appendfsync: String,
    pub(super) no_fsync_on_rewrite: String,
    min_replicas: String,
}

/// Asks a server for its present settings.
pub(super) async fn settings(connection: &mut MultiplexedConnection) -> RedisResult<ServerSettings> {
    let info = Info::of(connection).await?;
    let mut pipeline = redis::pipe();
    for name in ["appendfsync", "no-appendfsync-on-rewrite", "min-replicas-to-write"] {
        pipeline.cmd("CONFIG").arg("GET").arg(name);
    }
    let answer = pipeline.query_async::<Vec<HashMap<String, String>>>(connection).await;
    let configured = match answer {
        Ok(found) => {
            let mut values = found.into_iter().map(|setting| setting.into_values().next().unwrap_or_default());
            let mut next = || values.next().unwrap_or_default();
            Ok(Configured { appendfsync: next(), no_fsync_on_rewrite: next(), min_replicas: next() })
        }
        Err(error) if fault::scope_of(&error) == FaultScope::Call => Err(refusal(&error)),
        Err(error) => return Err(error),
    };
    Ok(ServerSettings { info, configured })
}

/// Returns the text of a refusal, of a pipeline that of its first command.
fn refusal(error: &RedisError) -> String {
    let first = error.clone().into_server_errors().and_then(|answers| answers.first().map(|(_, first)| first.clone()));
    first.map_or_else(|| error.to_string(), |first| first.to_string())
}

impl ServerSettings {
    /// Returns whether the server keeps an append-only file.
    pub(super) fn keeps_aof(&self) -> bool {
        self.info.get("aof_enabled") == Some("1")
    }

    /// Returns the settings from CONFIG GET, or why they are not known.
    pub(super) fn configured(&self) -> Result<&Configured, &str> {
        self.configured.as_ref().map_err(String::as_str)
    }

    /// Returns a line for each setting that could lose jobs. `single` says that the URL names a
    /// single server.
    pub(super) fn advice(&self, single: bool) -> Vec<String> {
        let mut lines = Vec::new();
        match self.info.get("maxmemory_policy") {
            Some("noeviction") => {}
            Some(policy) => lines.push(format!(
                "maxmemory-policy is {policy}: once full, it throws jobs away; set maxmemory-policy noeviction"
            )),
            None => lines.push("maxmemory-policy was not checked: INFO does not tell".to_owned()),
        }
        if self.keeps_aof() {
            lines.extend(self.advice_on_fsync());
        } else {
            lines.push(
                "appendonly is no: a crash loses every job since its last snapshot; set appendonly yes".to_owned(),
            );
        }
        let has_replicas = self.info.get("connected_slaves").is_some_and(|count| count != "0");
        if has_replicas && self.configured().is_ok_and(|set| set.min_replicas == "0") {
            lines.push(
                "min-replicas-to-write is 0: a master cut off from its replicas takes jobs that the failover throws \
                 away; set min-replicas-to-write 1"
                    .to_owned(),
            );
        }
        match (self.info.get("redis_mode"), single) {
            (Some("cluster"), true) => {
                lines.push("it is one node of a cluster: write redis+cluster:// in CSM_REDIS_URL".to_owned());
            }
            (Some("sentinel"), _) => {
                lines.push("it is a sentinel, no server: write redis+sentinel:// in CSM_REDIS_URL".to_owned());
            }
            _ => {}
        }
        lines
    }

    fn advice_on_fsync(&self) -> Option<String> {
        match self.configured().map(|set| set.appendfsync.as_str()) {
            Ok("always") => None,
            Ok("everysec") => Some(
                "appendfsync is everysec: should its machine lose power, up to two seconds of accepted jobs and results \
                 are lost, those with durability=fsync excepted; set appendfsync always to close this for all"
                    .to_owned(),
            ),
            Ok(policy) => Some(format!(
                "appendfsync is {policy}: should its machine lose power, half a minute of jobs and results may be lost, \
                 and durability=fsync is refused; set appendfsync always or everysec"
            )),
            Err(why) => Some(format!("appendfsync was not checked, CONFIG GET is not permitted: {why}")),
        }
    }
}

/// The fields of INFO.
struct Info(HashMap<String, String>);

impl Info {
    async fn of(connection: &mut MultiplexedConnection) -> RedisResult<Self> {
        let text: String = redis::cmd("INFO").query_async(connection).await?;
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Ok(Self(text.lines().filter_map(field).collect()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}
