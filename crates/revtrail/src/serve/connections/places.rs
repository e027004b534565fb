//! The places of connections. A connection whose call is worked at keeps its place. One that waits for its client loses it to a new
//! one, when all are taken: that of the address that has most of them, and of those the one that has waited longest.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The places of all connections.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    taken: Mutex<PlacesTaken>,
    /// Some connection may have to go now, or has gone.
    changed: Notify,
}

#[derive(Debug, Default)]
struct PlacesTaken {
    /// Counts what happens to places: the lower, the longer ago.
    count: u64,
    places: HashMap<u64, Occupant>,
}

#[derive(Debug)]
struct Occupant {
    address: IpAddr,
    /// Since when the connection has waited for its client; `None` while its call is worked at.
    waits_since: Option<u64>,
    needed: Arc<Notify>,
}

impl PlacesTaken {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// The connection that has to go for another one.
    fn first_to_go(&self) -> Option<u64> {
        let mut of_address: HashMap<IpAddr, usize> = HashMap::new();
        for occupant in self.places.values() {
            *of_address.entry(occupant.address).or_default() += 1;
        }
        let waiting = self.places.iter().filter_map(|(id, occupant)| {
            let since = occupant.waits_since?;
            Some((of_address[&occupant.address], std::cmp::Reverse(since), *id))
        });
        waiting.max().map(|(_, _, id)| id)
    }
}

impl Places {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            taken: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, PlacesTaken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a place is free, or somebody can be sent away for a new connection.
    pub(super) async fn room(&self) {
        loop {
            // What changes from here on is not missed: it is remembered.
            let changed = self.changed.notified();
            {
                let taken = self.taken();
                let waits = |occupant: &Occupant| occupant.waits_since.is_some();
                if taken.places.len() < self.max || taken.places.values().any(waits) {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Sends one connection away that waits for its client, if there is one.
    pub(super) fn evict(&self) {
        let mut taken = self.taken();
        if let Some(occupant) = taken.first_to_go().and_then(|id| taken.places.remove(&id)) {
            occupant.needed.notify_one();
        }
    }
}

/// The place of one connection; free when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    places: Arc<Places>,
    id: u64,
    needed: Arc<Notify>,
}

impl ConnectionPlace {
    /// Takes a place, and sends another connection away if all are taken.
    pub(super) fn take(places: &Arc<Places>, address: IpAddr) -> Self {
        if places.taken().places.len() >= places.max {
            places.evict();
        }
        let needed = Arc::new(Notify::new());
        let mut taken = places.taken();
        let id = taken.next();
        let occupant = Occupant {
            address,
            waits_since: Some(id),
            needed: needed.clone(),
        };
        taken.places.insert(id, occupant);
        drop(taken);
        Self {
            places: places.clone(),
            id,
            needed,
        }
    }

    /// From now on the connection waits for its client.
    pub(super) fn waits(&self) {
        let mut taken = self.places.taken();
        let now = taken.next();
        if let Some(occupant) = taken.places.get_mut(&self.id) {
            occupant.waits_since = Some(now);
        }
        drop(taken);
        self.places.changed.notify_one();
    }

    /// From now on the call of the connection is worked at.
    pub(super) fn works(&self) {
        if let Some(occupant) = self.places.taken().places.get_mut(&self.id) {
            occupant.waits_since = None;
        }
    }

    /// Ends when another connection needs the place.
    pub(super) async fn is_needed(&self) {
        self.needed.notified().await;
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.places.taken().places.remove(&self.id);
        self.places.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes places for these addresses, one after the other, and says which are needed after that.
    fn needed(max: usize, addresses: &[u8], works: &[usize]) -> Vec<usize> {
        let places = Arc::new(Places::new(max));
        let mut taken = Vec::new();
        for (n, last) in addresses.iter().enumerate() {
            taken.push(ConnectionPlace::take(
                &places,
                IpAddr::from([10, 0, 0, *last]),
            ));
            if works.contains(&n) {
                taken[n].works();
            }
        }
        let still = places.taken();
        let is_gone = |place: &ConnectionPlace| !still.places.contains_key(&place.id);
        let gone = taken.iter().enumerate().filter(|(_, place)| is_gone(place));
        let gone = gone.map(|(n, _)| n).collect();
        drop(still);
        gone
    }

    #[test]
    fn who_has_to_go_when_all_places_are_taken() {
        assert_eq!(needed(3, &[1, 1, 1], &[]), [0_usize; 0]);
        assert_eq!(needed(3, &[1, 1, 1, 1], &[]), [0], "the oldest");
        assert_eq!(needed(3, &[1, 1, 1, 1], &[0]), [1], "the oldest that waits");
        assert_eq!(needed(3, &[1, 2, 2, 1], &[]), [1], "of whoever has most");
        assert_eq!(needed(3, &[1, 2, 2, 2, 2, 2], &[]), [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_call_that_is_worked_at_keeps_its_place() {
        let places = Arc::new(Places::new(1));
        let place = ConnectionPlace::take(&places, IpAddr::from([10, 0, 0, 1]));
        place.works();
        let mut room = Box::pin(places.room());
        tokio::select! {
            biased;
            () = &mut room => panic!("there is no room"),
            () = std::future::ready(()) => {}
        }
        place.waits();
        room.await;
        places.evict();
        place.is_needed().await;
        places.room().await;
    }
}
