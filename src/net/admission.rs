//! Who may connect: how many connections an engine has, in all and from one address, and how many of them have not yet said what they
//! want.
//!
//! A [`Gate`] is shared by all shards; every connection holds a [`Permit`] of it until it ends, wherever it goes. A [`Pending`] is one
//! shard's. Nothing here knows sockets.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use parking_lot::Mutex;

use super::connection::Peer;
use super::handshake_rate::{Buckets, Taken};
use super::proxies::TrustedProxies;
use super::table::Key;
use crate::server::limits::NO_LIMIT;
use crate::server::{Count, Limits};

/// Keys of connections that are pending no more which a queue may hold before it is cleared of them.
const STALE_KEYS_MIN: usize = 64;

/// Counts the connections of an engine.
pub struct Gate {
    connections_max: u64,
    per_address_max: u64,
    ipv6_prefix: u8,
    connections: AtomicU64,
    /// By [`Gate::group`]; nothing if there is no such limit. Who has no connection is not in it, so it is no larger than the engine's
    /// connections are many.
    by_address: Mutex<HashMap<IpAddr, u64>>,
    handshakes: Option<Mutex<Buckets>>,
    /// Whose connections are not counted by their address, as those of peers without one.
    pub trusted: TrustedProxies,
}

impl Gate {
    /// A gate that nobody has passed yet.
    pub fn new(limits: &Limits, trusted: TrustedProxies) -> Gate {
        Gate {
            connections_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            ipv6_prefix: limits.ipv6_prefix as u8,
            connections: AtomicU64::new(0),
            by_address: Mutex::default(),
            handshakes: Buckets::new(limits).map(Mutex::new),
            trusted,
        }
    }

    /// Lets a connection in, or says what is to be counted: one limit is reached.
    pub fn admit(self: &Arc<Gate>, peer: Peer) -> Result<Permit, Count> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.connections_max {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(Count::ConnectionsRefused);
        }
        let exempt = peer.address.is_unspecified() || self.trusted.contain(peer.address);
        let by_address = self.per_address_max != NO_LIMIT && !exempt;
        // Counted above already: gives that back if it is dropped below.
        let mut permit = Permit { gate: self.clone(), peer, by_address: false };
        if by_address {
            let mut by_address = self.by_address.lock();
            let count = by_address.entry(self.group(peer.address)).or_insert(0);
            if *count >= self.per_address_max {
                return Err(Count::ConnectionsRefusedByAddress);
            }
            *count += 1;
            permit.by_address = true;
        }
        Ok(permit)
    }

    /// Whether a client may open a session now, as far as its address is concerned, if it has one.
    pub fn take_handshake(&self, client: IpAddr, now_us: u64) -> Taken {
        if client.is_unspecified() {
            return Taken::Yes;
        }
        self.handshakes.as_ref().map_or(Taken::Yes, |buckets| buckets.lock().take(self.group(client), now_us))
    }

    /// What counts as one address: an IPv4 address, or the leading bits of an IPv6 one.
    fn group(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpNet::new(IpAddr::V6(address), self.ipv6_prefix)
                .map_or(IpAddr::V6(address), |network| network.network()),
        }
    }

    fn leave(&self, permit: &Permit) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        if !permit.by_address {
            return;
        }
        let (mut by_address, group) = (self.by_address.lock(), self.group(permit.peer.address));
        if let Some(count) = by_address.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&group);
            }
        }
        // What a rush has taken is given back after it.
        if by_address.is_empty() {
            by_address.shrink_to_fit();
        }
    }
}

/// The right of one connection to be; its end is noticed by its drop.
pub struct Permit {
    gate: Arc<Gate>,
    pub peer: Peer,
    by_address: bool,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.leave(self);
    }
}

/// The connections of a shard that have sent no whole request yet, in the order in which they came.
pub struct Pending {
    /// With keys of connections that are pending no more: they are passed over when they are met.
    queue: VecDeque<Key>,
    count: usize,
    max: usize,
}

impl Pending {
    /// A shard's equal share of the engine's limit, and at least one.
    pub fn new(limits: &Limits, shards: usize) -> Pending {
        let share = (limits.handshakes_pending_max / shards as u64).max(1);
        Pending { queue: VecDeque::new(), count: 0, max: usize::try_from(share).unwrap_or(usize::MAX) }
    }

