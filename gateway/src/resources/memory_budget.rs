//! Memory of the process, handed out by cost before it is used.
//!
//! Grants come from two pools: small ones from a reserve, all others from the general pool. So large requests never keep a small one out. A peer may hold most
//! of each pool, not all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use csm_shared::process::connections::Peer;
use csm_shared::process::telemetry::{GATEWAY_MEMORY_BYTES, GATEWAY_MEMORY_LIMIT_BYTES};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Unit of the pools, in bytes.
const UNIT: usize = 1024;
/// Memory that the process needs without any request, in bytes: code, tokenizer, tasks, and what
/// the allocator holds.
const BASE_BYTES: u64 = 96 * 1024 * 1024;
/// Share of the rest that requests may hold. The other part is for connections, the kernel's
/// buffers, and memory between two uses.
const REQUESTS_SHARE: (u64, u64) = (3, 4);
/// Share of the requests' memory that is kept for small requests: one part in this many.
const RESERVE_PART: u64 = 16;
/// Largest grant that comes from the reserve, in bytes.
pub(super) const SMALL_BYTES: usize = 64 * 1024;
/// Share of a pool that one peer may hold.
const PEER_SHARE: (usize, usize) = (7, 8);
/// Longest wait for memory that others hold.
const GRANT_WAIT: Duration = Duration::from_secs(1);
/// Peers whose shares are remembered before those that hold nothing are forgotten.
const PEERS_REMEMBERED: usize = 1_024;

/// Memory that is not to be had: others hold it, or the cost is above a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for the request")]
pub(crate) struct NoMemory;

/// Memory that all requests share. Clones share it too.
#[derive(Clone)]
pub(crate) struct MemoryBudget(Arc<Pools>);

struct Pools {
    general: Pool,
    reserve: Pool,
}

/// One pool, with the shares of the peers that hold some of it.
struct Pool {
    free: Arc<Semaphore>,
    /// Units of the whole pool.
    units: usize,
    peers: Mutex<HashMap<Peer, Arc<Semaphore>>>,
}

/// Memory of one pool that a request holds.
struct Held {
    of_peer: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

impl Pool {
    fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes).unwrap_or(usize::MAX).div_euclid(UNIT).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(units)), units, peers: Mutex::default() }
    }

    /// Returns the most units of one peer.
    const fn share(&self) -> usize {
        self.units / PEER_SHARE.1 * PEER_SHARE.0
    }

    fn peer(&self, peer: Peer) -> Arc<Semaphore> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS_REMEMBERED {
            peers.retain(|_, share| Arc::strong_count(share) > 1);
        }
        Arc::clone(peers.entry(peer).or_insert_with(|| Arc::new(Semaphore::new(self.share()))))
    }

    /// Takes units for a peer as soon as they are free.
    async fn take(&self, peer: Peer, units: usize) -> Result<Held, NoMemory> {
        let count = u32::try_from(units).ok().filter(|_| units <= self.share()).ok_or(NoMemory)?;
        // The semaphores are never closed.
        let of_peer = self.peer(peer).acquire_many_owned(count).await.map_err(|_| NoMemory)?;
        let of_all = Arc::clone(&self.free).acquire_many_owned(count).await.map_err(|_| NoMemory)?;
        Ok(Held { of_peer, of_all })
    }
}

impl Held {
    fn merge(held: &mut Option<Self>, more: Self) {
        match held {
            Some(held) => {
                held.of_peer.merge(more.of_peer);
                held.of_all.merge(more.of_all);
            }
            None => *held = Some(more),
        }
    }

    fn units(held: Option<&Self>) -> usize {
        held.map_or(0, |held| held.of_all.num_permits())
    }
}

impl MemoryBudget {
    /// Makes the budget of a process that may use `memory` bytes.
    pub(crate) fn new(memory: u64) -> Self {
        let bytes = memory.saturating_sub(BASE_BYTES) / REQUESTS_SHARE.1 * REQUESTS_SHARE.0;
        let reserve = bytes / RESERVE_PART;
        metrics::gauge!(GATEWAY_MEMORY_LIMIT_BYTES).set(bytes as f64);
        Self(Arc::new(Pools { general: Pool::new(bytes - reserve), reserve: Pool::new(reserve) }))
    }

    /// Begins a grant for a request of `peer`, without memory yet.
    pub(crate) fn begin(&self, peer: Peer) -> MemoryGrant {
        MemoryGrant { budget: self.clone(), peer, small: None, large: None }
    }

    /// Returns the bytes that requests hold.
    fn held_bytes(&self) -> usize {
        let held = |pool: &Pool| pool.units - pool.free.available_permits();
        (held(&self.0.general) + held(&self.0.reserve)) * UNIT
    }

    /// Sets the gauge of the bytes that requests hold.
    pub(crate) fn publish(&self) {
        metrics::gauge!(GATEWAY_MEMORY_BYTES).set(self.held_bytes() as f64);
    }
}

/// Memory that the work on one request holds, given back when dropped.
pub(crate) struct MemoryGrant {
    budget: MemoryBudget,
    peer: Peer,
    small: Option<Held>,
    large: Option<Held>,
}

impl MemoryGrant {
    /// Returns the bytes that are held.
    pub(crate) fn bytes(&self) -> usize {
        (Held::units(self.small.as_ref()) + Held::units(self.large.as_ref())) * UNIT
    }

