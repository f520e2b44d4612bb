//! One call's way to a server: it settles on the server that owns the first key it is given, takes a pooled connection
//! there, follows a cluster's redirections, and drops the connection when the call fails in a way that blames it.

use std::sync::Arc;

use deadpool::managed::Object;
use futures::FutureExt as _;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value};

use super::connection_pool::Connection;
use super::fault::{self, FaultScope, RedisFault};
use super::key_slot;
use super::node::{Node, PoolKind};
use super::topology::Topology;

/// Redirections of one command.
const HOPS_MAX: usize = 5;

/// One call's connection, taken when its first command comes.
pub(super) struct RoutedConnection<'a> {
    topology: &'a Topology,
    pool: PoolKind,
    current: Option<NodeConnection>,
    /// The first key that came by.
    key: Option<Vec<u8>>,
    /// A connection that had died in its pool was replaced.
    replaced: bool,
}

struct NodeConnection {
    node: Arc<Node>,
    connection: Connection,
    /// The slot is on its way to this node, which serves it only to those who say ASKING.
    asking: bool,
    /// A command was sent and its answer has not been read.
    busy: bool,
    /// No answer has come over it in this call.
    unproven: bool,
}

impl<'a> RoutedConnection<'a> {
    /// For a call that is answered at once.
    pub(super) fn new(topology: &'a Topology) -> Self {
        Self::of(topology, PoolKind::Short)
    }

    /// For a call that waits for the server's disk.
    pub(super) fn synced(topology: &'a Topology) -> Self {
        Self::of(topology, PoolKind::Synced)
    }

    fn of(topology: &'a Topology, pool: PoolKind) -> Self {
        Self { topology, pool, current: None, key: None, replaced: false }
    }

    /// The first key that came by.
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

    /// The server settled on, and the connection to it.
    pub(super) fn current(&mut self) -> RedisResult<(&Node, &mut MultiplexedConnection)> {
        self.current.as_mut().map(|current| (&*current.node, &mut *current.connection)).ok_or_else(lost)
    }

    /// Ends the call: a server or connection to blame is not used again.
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
        current.node.doubt();
        drop(Connection::take(current.connection));
    }

    /// Gives up a pooled connection that turned out to have died before the call, once: it was handed out unasked. True when
    /// the call may begin anew; what was sent may have been carried out, so this rests on calls being idempotent.
    fn replace(&mut self, error: &RedisError) -> bool {
        let stale =
            |current: &mut NodeConnection| current.unproven && Object::metrics(&current.connection).recycle_count > 0;
        if self.replaced || !fault::is_lost(error) {
            return false;
        }
        let Some(current) = self.current.take_if(stale) else { return false };
        self.replaced = true;
        self.give_up(current);
        true
    }

    async fn enter(&mut self, node: Arc<Node>, asking: bool) -> RedisResult<()> {
        match node.connection(self.pool).await {
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
        // A plain pipeline has one answer for each command; those that were sent elsewhere go there one by one.
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

    /// Goes where a redirection points. On a single server there is nowhere to go, and it is an error like any other.
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
        // The call was given up half way: the answer that is still to come must not hold up the next user.
        if let Some(current) = self.current.take_if(|current| current.busy) {
            drop(Connection::take(current.connection));
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

/// While a slot moves, its old owner sends commands for keys that it does not have to the new one. A script must not go
/// there: it would meet the keys that have moved and miss those that have not, and write as if they did not exist. It waits
/// until the move is over.
fn may_ask(command: &Cmd) -> bool {
    const SCRIPTS: [&[u8]; 4] = [b"EVAL", b"EVALSHA", b"FCALL", b"SCRIPT"];
    key_slot::name(command).is_none_or(|name| !SCRIPTS.contains(&name.as_slice()))
}

/// Where a cluster's node says a key is.
struct Redirection<'a> {
    /// Empty: the host that said so.
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
