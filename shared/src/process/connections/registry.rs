//! Open connections of a listener, counted in all and by peer, with the time since when each idles.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Bits of an IPv6 address that name its network; one peer usually has a whole /64.
const IPV6_HOST_BITS: u32 = 64;
/// Share of the idle connections that are closed at once: one in so many, and one at least. The
/// search for the oldest is then rare, however fast callers connect.
const EVICTED_PART: usize = 64;

/// Other end of connections: an IPv4 address, or the /64 network of an IPv6 address.
///
/// A reverse proxy is one peer for all of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl Peer {
    /// Returns the peer of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> IPV6_HOST_BITS << IPV6_HOST_BITS;
                Self(IpAddr::V6(network.into()))
            }
            address => Self(address),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Requests in progress of one connection, and the end of the last one.
#[derive(Debug)]
pub(super) struct Activity {
    /// Requests whose answer has not left yet.
    busy: AtomicUsize,
    /// Milliseconds from `began` to the end of the last request.
    idle_since_ms: AtomicU64,
    /// Time at which the listener began.
    began: Instant,
}

impl Activity {
    fn new(began: Instant) -> Self {
        let activity = Self { busy: AtomicUsize::new(0), idle_since_ms: AtomicU64::new(0), began };
        activity.rest();
        activity
    }