    /// Adds a connection; the one to be closed for it, if there is one too many. `is_pending` tells of each key whether it still is.
    pub fn add(&mut self, key: Key, is_pending: impl Fn(Key) -> bool) -> Option<Key> {
        self.count += 1;
        if self.queue.len() > 2 * self.count + STALE_KEYS_MIN {
            self.queue.retain(|key| is_pending(*key));
        }
        self.queue.push_back(key);
        if self.count <= self.max {
            return None;
        }
        std::iter::from_fn(|| self.queue.pop_front()).find(|key| is_pending(*key))
    }

    /// A connection is pending no more.
    pub fn done(&mut self) {
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(connections_max: u64, connections_per_address_max: u64) -> Arc<Gate> {
        let limits = Limits { connections_max, connections_per_address_max, ..Limits::default() };
        Arc::new(Gate::new(&limits, TrustedProxies::try_from(vec!["10.9.0.0/16".into()]).unwrap()))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn from(address: &str) -> Peer {
        Peer { address: ip(address), secure: false }
    }

    #[test]
    fn a_connection_too_many_is_refused_until_one_ends() {
        let gate = gate(2, NO_LIMIT);
        let first = gate.admit(from("10.0.0.1")).unwrap();
        let _second = gate.admit(from("10.0.0.1")).unwrap();
        for _ in 0..3 {
            assert_eq!(gate.admit(from("10.0.0.2")).err(), Some(Count::ConnectionsRefused));
        }
        drop(first);
        assert!(gate.admit(from("10.0.0.2")).is_ok());
        assert!(gate.by_address.lock().is_empty());
    }

    #[test]
    fn an_address_has_its_own_limit_and_others_are_not_touched_by_it() {
        let gate = gate(10, 1);
        let first = gate.admit(from("10.0.0.1")).unwrap();
        assert_eq!(gate.admit(from("10.0.0.1")).err(), Some(Count::ConnectionsRefusedByAddress));
        assert_eq!(gate.admit(from("::ffff:10.0.0.1")).err(), Some(Count::ConnectionsRefusedByAddress));
        let other = gate.admit(from("10.0.0.2")).unwrap();
        let proxied = [gate.admit(from("10.9.0.1")).unwrap(), gate.admit(from("10.9.0.1")).unwrap()];
        assert_eq!(gate.connections.load(Ordering::Relaxed), 4);
        drop((first, other, proxied));
        assert_eq!(gate.connections.load(Ordering::Relaxed), 0);
        assert!(gate.by_address.lock().is_empty());
    }

    #[test]
    fn ipv6_addresses_count_by_their_prefix() {
        let gate = gate(10, 1);
        let _one = gate.admit(from("2001:db8:0:1::1")).unwrap();
        assert!(gate.admit(from("2001:db8:0:1:ffff::2")).is_err());
        assert!(gate.admit(from("2001:db8:0:2::1")).is_ok());
        let limits = Limits { ipv6_prefix: 128, ..Limits::default() };
        assert_eq!(Gate::new(&limits, TrustedProxies::default()).group(ip("2001:db8::1")), ip("2001:db8::1"));
    }

    fn key(index: u32) -> Key {
        Key { index, generation: index }
    }

    fn pending(handshakes_pending_max: u64, shards: usize) -> Pending {
        Pending::new(&Limits { handshakes_pending_max, ..Limits::default() }, shards)
    }

    #[test]
    fn the_oldest_pending_connection_makes_room() {
        let mut pending = pending(2, 1);
        assert_eq!(pending.add(key(0), |_| true), None);
        assert_eq!(pending.add(key(1), |_| true), None);
        assert_eq!(pending.add(key(2), |_| true), Some(key(0)));
        pending.done();
        // 1 has sent its request.
        pending.done();
        assert_eq!(pending.add(key(3), |key| key.index != 1), None);
        assert_eq!(pending.add(key(4), |key| key.index != 1), Some(key(2)));
    }

    #[test]
    fn a_share_is_at_least_one() {
        let mut pending = pending(1, 4);
        assert_eq!(pending.add(key(0), |_| true), None);
        assert_eq!(pending.add(key(1), |_| true), Some(key(0)));
    }

    #[test]
    fn connections_that_send_requests_leave_no_keys_behind() {
        let mut pending = pending(NO_LIMIT, 1);
        for at in 0..10_000 {
            // One that never sends anything, and then others that do.
            assert_eq!(pending.add(key(at), |key| key.index == 0 || key.index == at), None);
            if at > 0 {
                pending.done();
            }
        }
        assert!(pending.queue.len() <= 4 * STALE_KEYS_MIN, "{}", pending.queue.len());
    }
}
