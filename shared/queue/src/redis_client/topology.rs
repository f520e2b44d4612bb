//! Choice of the server to ask: the single one, the master that sentinels name, or the node of a
//! cluster that owns the key's slot.

use std::sync::{Arc, PoisonError};

use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, TlsCertificates, TlsMode};
use tokio::time::timeout;

use super::RedisArgs;
use super::address::Address;
use super::cluster::Cluster;
use super::fault::RedisFault;
use super::node::{LOOKUP_LIMIT, Node};
use super::tls;

/// A way to find the server in charge.
pub(super) enum Topology {
    Single(Arc<Node>),
    Sentinel(Box<Sentinel>),
    Cluster(Cluster),
}

impl Topology {
    pub(super) fn new(args: &RedisArgs) -> Result<Self, RedisFault> {
        let address = Address::parse(&args.redis_url);
        let address = address.map_err(|error| RedisFault::Setting(format!("CSM_REDIS_URL: {error}")))?;
        let certificates = args.tls.read()?;
        let certificates = certificates.as_ref();
        if let Some(fault) = tls::unused(address.any_server(), certificates) {
            return Err(fault);
        }
        Ok(match address {
            Address::Single(server) => Self::Single(Arc::new(Node::new(&tls::secured(server, certificates)?)?)),
            Address::Sentinel { sentinels, name, master } => {
                Self::Sentinel(Box::new(Sentinel::new(&sentinels, &name, &master, certificates)?))
            }
            Address::Cluster { seeds } => {
                let seeds = seeds.into_iter().map(|seed| tls::secured(seed, certificates));
                Self::Cluster(Cluster::new(seeds.collect::<RedisResult<_>>()?))
            }
        })
    }

    /// Returns the server for a slot, or any that takes writes.
    pub(super) async fn node(&self, slot: Option<u16>) -> RedisResult<Arc<Node>> {
        match self {
            Self::Single(node) => Ok(Arc::clone(node)),
            Self::Sentinel(sentinel) => sentinel.master().await,
            Self::Cluster(cluster) => cluster.owner(slot).await,
        }
    }

    /// Returns the server like [`Self::node`], after asking again which one is in charge. For
    /// connections that are kept for long.
    pub(super) async fn node_anew(&self, slot: Option<u16>) -> RedisResult<Arc<Node>> {
        match self {
            Self::Single(_) => {}
            Self::Sentinel(sentinel) => return sentinel.master_anew().await,
            Self::Cluster(cluster) => cluster.forget_map(),
        }
        self.node(slot).await
    }

    /// Returns all servers that take writes.
    pub(super) async fn nodes(&self) -> RedisResult<Vec<Arc<Node>>> {
        match self {
            Self::Cluster(cluster) => cluster.owners().await,
            _ => Ok(vec![self.node(None).await?]),
        }
    }

    /// Forgets a server that may no longer be in charge; the next call looks it up again.
    pub(super) fn forget(&self, node: &Arc<Node>) {
        match self {
            Self::Single(_) => {}
            Self::Sentinel(sentinel) => sentinel.forget(node),
            Self::Cluster(cluster) => cluster.forget(node),
        }
    }
}

/// Sentinels and the master that they named last.
pub(super) struct Sentinel {
    lookup: tokio::sync::Mutex<SentinelClient>,
    master: std::sync::Mutex<Option<Arc<Node>>>,
}

impl Sentinel {
    fn new(
        sentinels: &[ConnectionInfo],
        name: &str,
        master: &ConnectionInfo,
        certificates: Option<&TlsCertificates>,
    ) -> RedisResult<Self> {
        let addresses = sentinels.iter().map(|sentinel| sentinel.addr().clone());
        let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)?;
        // All sentinels have one login.
        let login = sentinels[0].redis_settings();
        if let Some(name) = login.username() {
            builder = builder.set_client_to_sentinel_username(name);
        }
        if let Some(password) = login.password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        let login = master.redis_settings();
        if let Some(name) = login.username() {
            builder = builder.set_client_to_redis_username(name);
        }
        if let Some(password) = login.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        builder = builder.set_client_to_redis_db(login.db());
        if matches!(master.addr(), ConnectionAddr::TcpTls { .. }) {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = certificates {
            builder = builder.set_client_to_redis_certificates(certificates.clone());
            builder = builder.set_client_to_sentinel_certificates(certificates.clone());
        }
        Ok(Self { lookup: tokio::sync::Mutex::new(builder.build()?), master: std::sync::Mutex::default() })
    }

    /// Returns the master. All calls that wait for it share one search.
    async fn master(&self) -> RedisResult<Arc<Node>> {
        if let Some(node) = self.known() {
            return Ok(node);
        }
        let mut lookup = self.lookup.lock().await;
        match self.known() {
            Some(node) => Ok(node),
            None => self.search(&mut lookup).await,
        }
    }

    /// Returns the master that sentinels name now or, if none of them answers, the one they named
    /// last.
    async fn master_anew(&self) -> RedisResult<Arc<Node>> {
        let mut lookup = self.lookup.lock().await;
        match self.search(&mut lookup).await {
            Ok(node) => Ok(node),
            Err(error) => self.known().ok_or(error),
        }
    }

    async fn search(&self, lookup: &mut SentinelClient) -> RedisResult<Arc<Node>> {
        // The client also asks the server whether it is a master.
        let slow = |_| RedisError::from((ErrorKind::Io, "no sentinel named a master in time"));
        let client = timeout(LOOKUP_LIMIT, lookup.async_get_client()).await.map_err(slow)??;
        let found = Node::new(client.get_connection_info())?;
        let mut master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = master.as_ref().filter(|known| known.name() == found.name()) {
            return Ok(Arc::clone(known));
        }
        Ok(Arc::clone(master.insert(Arc::new(found))))
    }

    fn known(&self) -> Option<Arc<Node>> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets this master, unless another was found meanwhile.
    fn forget(&self, node: &Arc<Node>) {
        let mut master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        if master.as_ref().is_some_and(|known| Arc::ptr_eq(known, node)) {
            *master = None;
        }
    }
}
