//! What an engine counts. What is rare beside messages is counted here, one atomic for each count that serves all threads; what happens
//! for each message is counted by the shards' meters (see `meter`).

use std::sync::atomic::{AtomicU64, Ordering};

use super::mailbox::Mailbox;
use super::meter::{Meter, Tally};
use super::root::Server;
use crate::queue::Depth;

/// Which metric a count is a part of, by the text format's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Packets for clients that were not written: `sockeye_dropped_packets_total{cause="…"}`.
    Dropped,
    /// Times that a limit was passed, and what came of it: `sockeye_limited_total{what="…"}`.
    Limited,
    /// What the adapter could not do, and what came that was nothing: `sockeye_adapter_total{what="…"}`.
    Adapter,
    /// Lines of the log that the host did not get: `sockeye_log_lines_dropped_total{cause="…"}`.
    Log,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident: $family:ident $label:literal,)*) => {
        /// What is counted. Each only grows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count {
            $($(#[$doc])* $name,)*
        }

        /// All counts, with their metric and its label.
        pub const COUNTS: &[(Count, Family, &str)] = &[$((Count::$name, Family::$family, $label),)*];
    };
}

// One line each: to add one, write it here, and give it a field at the tail of `sockeye_metrics`.
counts! {
    /// Packets that were not queued because the budget was used up (`dropNewest`).
    DroppedNewest: Dropped "newest",
    /// Packets that waited and made room for later ones (`dropOldest`).
    DroppedOldest: Dropped "oldest",
    /// Packets that waited and were superseded by a later one of their key (`conflate`).
    Conflated: Dropped "conflated",
    /// Packets whose time-to-live was over before they could be written.
    Expired: Dropped "expired",
    /// Volatile packets for a client that could not be written to.
    VolatileDropped: Dropped "volatile",
    /// Clients disconnected because their budget was used up.
    OutboundOverflows: Limited "outbound_overflow",
    /// Connections closed as they came: `connectionsMax`.
    ConnectionsRefused: Limited "connection_refused",
    /// The same, `connectionsPerAddressMax`.
    ConnectionsRefusedByAddress: Limited "connection_refused_by_address",
    /// Connections closed before their first request: `handshakesPendingMax`.
    HandshakesEvicted: Limited "handshake_evicted",
    /// Handshakes refused: `handshakesPerSecond`.
    HandshakesThrottled: Limited "handshake_throttled",
    /// Handshakes that were not counted for it, because too many addresses are.
    HandshakesUncounted: Limited "handshake_uncounted",
    /// Requests refused: `checkOrigin`.
    OriginsRefused: Limited "origin_refused",
    /// WebSockets refused for a session that has one, or is about to have one.
    UpgradesRefused: Limited "upgrade_refused",
    /// Refusals that the host was not told of because its queue was half full.
    ConnectionErrorsUntold: Limited "connection_error_untold",
    /// Times that a client's rate delayed its reading.
    RateDelays: Limited "rate_delay",
    /// Clients disconnected for their rate.
    RateDisconnects: Limited "rate_disconnect",
    /// CONNECT packets refused: `namespacesMax`, `namespacesPendingMax`.
    NamespacesRefused: Limited "namespace_refused",
    /// Receivers that a broadcast with acknowledgements left out: `acksAwaitedMax`.
    AckRequestsSkipped: Limited "ack_request_skipped",
    /// Requests that took longer than `requestTimeMs`.
    RequestTimeouts: Limited "request_timeout",
    /// Lines that were left out because their target had too many in a second.
    LogLinesLeftOut: Log "rate",
    /// LOG events that were dropped because the queue was half full.
    LogLinesDropped: Log "queue",
    /// Messages for the other servers that were not published: no room in the queue, or not to be written.
    AdapterUnsent: Adapter "unsent",
    /// Messages for the other servers that may be lost: the broker did not confirm them before its connection broke.
    AdapterUnconfirmed: Adapter "unconfirmed",
    /// Messages of other servers that could not be read.
    AdapterMalformed: Adapter "malformed",
    /// Answers that nobody waits for, or not any more.
    AdapterStray: Adapter "stray",
    /// Requests that not all servers answered in time.
    AdapterTimeouts: Adapter "timeout",
    /// Times that the broker was lost.
    AdapterDowns: Adapter "down",
}

