//! Connection of a call to a server. The call settles on the server that owns the first key it is
//! given, and takes a connection there. The call follows a cluster's redirections. The
//! connection is dropped if the call fails in a way that blames it.

use std::sync::Arc;

use futures::FutureExt as _;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value};

use super::connection_pool::PooledConnection;
use super::fault::{self, FaultScope, RedisFault};
use super::key_slot;
use super::node::{Connection, ConnectionKind, Node};
use super::topology::Topology;

/// Largest number of redirections of one command.
const HOPS_MAX: usize = 5;

/// Connection of a call, taken when its first command comes.
pub(super) struct RoutedConnection<'a> {
    topology: &'a Topology,
    kind: ConnectionKind,
    current: Option<NodeConnection>,
    /// First key of the call.
    key: Option<Vec<u8>>,
    /// True once a connection that had died in its pool was replaced.
    replaced: bool,
}

struct NodeConnection {
    node: Arc<Node>,
    connection: Connection,
    /// True if the slot is moving to this node, which serves it only after ASKING.
    asking: bool,
    /// True while a command was sent and its answer has not been read.
    busy: bool,
    /// True while no answer has come over the connection in this call.
    unproven: bool,
}

impl<'a> RoutedConnection<'a> {
    /// Creates the connection of a call.
    pub(super) const fn new(topology: &'a Topology, kind: ConnectionKind) -> Self {
        Self { topology, kind, current: None, key: None, replaced: false }
    }

    /// Returns the first key of the call.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// Settles on the server for a key, or on any.
    pub(super) async fn settle(&mut self, key: Option<&[u8]>) -> RedisResult<()> {
        if self.current.is_none() {
            let node = self.topology.node(key.map(key_slot::of_key)).await?;
            self.enter(node, false).await?;
        }
        if self.key.is_none() {
            self.key = key.map(<[u8]>::to_vec);
        }
        Ok(())
    }

    /// Returns the server settled on, and the connection to it.
    pub(super) fn current(&mut self) -> RedisResult<(&Node, &mut MultiplexedConnection)> {
        self.current.as_mut().map(|current| (&*current.node, &mut *current.connection)).ok_or_else(lost)
    }

    /// Ends the call. A server or connection to blame is not used again.
    pub(super) fn end<T>(mut self, result: RedisResult<T>) -> Result<T, RedisFault> {
        if let Err(error) = &result
            && fault::scope_of(error) == FaultScope::Server
            && let Some(current) = self.current.take()
        {
            self.give_up(current);
        }
        Ok(result?)
    }

    fn give_up(&self, current: NodeConnection) {
        self.topology.forget(&current.node);
        current.node.give_up(current.connection);
    }

    /// Gives up a connection that had died before the call, at most once; connections are handed
    /// out unchecked. Returns true if the call may begin again. The command may have been carried
    /// out, so the repetition relies on idempotent calls.
    fn replace(&mut self, error: &RedisError) -> bool {
        let stale = |current: &mut NodeConnection| current.unproven && current.connection.is_reused();
        if self.replaced || !fault::is_lost(error) {
            return false;
        }
        let Some(current) = self.current.take_if(stale) else { return false };
        self.replaced = true;
        self.give_up(current);
        true
    }

