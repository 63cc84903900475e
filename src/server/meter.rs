//! What a shard counts of itself: for each packet, read, write and turn.
//!
//! A [`Meter`] has one writer, its shard, which adds with a load and a store: no thread waits for another's cache line, and no
//! operation is an atomic read-modify-write. Any thread reads. The one exception is the meter that the host's threads share, which is
//! written with [`Meter::add_shared`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::reason::Reason;

/// Upper bounds of a histogram's buckets, microseconds; one more bucket is above all. From a LAN's round trip to a mobile phone's
/// worst, 1-2-5 as on an oscilloscope.
pub const BUCKET_BOUNDS_US: [u64; 15] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
    5_000_000,
];

/// Buckets of a histogram.
pub const BUCKETS: usize = BUCKET_BOUNDS_US.len() + 1;

/// Engine.IO error codes are 0 to 5, classes of HTTP status 1 to 5, reasons of a disconnect 1 to 9.
pub const ERROR_CODES: usize = 6;
pub const STATUS_CLASSES: usize = 6;
pub const REASONS: usize = Reason::ServerNamespaceDisconnect as usize + 1;

/// A number that one thread writes and all may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; for the only writer. Wraps, so that a gauge may be taken from by adding the negative.
    pub fn add(&self, several: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(several), Relaxed);
    }

    fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

impl Histogram {
    /// Counts one that took so long.
    pub fn record(&self, us: u64) {
        let at = BUCKET_BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS - 1);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.add(1);
        }
        self.sum_us.add(us);
    }

    /// How many there were in each bucket.
    pub fn buckets(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|at| self.buckets.get(at).map_or(0, Counter::get))
    }

    /// How long all took together.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.get()
    }

    fn absorb(&self, other: &Histogram) {
        absorb(&self.buckets, &other.buckets);
        self.sum_us.add(other.sum_us.get());
    }
}

fn absorb(ours: &[Counter], others: &[Counter]) {
    ours.iter().zip(others).for_each(|(our, other)| our.add(other.get()));
}

/// The single numbers of a meter.
#[derive(Clone, Copy, Debug)]
pub enum Tally {
    /// Engine.IO packets.
    PacketsIn,
    PacketsOut,
    /// Bytes of connections, HTTP and frame headers included.
    BytesIn,
    BytesOut,
    /// Connections: came, and open now.
    ConnectionsOpened,
    Connections,
    /// Sessions by transport: opened, and open now.
    OpenedPolling,
    OpenedWebSocket,
    Polling,
    WebSocket,
    /// Sessions that moved from polling to WebSocket.
    Upgrades,
    /// Sockets that joined a namespace, and CONNECT packets that were refused.
    SocketsConnected,
    ConnectsRefused,
    /// Acknowledgements that the host asked of clients: asked, settled one way or the other, and of those the ones without an answer in
    /// time.
    AcksAwaited,
    AcksSettled,
    AcksTimedOut,
    /// Acknowledgements that clients asked of the host: asked, given, and not given before the client left.
    AcksOwed,
    AcksGiven,
    AcksAbandoned,
    /// Bytes that were held when they were last looked at: waiting to be written; read and not yet whole; kept for reuse.
    HeldOutbound,
    HeldInput,
    HeldSpare,
    /// The longest turn.
    TurnMaxUs,
}

const TALLIES: usize = Tally::TurnMaxUs as usize + 1;

/// What a shard counts. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Meter {
    tallies: [Counter; TALLIES],
    /// Refused requests by Engine.IO code.
    pub errors: [Counter; ERROR_CODES],
    /// HTTP answers by the first digit of their status.
    pub answers: [Counter; STATUS_CLASSES],
    /// Sockets that left, by reason.
    pub disconnects: [Counter; REASONS],
    /// From the heartbeat's ping to its pong.
    pub rtt: Histogram,
    /// How late timers were.
    pub lag: Histogram,
    /// How long turns took.
    pub turns: Histogram,
}

