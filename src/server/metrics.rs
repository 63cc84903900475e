//! What an engine counts. Everything here is rare beside messages, so one atomic for each count serves all threads; what happens for
//! each message is counted where it happens, without one.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted. Each only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Packets that were not queued because the budget was used up (`dropNewest`).
    DroppedNewest,
    /// Packets that waited and made room for later ones (`dropOldest`).
    DroppedOldest,
    /// Packets that waited and were superseded by a later one of their key (`conflate`).
    Conflated,
    /// Packets whose time-to-live was over before they could be written.
    Expired,
    /// Volatile packets for a client that could not be written to.
    VolatileDropped,
    /// Clients disconnected because their budget was used up.
    OutboundOverflows,
    /// Connections closed as they came: `connectionsMax`.
    ConnectionsRefused,
    /// The same, `connectionsPerAddressMax`.
    ConnectionsRefusedByAddress,
    /// Connections closed before their first request: `handshakesPendingMax`.
    HandshakesEvicted,
    /// Handshakes refused: `handshakesPerSecond`.
    HandshakesThrottled,
    /// Handshakes that were not counted for it, because too many addresses are.
    HandshakesUncounted,
    /// Requests refused: `checkOrigin`.
    OriginsRefused,
    /// WebSockets refused for a session that has one, or is about to have one.
    UpgradesRefused,
    /// Refusals that the host was not told of because its queue was full.
    ConnectionErrorsUntold,
    /// Times that a client's rate delayed its reading.
    RateDelays,
    /// Clients disconnected for their rate.
    RateDisconnects,
    /// CONNECT packets refused: `namespacesMax`, `namespacesPendingMax`.
    NamespacesRefused,
    /// Receivers that a broadcast with acknowledgements left out: `acksAwaitedMax`.
    AckRequestsSkipped,
    /// Requests that took longer than `requestTimeMs`.
    RequestTimeouts,
}

/// How many [`Count`]s there are.
const COUNTS: usize = Count::RequestTimeouts as usize + 1;

/// The counts of an engine.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: [AtomicU64; COUNTS],
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
