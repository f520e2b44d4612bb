//! Places of open WebSockets, counted in all and by peer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use csm_shared::process::connections::Peer;
use csm_shared::process::descriptors;

/// Largest number of open WebSockets, whatever the limit of open files.
const SOCKETS_MAX: usize = 1_024;

/// All places. Clones share them. A peer may have half of them.
#[derive(Clone)]
pub(crate) struct SocketPlaces {
    open: Arc<Mutex<HashMap<Peer, usize>>>,
    most: usize,
}

impl SocketPlaces {
    /// Makes the places that the limit of open files allows.
    pub(crate) fn new() -> Self {
        Self { open: Arc::default(), most: SOCKETS_MAX.min(descriptors::for_sockets()).max(2) }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Peer, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a socket of `peer`; `None` if all are taken, or too many by that peer.
    pub(crate) fn take(&self, peer: Peer) -> Option<SocketPlace> {
        let mut open = self.open();
        if open.values().sum::<usize>() >= self.most {
            return None;
        }
        let count = open.entry(peer).or_default();
        if *count >= self.most / 2 {
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
        let places = SocketPlaces { open: Arc::default(), most: 100 };
        let peer = |last: u8| Peer::of([10, 0, 0, last].into());
        let take = |last: u8| (0..100).map_while(|_| places.take(peer(last))).collect::<Vec<_>>();
        let (one, two) = (take(1), take(2));
        assert_eq!((one.len(), two.len(), take(3).len()), (50, 50, 0));
        drop((one, two));
        assert!(places.open().is_empty());
        assert!(places.take(peer(1)).is_some());
    }
}
