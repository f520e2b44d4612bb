//! Writes that are on disk before they are answered.

use std::time::Duration;

use redis::{FromRedisValue, RedisError, RedisResult, ScriptInvocation, Value};

use super::RedisClient;
use super::capabilities;
use super::fault::RedisFault;
use super::key_slot;
use super::node::{ConnectionKind, RESPONSE_TIMEOUT};
use super::routing::RoutedConnection;

/// Time that the mark written before each wait is kept, in milliseconds.
const MARK_TTL_MS: u64 = 60_000;

/// Means by which a server confirms that a write is on disk.
enum SyncMethod {
    /// WAITAOF: the server tells when the write is on disk.
    Wait,
    /// `appendfsync always`: the reply already means that the write is on disk.
    Answer,
}

impl RedisClient {
    /// Runs a script like [`Self::script`], and returns once its writes are in the server's
    /// append-only file on disk. Each try waits up to `timeout` for the disk.
    ///
    /// # Errors
    /// [`RedisFault::Unsupported`], before anything is written, if the server's settings cannot
    /// guarantee it. [`RedisFault::Unavailable`] if the disk is too slow; the script has run
    /// nevertheless.
    pub async fn script_fsynced<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        timeout: Duration,
    ) -> Result<T, RedisFault> {
        self.patiently_for(timeout, || self.script_fsynced_once(script, timeout)).await
    }

    async fn script_fsynced_once<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        timeout: Duration,
    ) -> Result<T, RedisFault> {
        let key = script_key(script).await;
        let mut routed = RoutedConnection::new(&self.topology, ConnectionKind::Synced);
        let sync_method = match sync_method(&mut routed, key.as_deref()).await {
            Ok(sync_method) => {
                sync_method.map_err(|what| RedisFault::Unsupported(format!("durability=fsync: {what}")))?
            }
            Err(error) => return routed.end(Err(error)),
        };
        let outcome = script.invoke_async::<T>(&mut routed).await;
        match (outcome, sync_method) {
            (Ok(answer), SyncMethod::Wait) => {
                let synced = self.wait(&mut routed, timeout).await;
                routed.end(synced)?.then_some(answer).ok_or_else(|| {
                    RedisFault::Unavailable(format!("the write was not on disk within {} ms", timeout.as_millis()))
                })
            }
            (outcome, _) => routed.end(outcome),
        }
    }

    /// Waits until the writes of this connection are on disk; returns false if that takes too long.
    ///
    /// WAITAOF covers what *this connection* wrote last. A script that finds its work done (a
    /// repeat after a lost answer) writes nothing, so a mark is written first. An earlier write of
    /// another connection is on disk when the mark is.
    async fn wait(&self, routed: &mut RoutedConnection<'_>, timeout: Duration) -> RedisResult<bool> {
        let mark = self.mark(routed.key());
        let mut write = redis::cmd("SET");
        write.arg(mark).arg(1).arg("PX").arg(MARK_TTL_MS);
        write.query_async::<()>(routed).await?;
        routed.current()?.1.set_response_timeout(timeout + RESPONSE_TIMEOUT);
        // At least 1 ms: 0 would wait for ever.
        let limit_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let synced = redis::cmd("WAITAOF").arg(1).arg(0).arg(limit_ms).query_async::<(u32, u32)>(routed).await;
        routed.current()?.1.set_response_timeout(RESPONSE_TIMEOUT);
        Ok(synced?.0 > 0)
    }

    /// Returns a key in the slot of another, so that it is written on the same node.
    fn mark(&self, beside: Option<&[u8]>) -> Vec<u8> {
        let tag = beside.map_or(b"".as_slice(), key_slot::tag);
        [self.prefix.as_bytes(), b":{", tag, b"}:fsync"].concat()
    }
}

/// Returns how the server of a key can confirm the write with its present settings, or what is
/// missing. Asks over the call's own connection. A second one from the same pool might be held by a
/// call that also waits for a second one.
async fn sync_method(routed: &mut RoutedConnection<'_>, key: Option<&[u8]>) -> RedisResult<Result<SyncMethod, String>> {
    routed.settle(key).await?;
    let (node, connection) = routed.current()?;
    let can = node.capabilities(connection).await?;
    let settings = capabilities::settings(connection).await?;
    if !settings.keeps_aof() {
        return Ok(Err("appendonly is no; set appendonly yes".to_owned()));
    }
    Ok(match settings.configured() {
        Ok(set) if set.appendfsync == "no" => Err("appendfsync is no; set everysec or always".to_owned()),
        _ if can.waitaof => Ok(SyncMethod::Wait),
        Ok(set) if set.appendfsync == "always" && set.no_fsync_on_rewrite == "no" => Ok(SyncMethod::Answer),
        Ok(set) => Err(format!(
            "{} {} has no WAITAOF, appendfsync is {} and no-appendfsync-on-rewrite {}; use Redis 7.2, Valkey 7.2 or later, \
             or set them to always and no",
            can.server, can.version, set.appendfsync, set.no_fsync_on_rewrite
        )),
        Err(why) => Err(format!(
            "{} {} has no WAITAOF, and whether appendfsync is always cannot be told: {why}",
            can.server, can.version
        )),
    })
}

/// Returns the script's first key. A call does not show its keys, but the command that it sends
/// does.
async fn script_key(script: &ScriptInvocation<'_>) -> Option<Vec<u8>> {
    let mut reader = KeyReader::default();
    // Always ends in the reader's refusal.
    let _ = script.invoke_async::<Value>(&mut reader).await;
    reader.key
}

/// A connection to nowhere that reads the first key of the command to send.
#[derive(Default)]
struct KeyReader {
    key: Option<Vec<u8>>,
}

impl redis::aio::ConnectionLike for KeyReader {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a redis::Cmd) -> redis::RedisFuture<'a, Value> {
        self.key = key_slot::first_key(cmd).map(<[u8]>::to_vec);
        Box::pin(async { Err(RedisError::from((redis::ErrorKind::Client, "only read"))) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a redis::Pipeline,
        _: usize,
        _: usize,
    ) -> redis::RedisFuture<'a, Vec<Value>> {
        Box::pin(async { Err(RedisError::from((redis::ErrorKind::Client, "only read"))) })
    }

    fn get_db(&self) -> i64 {
        0
    }
}