    async fn enter(&mut self, node: Arc<Node>, asking: bool) -> RedisResult<()> {
        match node.connection(self.kind).await {
            Ok(connection) => {
                self.current = Some(NodeConnection { node, connection, asking, busy: false, unproven: true });
                Ok(())
            }
            Err(error) => {
                if fault::scope_of(&error) == FaultScope::Server {
                    self.topology.forget(&node);
                }
                Err(error)
            }
        }
    }

    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        for _ in 0..HOPS_MAX {
            self.settle(key_slot::first_key(command)).await?;
            let answer = self.current.as_mut().ok_or_else(lost)?.send(command).await;
            match answer {
                Err(error) if redirection(&error).is_some_and(|to| !to.asking || may_ask(command)) => {
                    self.follow(&error).await?;
                }
                Err(error) if self.replace(&error) => {}
                answer => return answer,
            }
        }
        Err(RedisError::from((ErrorKind::Io, "the nodes of the cluster send a command in circles")))
    }

    async fn send_all(&mut self, pipeline: &Pipeline, offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let key = pipeline.cmd_iter().find_map(key_slot::first_key);
        self.settle(key).await?;
        let mut answers = match self.current.as_mut().ok_or_else(lost)?.send_all(pipeline, offset, count).await {
            Err(error) if self.replace(&error) => {
                self.settle(key).await?;
                self.current.as_mut().ok_or_else(lost)?.send_all(pipeline, offset, count).await?
            }
            answers => answers?,
        };
        // A plain pipeline has one answer for each command. Redirected commands are sent on one by
        // one.
        if offset == 0 && count == pipeline.len() {
            for (command, answer) in pipeline.cmd_iter().zip(&mut answers) {
                if let Value::ServerError(error) = &answer
                    && redirection(&RedisError::from(error.clone())).is_some()
                {
                    *answer = self.send(command).await?;
                }
            }
        }
        Ok(answers)
    }

    /// Follows a redirection. On a single server there is nowhere to go, and a redirection is an
    /// error like any other.
    async fn follow(&mut self, error: &RedisError) -> RedisResult<()> {
        let (Topology::Cluster(cluster), Some(redirection)) = (self.topology, redirection(error)) else {
            return Err(error.clone());
        };
        if !redirection.asking {
            cluster.forget_map();
        }
        let asked = self.current.take().map(|current| current.node.host().to_owned()).unwrap_or_default();
        let host = if redirection.host.is_empty() { &asked } else { redirection.host };
        self.enter(cluster.node(host, redirection.port)?, redirection.asking).await
    }
}

impl NodeConnection {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.busy = true;
        let answer = if self.asking {
            let mut both = redis::pipe();
            both.cmd("ASKING").ignore().add_command(command.clone());
            self.connection
                .req_packed_commands(&both, 0, 2)
                .await
                .and_then(|mut answers| answers.pop().ok_or_else(lost))
        } else {
            self.connection.req_packed_command(command).await
        };
        self.busy = false;
        self.unproven &= answer.is_err();
        answer.and_then(Value::extract_error)
    }

    async fn send_all(&mut self, pipeline: &Pipeline, offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        self.busy = true;
        let answers = self.connection.req_packed_commands(pipeline, offset, count).await;
        self.busy = false;
        self.unproven &= answers.is_err();
        answers
    }
}

impl Drop for RoutedConnection<'_> {
    fn drop(&mut self) {
        // The call was dropped half way. Its pending answer must not hold up the next user of a
        // pooled connection.
        if let Some(current) = self.current.take_if(|current| current.busy)
            && let Connection::Pooled(pooled) = current.connection
        {
            drop(PooledConnection::take(pooled));
        }
    }
}

impl ConnectionLike for RoutedConnection<'_> {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.send(cmd).boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.send_all(pipeline, offset, count).boxed()
    }

    fn get_db(&self) -> i64 {
        self.current.as_ref().map_or(0, |current| current.connection.get_db())
    }
}

/// Returns whether a command may go to the new owner of a moving slot. While a slot moves, its old
/// owner redirects commands for keys that it does not have. A script must not follow: it would find
/// the moved keys, miss the others, and write as if those did not exist. The script waits until the
/// move is over.
fn may_ask(command: &Cmd) -> bool {
    const SCRIPTS: [&[u8]; 4] = [b"EVAL", b"EVALSHA", b"FCALL", b"SCRIPT"];
    key_slot::name(command).is_none_or(|name| !SCRIPTS.contains(&name.as_slice()))
}

/// Place of a key according to a node of the cluster.
struct Redirection<'a> {
    /// Host of the key; empty for the host that answered.
    host: &'a str,
    port: u16,
    asking: bool,
}

fn redirection(error: &RedisError) -> Option<Redirection<'_>> {
    let asking = match error.kind() {
        ErrorKind::Server(ServerErrorKind::Ask) => true,
        ErrorKind::Server(ServerErrorKind::Moved) => false,
        _ => return None,
    };
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    Some(Redirection { host, port: port.parse().ok()?, asking })
}

fn lost() -> RedisError {
    RedisError::from((ErrorKind::Io, "the connection is gone"))
}