impl Count {
    /// Its label in its family.
    pub fn label(self) -> &'static str {
        COUNTS.get(self as usize).map_or("", |(_, _, label)| label)
    }
}

/// The counts of an engine.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: [AtomicU64; COUNTS.len()],
    /// What the host's threads do that shards mostly do.
    hosts: Meter,
}

impl Metrics {
    /// Counts one.
    pub fn count(&self, what: Count) {
        self.add(what, 1);
    }

    /// Counts several.
    pub fn add(&self, what: Count, several: u64) {
        if let Some(count) = self.counts.get(what as usize) {
            count.fetch_add(several, Ordering::Relaxed);
        }
    }

    /// How many there were.
    pub fn get(&self, what: Count) -> u64 {
        self.counts.get(what as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// What an engine has counted, and holds, at one time.
pub struct Snapshot {
    /// All shards' numbers added up.
    pub total: Meter,
    pub counts: [u64; COUNTS.len()],
    pub sockets: u64,
    pub namespaces: u64,
    pub rooms: u64,
    /// Of each queue, the default one first.
    pub queues: Vec<Depth>,
    pub time_us: u64,
}

impl Snapshot {
    /// How many there were of a count.
    pub fn count(&self, what: Count) -> u64 {
        self.counts.get(what as usize).copied().unwrap_or_default()
    }

    /// Acknowledgements that the host waits for, and those that it owes.
    pub fn acks_open(&self) -> (u64, u64) {
        let awaited = self.total.open(Tally::AcksAwaited, &[Tally::AcksSettled]);
        (awaited, self.total.open(Tally::AcksOwed, &[Tally::AcksGiven, Tally::AcksAbandoned]))
    }

    /// All queues together.
    pub fn queued(&self) -> Depth {
        self.queues.iter().fold(Depth::default(), |sum, queue| Depth {
            events: sum.events + queue.events,
            bytes: sum.bytes + queue.bytes,
            stalls: sum.stalls + queue.stalls,
        })
    }
}

impl Server {
    /// Reads everything that is counted; waits for no shard. Each number is right by itself; two may be some events apart.
    pub fn snapshot(&self) -> Snapshot {
        let total = Meter::default();
        self.mailboxes().iter().for_each(|mailbox| total.absorb(&mailbox.meter));
        total.absorb(&self.metrics.hosts);
        let mut counts = [0; COUNTS.len()];
        counts.iter_mut().zip(COUNTS).for_each(|(to, (count, ..))| *to = self.metrics.get(*count));
        let (namespaces, rooms) = self.count_namespaces();
        Snapshot {
            total,
            counts,
            sockets: self.count_sockets(),
            namespaces,
            rooms,
            queues: self.queues().iter().map(|queue| queue.depth()).collect(),
            time_us: self.now_us(),
        }
    }

    /// Counts what shards and the host's threads both do: without an atomic operation if the calling thread is the shard of `mailbox`.
    pub fn tally(&self, mailbox: &Mailbox, what: Tally, several: u64) {
        if mailbox.is_own() {
            mailbox.meter.add(what, several);
        } else {
            self.metrics.hosts.add_shared(what, several);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_is_its_own() {
        let metrics = Metrics::default();
        for (at, (count, ..)) in COUNTS.iter().enumerate() {
            assert_eq!(*count as usize, at);
            metrics.add(*count, at as u64 + 1);
        }
        assert!(COUNTS.iter().enumerate().all(|(at, (count, ..))| metrics.get(*count) == at as u64 + 1));
    }
}