    /// Counts a request.
    pub(super) fn begin(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a request.
    pub(super) fn end(&self) {
        self.rest();
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    fn rest(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.idle_since_ms.store(now, Ordering::Relaxed);
    }

    /// Returns the time since when the connection is idle; `None` if a request is in progress.
    fn idle_since(&self) -> Option<u64> {
        (self.busy.load(Ordering::Relaxed) == 0).then(|| self.idle_since_ms.load(Ordering::Relaxed))
    }
}

/// Open connection of the registry.
struct Entry {
    peer: Peer,
    activity: Arc<Activity>,
    evict: CancellationToken,
}

/// All open connections of a listener.
pub(super) struct Registry {
    connections_max: usize,
    peer_connections_max: usize,
    began: Instant,
    open: Mutex<Open>,
    /// Notified when a connection closes or a request ends.
    changed: Notify,
}

#[derive(Default)]
struct Open {
    entries: HashMap<u64, Entry>,
    by_peer: HashMap<Peer, usize>,
    next: u64,
}

impl Open {
    /// Closes the connections that were idle longest, among those of `peer` if one is given. Returns
    /// false if none is idle.
    fn evict(&mut self, peer: Option<Peer>) -> bool {
        let candidates = self.entries.iter().filter(|(_, entry)| peer.is_none_or(|peer| entry.peer == peer));
        let idle = candidates.filter_map(|(id, entry)| entry.activity.idle_since().map(|since| (since, *id)));
        let mut idle: Vec<_> = idle.collect();
        if idle.is_empty() {
            return false;
        }
        let count = (idle.len() / EVICTED_PART).max(1);
        idle.select_nth_unstable(count - 1);
        idle[..count].iter().for_each(|(_, id)| self.remove(*id));
        true
    }

    /// Closes connections of the peer that has the most, or of any peer if that one has none idle.
    /// So a peer of many connections does not end the few of another, such as a probe's.
    fn evict_most(&mut self) -> bool {
        let most = self.by_peer.iter().max_by_key(|(_, count)| **count).map(|(peer, _)| *peer);
        self.evict(most) || self.evict(None)
    }

    fn remove(&mut self, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        entry.evict.cancel();
        if let Some(count) = self.by_peer.get_mut(&entry.peer) {
            *count -= 1;
            if *count == 0 {
                self.by_peer.remove(&entry.peer);
            }
        }
    }
}

impl Registry {
    pub(super) fn new(connections_max: usize, peer_connections_max: usize) -> Self {
        let (open, changed) = (Mutex::default(), Notify::new());
        Self { connections_max, peer_connections_max, began: Instant::now(), open, changed }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a further connection may open. If all places are taken, connections that were idle
    /// longest are closed.
    pub(super) async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let mut open = self.open();
                if open.entries.len() < self.connections_max || open.evict_most() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Takes a place for a connection; `None` if its peer has too many and none of them is idle.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> Option<Place> {
        let mut open = self.open();
        let count = open.by_peer.get(&peer).copied().unwrap_or_default();
        if count >= self.peer_connections_max && !open.evict(Some(peer)) {
            return None;
        }
        let id = open.next;
        open.next += 1;
        let (activity, evict) = (Arc::new(Activity::new(self.began)), CancellationToken::new());
        open.entries.insert(id, Entry { peer, activity: Arc::clone(&activity), evict: evict.clone() });
        *open.by_peer.entry(peer).or_default() += 1;
        Some(Place { registry: Arc::clone(self), id, peer, activity, evict })
    }
}

/// Place of an open connection, given back when dropped.
pub(super) struct Place {
    registry: Arc<Registry>,
    id: u64,
    peer: Peer,
    activity: Arc<Activity>,
    evict: CancellationToken,
}

impl Place {
    /// Returns the activity of the connection.
    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Returns the other end of the connection.
    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }

    /// Waits until no request has been in progress for as long as `limit`, counted from now.
    pub(super) async fn idle_for(&self, limit: Duration) {
        let asked = self.registry.began.elapsed();
        loop {
            let rest = self.activity.idle_since().map_or(limit, |since| {
                let from = asked.max(Duration::from_millis(since));
                limit.saturating_sub(self.registry.began.elapsed().saturating_sub(from))
            });
            if rest.is_zero() {
                return;
            }
            sleep(rest).await;
        }
    }

    /// Waits until the place is needed for another connection.
    pub(super) fn evicted(&self) -> WaitForCancellationFuture<'_> {
        self.evict.cancelled()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.open().remove(self.id);
        self.registry.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn a_peer_is_an_address_or_an_ipv6_network() {
        let of = |text: &str| Peer::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }

    #[test]
    fn a_peer_with_too_many_loses_the_one_that_was_idle_longest() {
        let registry = Arc::new(Registry::new(10, 2));
        let (first, second) = (registry.admit(peer(1)).unwrap(), registry.admit(peer(1)).unwrap());
        first.activity.idle_since_ms.store(5, Ordering::Relaxed);
        second.activity.idle_since_ms.store(3, Ordering::Relaxed);
        let third = registry.admit(peer(1)).unwrap();
        assert!(second.evict.is_cancelled() && !first.evict.is_cancelled());
        for place in [&first, &third] {
            place.activity.begin();
        }
        assert!(registry.admit(peer(1)).is_none(), "both are busy");
        assert!(registry.admit(peer(2)).is_some(), "another peer is not concerned");
        drop(second);
        assert!(registry.admit(peer(1)).is_none(), "an evicted connection is not counted twice");
        drop(third);
        assert!(registry.admit(peer(1)).is_some());
    }

    #[tokio::test]
    async fn a_peer_of_many_connections_ends_none_of_another_peer() {
        let registry = Arc::new(Registry::new(4, 4));
        let probe = registry.admit(peer(1)).unwrap();
        let many: Vec<_> = (0..3).map(|_| registry.admit(peer(2)).unwrap()).collect();
        probe.activity.idle_since_ms.store(0, Ordering::Relaxed);
        many[1].activity.idle_since_ms.store(1, Ordering::Relaxed);
        for place in [&many[0], &many[2]] {
            place.activity.idle_since_ms.store(2, Ordering::Relaxed);
        }
        registry.room().await;
        assert!(!probe.evict.is_cancelled() && many[1].evict.is_cancelled());
        assert_eq!(many.iter().filter(|place| place.evict.is_cancelled()).count(), 1);
    }

    #[tokio::test]
    async fn a_full_listener_closes_an_idle_connection_and_waits_for_busy_ones() {
        let registry = Arc::new(Registry::new(2, 2));
        let (idle, busy) = (registry.admit(peer(1)).unwrap(), registry.admit(peer(2)).unwrap());
        busy.activity.begin();
        registry.room().await;
        assert!(idle.evict.is_cancelled());
        let next = registry.admit(peer(3)).unwrap();
        next.activity.begin();
        let waiting = tokio::time::timeout(Duration::from_millis(50), registry.room()).await;
        assert!(waiting.is_err(), "both are busy");
        drop(busy);
        registry.room().await;
    }
}
