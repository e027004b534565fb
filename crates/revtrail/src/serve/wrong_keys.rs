//! Wrong keys: they are counted by the address that they come from, and answered the later the more there are. Good keys of the same
//! address are not slowed. No key is kept or logged, and of an address the log has the network only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many wrong keys are answered at once; whoever mistypes one does not notice anything.
const FREE: u32 = 10;
/// What each wrong key costs: after the free ones, so much time lies between the answers to two.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that an answer is held back. Whoever tries many at once is held to one answer for each connection in this time.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The most addresses that are remembered, some 100 KB. The one whose pauses end first is forgotten for a new one.
const ADDRESSES_MAX: usize = 1_024;

/// Who sent wrong keys lately.
#[derive(Debug, Default)]
pub(crate) struct WrongKeys(Mutex<HashMap<IpAddr, Sender>>);

#[derive(Debug)]
struct Sender {
    /// When all keys that were sent so far are paid for.
    paid_at: Instant,
    count: u64,
}

impl WrongKeys {
    /// Counts a wrong key, and says how long its answer is held back.
    pub(crate) fn count(&self, from: IpAddr, now: Instant) -> Duration {
        let network = network(from);
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !senders.contains_key(&network) && senders.len() >= ADDRESSES_MAX {
            let first = senders.iter().min_by_key(|(_, sender)| sender.paid_at);
            if let Some(first) = first.map(|(network, _)| *network) {
                senders.remove(&first);
            }
        }
        let new = Sender {
            paid_at: now,
            count: 0,
        };
        let sender = senders.entry(network).or_insert(new);
        if sender.paid_at <= now {
            (sender.paid_at, sender.count) = (now, 0);
        }
        sender.paid_at += PAUSE;
        sender.count += 1;
        // The first, the tenth, the hundredth …, so that the log does not grow with what somebody sends.
        if sender.count.ilog10() != (sender.count - 1).checked_ilog10().unwrap_or(u32::MAX) {
            let (count, from) = (sender.count, shown(network));
            tracing::warn!(count, from, "calls with wrong keys");
        }
        let owed = sender.paid_at - now;
        owed.saturating_sub(PAUSE * FREE).min(PAUSE_MAX)
    }
}

/// Whoever has one address of IPv6 has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6((u128::from(six) >> 64 << 64).into()),
        four => four,
    }
}

/// An address as the log shows it: without the part that is one person's.
fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(four) => {
            let [a, b, c, _] = four.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(six) => format!(
            "{}/48",
            std::net::Ipv6Addr::from(u128::from(six) >> 80 << 80)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(keys: &WrongKeys, from: &str, now: Instant, times: usize) -> Vec<u64> {
        let pause = |_| keys.count(from.parse().unwrap(), now).as_secs();
        (0..times).map(pause).collect()
    }

    #[test]
    fn wrong_keys_are_answered_later_and_later() {
        let (keys, now) = (WrongKeys::default(), Instant::now());
        let at = |s: u64| now + Duration::from_secs(s);
        assert_eq!(pauses(&keys, "192.0.2.1", now, 10), [0; 10]);
        assert_eq!(pauses(&keys, "192.0.2.1", now, 3), [1, 2, 3]);
        assert_eq!(pauses(&keys, "192.0.2.1", now, 50).last(), Some(&10));
        assert_eq!(pauses(&keys, "192.0.2.2", now, 1), [0], "another address");
        assert_eq!(
            pauses(&keys, "::ffff:192.0.2.1", now, 1),
            [10],
            "the same address"
        );
        // 64 are paid for after 64 s.
        assert_eq!(
            pauses(&keys, "192.0.2.1", at(60), 8),
            [0, 0, 0, 0, 0, 0, 1, 2]
        );
        assert_eq!(pauses(&keys, "192.0.2.1", at(1_000), 11)[9..], [0, 1]);
        assert_eq!(pauses(&keys, "2001:db8::1", now, 10), [0; 10]);
        assert_eq!(
            pauses(&keys, "2001:db8::2:1", now, 1),
            [1],
            "the same network"
        );
        assert_eq!(pauses(&keys, "2001:db8:0:1::1", now, 1), [0]);
    }

    #[test]
    fn as_many_addresses_as_there_are_take_no_more_room() {
        let (keys, now) = (WrongKeys::default(), Instant::now());
        pauses(&keys, "192.0.2.1", now, 30);
        for n in 0..3 * ADDRESSES_MAX as u32 {
            keys.count(IpAddr::V4((0x0a00_0000 + n).into()), now);
        }
        assert_eq!(keys.0.lock().unwrap().len(), ADDRESSES_MAX);
        // Whoever sent many is the last that is forgotten.
        assert_eq!(pauses(&keys, "192.0.2.1", now, 1), [10]);
    }

    #[test]
    fn the_log_has_no_address_of_one_person() {
        for (address, log) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ] {
            assert_eq!(shown(network(address.parse().unwrap())), log);
        }
    }
}