impl Meter {
    /// Adds; for the only writer.
    pub fn add(&self, what: Tally, several: u64) {
        self.tallies[what as usize].add(several);
    }

    /// Takes away; for the only writer.
    pub fn take(&self, what: Tally, several: u64) {
        self.tallies[what as usize].add(several.wrapping_neg());
    }

    /// Adds, beside other writers.
    pub fn add_shared(&self, what: Tally, several: u64) {
        self.tallies[what as usize].0.fetch_add(several, Relaxed);
    }

    /// Sets; for the only writer.
    pub fn set(&self, what: Tally, value: u64) {
        self.tallies[what as usize].set(value);
    }

    /// The present value.
    pub fn get(&self, what: Tally) -> u64 {
        self.tallies[what as usize].get()
    }

    /// What was asked and has not ended: two counts that are read one after the other, so that the second may be ahead.
    pub fn open(&self, begun: Tally, ended: &[Tally]) -> u64 {
        let ended: u64 = ended.iter().map(|tally| self.get(*tally)).sum();
        self.get(begun).saturating_sub(ended)
    }

    /// Counts one in a family of counters: an error's code, the class of a status.
    pub fn count_in(family: &[Counter], at: usize) {
        if let Some(counter) = family.get(at) {
            counter.add(1);
        }
    }

    /// Notes how long a turn took.
    pub fn turn(&self, us: u64) {
        self.turns.record(us);
        if us > self.get(Tally::TurnMaxUs) {
            self.set(Tally::TurnMaxUs, us);
        }
    }

    /// Adds another's numbers to these.
    pub fn absorb(&self, other: &Meter) {
        let longest = self.get(Tally::TurnMaxUs).max(other.get(Tally::TurnMaxUs));
        absorb(&self.tallies, &other.tallies);
        self.set(Tally::TurnMaxUs, longest);
        absorb(&self.errors, &other.errors);
        absorb(&self.answers, &other.answers);
        absorb(&self.disconnects, &other.disconnects);
        self.rtt.absorb(&other.rtt);
        self.lag.absorb(&other.lag);
        self.turns.absorb(&other.turns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_includes_its_bound_and_the_last_has_none() {
        let histogram = Histogram::default();
        for us in [0, 100, 101, 5_000_000, 5_000_001] {
            histogram.record(us);
        }
        let buckets = histogram.buckets();
        assert_eq!((buckets[0], buckets[1], buckets[14], buckets[15]), (2, 1, 1, 1));
        assert_eq!((buckets.iter().sum::<u64>(), histogram.sum_us()), (5, 10_000_202));
    }

    #[test]
    fn meters_add_up_but_the_longest_turn_is_the_longest_of_all() {
        let (total, one, other) = (Meter::default(), Meter::default(), Meter::default());
        one.add(Tally::PacketsIn, 2);
        one.turn(300);
        one.disconnects[Reason::PingTimeout as usize].add(1);
        other.add_shared(Tally::PacketsIn, 3);
        other.turn(200);
        total.absorb(&one);
        total.absorb(&other);
        assert_eq!((total.get(Tally::PacketsIn), total.get(Tally::TurnMaxUs)), (5, 300));
        assert_eq!((total.turns.sum_us(), total.disconnects[Reason::PingTimeout as usize].get()), (500, 1));
    }

    #[test]
    fn a_gauge_goes_down_and_what_is_open_is_never_negative() {
        let meter = Meter::default();
        meter.add(Tally::Polling, 2);
        meter.take(Tally::Polling, 1);
        assert_eq!(meter.get(Tally::Polling), 1);
        meter.add(Tally::AcksOwed, 1);
        meter.add(Tally::AcksGiven, 2);
        assert_eq!(meter.open(Tally::AcksOwed, &[Tally::AcksGiven, Tally::AcksAbandoned]), 0);
    }
}
