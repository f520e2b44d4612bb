//! Places of open WebSockets, counted in all and by peer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use csm_shared::process::connections::Peer;

/// Largest number of open WebSockets.
const SOCKETS_MAX: usize = 1_024;
/// Largest number of open WebSockets of one peer.
const PEER_SOCKETS_MAX: usize = SOCKETS_MAX / 2;

/// All places. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct SocketPlaces(Arc<Mutex<HashMap<Peer, usize>>>);

impl SocketPlaces {
    fn open(&self) -> MutexGuard<'_, HashMap<Peer, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a socket of `peer`; `None` if all are taken, or too many by that peer.
    pub(crate) fn take(&self, peer: Peer) -> Option<SocketPlace> {
        let mut open = self.open();
        if open.values().sum::<usize>() >= SOCKETS_MAX {
            return None;
        }
        let count = open.entry(peer).or_default();
        if *count >= PEER_SOCKETS_MAX {
            return None;
        }
        *count += 1;
        Some(SocketPlace { places: self.clone(), peer })
    }
}

/// Place of an open WebSocket, given back when dropped.
pub(crate) struct SocketPlace {
    places: SocketPlaces,
    peer: Peer,
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        let mut open = self.places.open();
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_takes_half_of_the_places_and_gives_them_back() {
        let places = SocketPlaces::default();
        let peer = |last: u8| Peer::of([10, 0, 0, last].into());
        let take = |last: u8| (0..SOCKETS_MAX).map_while(|_| places.take(peer(last))).collect::<Vec<_>>();
        let (one, two) = (take(1), take(2));
        assert_eq!((one.len(), two.len(), take(3).len()), (PEER_SOCKETS_MAX, PEER_SOCKETS_MAX, 0));
        drop((one, two));
        assert!(places.open().is_empty());
        assert!(places.take(peer(1)).is_some());
    }
}
