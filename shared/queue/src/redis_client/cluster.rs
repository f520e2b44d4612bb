//! The nodes of a cluster, and the slots that each of them owns. The map comes from the node that
//! answers first, and is fetched again after any sign that it is out of date.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::select_ok;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue as _, RedisError, RedisResult, Value};
use tokio::time::timeout;

use super::node::{ConnectionKind, LOOKUP_LIMIT, Node};

/// Known nodes that are asked for the map at once, beside as many seeds.
const ASKED_AT_ONCE: usize = 4;

/// A cluster: its seeds, and what is known of its nodes and slots.
pub(super) struct Cluster {
    seeds: Vec<ConnectionInfo>,
    state: Mutex<ClusterState>,
    /// Lock held while the map is fetched, so that all calls that need the map share one fetch.
    fetch: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct ClusterState {
    map: Option<Arc<[SlotOwner]>>,
    /// Nodes by `host:port`.
    nodes: HashMap<String, Arc<Node>>,
}

/// A range of slots and the master that owns it.
struct SlotOwner {
    slots: RangeInclusive<u16>,
    host: String,
    port: u16,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<ConnectionInfo>) -> Self {
        Self { seeds, state: Mutex::default(), fetch: tokio::sync::Mutex::default() }
    }

    /// Returns the master that owns a slot, or any master.
    pub(super) async fn owner(&self, slot: Option<u16>) -> RedisResult<Arc<Node>> {
        let map = self.map().await?;
        let owner = match slot {
            Some(slot) => map.iter().find(|owner| owner.slots.contains(&slot)),
            None => map.choose(&mut rand::rng()),
        };
        let nobody = || RedisError::from((ErrorKind::Io, "no node of the cluster owns the key's slot"));
        let owner = owner.ok_or_else(nobody)?;
        self.node(&owner.host, owner.port)
    }

    /// Returns all masters.
    pub(super) async fn owners(&self) -> RedisResult<Vec<Arc<Node>>> {
        let map = self.map().await?;
        let mut places: Vec<_> = map.iter().map(|owner| (&owner.host, owner.port)).collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|(host, port)| self.node(host, port)).collect()
    }

    /// Returns the node at an address, such as a redirection names.
    pub(super) fn node(&self, host: &str, port: u16) -> RedisResult<Arc<Node>> {
        let mut state = self.state();
        if let Some(node) = state.nodes.get(&format!("{host}:{port}")) {
            return Ok(Arc::clone(node));
        }
        let node = Arc::new(Node::new(&self.connection_to(host, port))?);
        state.nodes.insert(format!("{host}:{port}"), Arc::clone(&node));
        Ok(node)
    }

    /// Forgets a node that may have lost its slots or died, and the map.
    pub(super) fn forget(&self, node: &Arc<Node>) {
        let mut state = self.state();
        state.map = None;
        state.nodes.retain(|_, known| !Arc::ptr_eq(known, node));
    }

    /// Forgets the map, because it is out of date.
    pub(super) fn forget_map(&self) {
        self.state().map = None;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, ClusterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn map(&self) -> RedisResult<Arc<[SlotOwner]>> {
        let known = || self.state().map.clone();
        if let Some(map) = known() {
            return Ok(map);
        }
        let _one_at_a_time = self.fetch.lock().await;
        if let Some(map) = known() {
            return Ok(map);
        }
        let slow = |_| RedisError::from((ErrorKind::Io, "no node of the cluster told its slots in time"));
        let map = timeout(LOOKUP_LIMIT, self.fetch_map()).await.map_err(slow)??;
        let mut state = self.state();
        let is_owner = |name: &str| map.iter().any(|owner| format!("{}:{}", owner.host, owner.port) == name);
        state.nodes.retain(|name, _| is_owner(name));
        state.map = Some(Arc::clone(&map));
        Ok(map)
    }

    async fn fetch_map(&self) -> RedisResult<Arc<[SlotOwner]>> {
        let mut known: Vec<_> = self.state().nodes.values().cloned().collect();
        known.shuffle(&mut rand::rng());
        let mut seeds = self.seeds.iter().map(Node::new).collect::<RedisResult<Vec<_>>>()?;
        seeds.shuffle(&mut rand::rng());
        let asked = known.into_iter().take(ASKED_AT_ONCE).chain(seeds.into_iter().take(ASKED_AT_ONCE).map(Arc::new));
        let (map, _) = select_ok(asked.map(|node| slots_by(node).boxed())).await?;
        Ok(map)
    }

    /// Returns how to reach another node: like the first seed.
    fn connection_to(&self, host: &str, port: u16) -> ConnectionInfo {
        let seed = self.seeds[0].clone();
        let address = match seed.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        seed.set_addr(address)
    }
}

/// Fetches the map as one node knows it.
async fn slots_by(node: Arc<Node>) -> RedisResult<Arc<[SlotOwner]>> {
    let mut connection = node.connection(ConnectionKind::Short).await?;
    let answer: Vec<Vec<Value>> = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut *connection).await?;
    let asked = node.host();
    let owners: RedisResult<Vec<SlotOwner>> = answer.into_iter().map(|range| owner(range, asked)).collect();
    let owners = owners?;
    if owners.is_empty() {
        return Err(RedisError::from((ErrorKind::Io, "the node knows no owner of any slot")));
    }
    Ok(owners.into())
}

/// Reads `[first, last, [host, port, ...], replicas...]`. A node that does not know its own address
/// leaves the host out; the host that was asked then stands for it.
fn owner(range: Vec<Value>, asked: &str) -> RedisResult<SlotOwner> {
    let unreadable = || RedisError::from((ErrorKind::UnexpectedReturnType, "unreadable answer to CLUSTER SLOTS"));
    let mut range = range.into_iter();
    let mut next = || range.next().ok_or_else(unreadable);
    let (first, last) = (u16::from_redis_value(next()?)?, u16::from_redis_value(next()?)?);
    let mut master = Vec::<Value>::from_redis_value(next()?)?.into_iter();
    let mut next = || master.next().ok_or_else(unreadable);
    let host = Option::<String>::from_redis_value(next()?)?.filter(|host| !host.is_empty() && host != "?");
    let port = u16::from_redis_value(next()?)?;
    Ok(SlotOwner { slots: first..=last, host: host.unwrap_or_else(|| asked.to_owned()), port })
}
