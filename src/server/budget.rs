//! What may wait to be written to a client, and what becomes of a packet for which there is no room.

use std::sync::Arc;

use super::limits::{Limits, OutboundPolicy};
use super::metrics::Metrics;

/// Bytes of the largest urgent packet: what passes others must not hold them up.
pub const PRIORITY_PACKET_MAX: usize = 1024;
/// Bytes of a key by which packets supersede each other: it is kept with each packet.
pub const KEY_MAX: usize = 256;

/// The bounds of every outbound queue of an engine.
#[derive(Debug)]
pub struct Budget {
    pub policy: OutboundPolicy,
    pub bytes_max: usize,
    pub packets_max: u32,
    /// Waiting bytes from which on the host is told.
    pub high: usize,
    /// And at which it is told again.
    pub low: usize,
    /// Messages are the host's own, and no packets of Socket.IO.
    pub raw: bool,
    pub metrics: Arc<Metrics>,
}

impl Budget {
    /// The bounds that an engine's limits ask for.
    pub fn new(limits: &Limits, raw: bool, metrics: Arc<Metrics>) -> Budget {
        let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Budget {
            policy: limits.outbound_policy,
            bytes_max: bytes(limits.outbound_bytes_max),
            packets_max: u32::try_from(limits.outbound_packets_max).unwrap_or(u32::MAX),
            high: bytes(limits.outbound_high_bytes),
            low: bytes(limits.outbound_low_bytes),
            raw,
            metrics,
        }
    }
}

impl Budget {
    /// Waiting bytes that nothing need be done about.
    pub fn alarm(&self) -> usize {
        self.bytes_max.min(self.high.saturating_sub(1))
    }
}

/// Why a packet was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no room, and the policy is to drop what comes.
    Full,
    /// There is no room, and the client is being disconnected.
    Ending,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    pub bytes: usize,
    pub packets: u32,
}

/// What the shard of a session has to see to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The budget is used up, and the session is over: the option that bounds it, and its value.
    Overflow(&'static str, u64),
    /// `outboundHighBytes` was reached.
    High(Level),
    /// And it fell to `outboundLowBytes`.
    Low(Level),
}