    /// Grows the grant to `bytes`, and waits a moment for memory that others hold.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> Result<(), NoMemory> {
        self.grow_within(bytes, GRANT_WAIT).await
    }

    /// Grows the grant to `bytes` within `wait`.
    pub(crate) async fn grow_within(&mut self, bytes: usize, wait: Duration) -> Result<(), NoMemory> {
        timeout(wait, self.grow_eventually(bytes)).await.map_err(|_| NoMemory)?
    }

    /// Grows the grant to `bytes`, however long that takes.
    ///
    /// A request that stays small takes from the reserve, or from the general pool if the reserve
    /// is used up. A larger one leaves the reserve to small ones.
    pub(crate) async fn grow_eventually(&mut self, bytes: usize) -> Result<(), NoMemory> {
        let Pools { general, reserve } = &*self.budget.0;
        let missing = bytes.saturating_sub(self.bytes()).div_ceil(UNIT);
        if missing == 0 {
            return Ok(());
        }
        if bytes <= SMALL_BYTES {
            let (small, large) = (reserve.take(self.peer, missing), general.take(self.peer, missing));
            tokio::select! {
                biased;
                held = small => Held::merge(&mut self.small, held?),
                held = large => Held::merge(&mut self.large, held?),
            }
        } else {
            let units = bytes.div_ceil(UNIT) - Held::units(self.large.as_ref());
            let held = general.take(self.peer, units).await?;
            Held::merge(&mut self.large, held);
            self.small = None;
        }
        Ok(())
    }

    /// Gives memory back until `bytes` are held at most.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let mut excess = (self.bytes() / UNIT).saturating_sub(bytes.div_ceil(UNIT));
        for pool in [&mut self.large, &mut self.small] {
            let Some(held) = pool else { continue };
            let units = excess.min(held.of_all.num_permits());
            // Both parts have the same number of units; what is split off goes back.
            drop((held.of_all.split(units), held.of_peer.split(units)));
            excess -= units;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::IpAddr;

    use super::*;

    const MIB: usize = 1024 * 1024;

    /// Makes a budget of 96 MiB, 6 of them in reserve.
    fn budget() -> MemoryBudget {
        MemoryBudget::new(BASE_BYTES + 128 * MIB as u64)
    }

    fn peer(last: u8) -> Peer {
        Peer::of(IpAddr::from([10, 0, 0, last]))
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_given_back_with_the_grant() {
        let budget = budget();
        let mut grant = budget.begin(peer(1));
        grant.grow_to(40 * MIB).await.unwrap();
        assert_eq!((grant.bytes(), budget.held_bytes()), (40 * MIB, 40 * MIB));
        grant.grow_to(10 * MIB).await.unwrap();
        assert_eq!(grant.bytes(), 40 * MIB, "it never shrinks by growing");
        grant.shrink_to(MIB);
        assert_eq!((grant.bytes(), budget.held_bytes()), (MIB, MIB));
        drop(grant);
        assert_eq!(budget.held_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn large_requests_never_keep_a_small_one_out() {
        let budget = budget();
        let mut large: Vec<_> = (1..=2).map(|last| budget.begin(peer(last))).collect();
        large[0].grow_to(60 * MIB).await.unwrap();
        large[1].grow_to(30 * MIB).await.unwrap();
        assert_eq!(budget.begin(peer(3)).grow_to(SMALL_BYTES + 1).await, Err(NoMemory));
        let mut small = budget.begin(peer(3));
        small.grow_to(SMALL_BYTES).await.unwrap();
        assert_eq!(small.grow_to(SMALL_BYTES + 1).await, Err(NoMemory), "beyond that it is a large one");
        drop(large);
        small.grow_to(MIB).await.unwrap();
        assert_eq!(Held::units(small.small.as_ref()), 0, "a large one leaves the reserve");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_never_holds_all() {
        let budget = budget();
        let mut first = budget.begin(peer(1));
        assert_eq!(first.grow_to(80 * MIB).await, Err(NoMemory), "more than its share");
        first.grow_to(78 * MIB).await.unwrap();
        assert_eq!(budget.begin(peer(1)).grow_to(MIB).await, Err(NoMemory));
        budget.begin(peer(2)).grow_to(12 * MIB).await.unwrap();
        let mut small: Vec<_> = (0..100).map(|_| budget.begin(peer(1))).collect();
        let mut served = 0;
        for grant in &mut small {
            served += usize::from(grant.grow_to(SMALL_BYTES).await.is_ok());
        }
        assert_eq!(served, (6 * MIB * 7 / 8 + 3 * MIB / 4) / SMALL_BYTES, "its share of the reserve, and of the rest");
        budget.begin(peer(2)).grow_to(SMALL_BYTES).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn memory_that_comes_free_within_the_wait_is_taken() {
        let budget = budget();
        let (mut one, mut two) = (budget.begin(peer(1)), budget.begin(peer(2)));
        one.grow_to(50 * MIB).await.unwrap();
        let waits = tokio::spawn(async move { two.grow_to(50 * MIB).await });
        tokio::time::sleep(GRANT_WAIT / 2).await;
        drop(one);
        assert_eq!(waits.await.unwrap(), Ok(()));
    }
}
