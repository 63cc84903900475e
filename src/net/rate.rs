//! How fast a session may send: two token buckets, one of messages and one of bytes, and what happens to who is faster.
//!
//! Each frame of a WebSocket counts as a message, fragments and control frames too, and each packet of a request's body; bytes are
//! those of payloads. What begins within the rate is read whole, and what it takes too much is paid for by the time after it.
//!
//! Time is the turn's, and without a rate nothing is kept or computed. A session that is delayed is not read from: the kernel's
//! buffers fill and hold its peer up, or its request is answered later.

use super::connection::Role;
use super::session::{Active, End, Session};
use super::shard::Shard;
use super::table::Key;
use crate::server::limits::NO_LIMIT;
use crate::server::{Cause, Count, Limits, NEVER, RatePolicy, Reason};

/// What is taken from a bucket, and how full it is, is counted in parts of so many: what one microsecond adds is then whole.
const PARTS: i64 = 1_000_000;

/// A delayed session is read again when its buckets hold what this time adds: reading a message at a time would cost more than the
/// messages.
const DELAY_US: i64 = 50_000;

/// How many times in a row a delayed session gets the time for its pong anew, which may lie unread: a client that sent less than so
/// many `pingTimeout`s' worth ahead is not lost, and one that never answers pings does not stay for sending much.
const EXTENSIONS_MAX: u8 = 3;

/// One bucket's size and what flows in.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// The option, and its value.
    name: &'static str,
    per_second: u64,
    /// Parts that it holds.
    burst: i64,
    /// Parts that must be in it for something to be taken.
    least: i64,
}

impl Rate {
    fn new(name: &'static str, per_second: u64, burst: u64, least: i64) -> Option<Rate> {
        let burst = i64::try_from(burst).unwrap_or(i64::MAX).saturating_mul(PARTS);
        (per_second != NO_LIMIT).then_some(Rate { name, per_second, burst, least })
    }

    /// Parts in a microsecond, which are as many as units in a second.
    fn flow(&self) -> i64 {
        i64::try_from(self.per_second).unwrap_or(i64::MAX)
    }

    fn filled(&self, level: i64, elapsed_us: i64) -> i64 {
        level.saturating_add(elapsed_us.saturating_mul(self.flow())).min(self.burst)
    }

    /// Microseconds until it is worth to read again.
    fn pause_us(&self, level: i64) -> i64 {
        let enough = DELAY_US.saturating_mul(self.flow()).clamp(self.least, self.burst.max(self.least));
        enough.saturating_sub(level).max(0) / self.flow().max(1) + 1
    }
}

/// The rates of an engine.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    messages: Option<Rate>,
    bytes: Option<Rate>,
    policy: RatePolicy,
}

impl Rates {
    /// The rates that the limits set; none if they set none.
    pub fn of(limits: &Limits) -> Option<Rates> {
        let messages = Rate::new("messagesPerSecond", limits.messages_per_second, limits.messages_burst, PARTS);
        let bytes = Rate::new("bytesPerSecond", limits.bytes_per_second, limits.bytes_burst, 1);
        (messages.is_some() || bytes.is_some()).then_some(Rates { messages, bytes, policy: limits.rate_policy })
    }

    /// What a new session may send: full buckets.
    pub fn allowance(&self, now_us: u64) -> Allowance {
        let full = |rate: Option<Rate>| rate.map_or(0, |rate| rate.burst);
        let (messages, bytes) = (full(self.messages), full(self.bytes));
        Allowance { messages, bytes, at_us: now_us, delayed_until_ms: NEVER, extensions: 0 }
    }

    /// The rate that keeps a session from sending now.
    fn passed(&self, allowance: &mut Allowance, now_us: u64) -> Option<Rate> {
        let elapsed_us = i64::try_from(now_us.saturating_sub(allowance.at_us)).unwrap_or(i64::MAX);
        allowance.at_us = now_us;
        let passed = |rate: Option<Rate>, level: &mut i64| {
            let rate = rate?;
            *level = rate.filled(*level, elapsed_us);
            (*level < rate.least).then_some(rate)
        };
        let messages = passed(self.messages, &mut allowance.messages);
        let bytes = passed(self.bytes, &mut allowance.bytes);
        messages.or(bytes)
    }

    /// Until when a session is not read that has used up its allowance, in milliseconds.
    fn delayed_until_ms(&self, allowance: &Allowance) -> u64 {
        let pause = |rate: Option<Rate>, level: i64| rate.map_or(0, |rate| rate.pause_us(level));
        let pause_us = pause(self.messages, allowance.messages).max(pause(self.bytes, allowance.bytes));
        (allowance.at_us + pause_us.unsigned_abs()).div_ceil(1000)
    }
}

/// What a session may send at present.
#[derive(Debug)]
pub struct Allowance {
    /// Parts in the buckets; what is below nothing is owed.
    messages: i64,
    bytes: i64,
    at_us: u64,
    /// While it is not read from, until when.
    delayed_until_ms: u64,
    /// How often in a row the wait for its pong was extended.
    extensions: u8,
}

impl Allowance {
    fn take(&mut self, bytes: usize) {
        self.messages -= PARTS;
        self.bytes = self.bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(PARTS));
    }

    /// A pong came.
    pub fn pong(&mut self) {
        self.extensions = 0;
    }
}

impl Session {
    /// Whether it is not read from for its rate.
    pub fn is_delayed(&self) -> bool {
        self.delayed_until_ms() != NEVER && self.closing.is_none()
    }

    /// Until when it is not read from for its rate; [`NEVER`] if it is read from.
    pub fn delayed_until_ms(&self) -> u64 {
        self.allowance.as_ref().map_or(NEVER, |allowance| allowance.delayed_until_ms)
    }

    /// Whether a pong may lie unread for a delay, and may still come.
    pub fn may_extend(&mut self) -> bool {
        let is_delayed = self.is_delayed();
        let Some(allowance) = self.allowance.as_mut().filter(|_| is_delayed) else { return false };
        allowance.extensions += 1;
        allowance.extensions <= EXTENSIONS_MAX
    }
}

impl Shard {
    /// Whether a session has to wait before more is read from it; it will be read from again.
    pub fn must_wait(&mut self, key: Key) -> bool {
        let now_us = self.now_us;
        let Some(rates) = self.rates.filter(|rates| rates.policy == RatePolicy::Delay) else { return false };
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.closing.is_none()) else {
            return false;
        };
        let Some(allowance) = &mut session.allowance else { return false };
        if allowance.delayed_until_ms != NEVER {
            return true;
        }
        if rates.passed(allowance, now_us).is_none() {
            return false;
        }
        allowance.delayed_until_ms = rates.delayed_until_ms(allowance);
        self.server.metrics.count(Count::RateDelays);
        self.schedule_session(key);
        true
    }

    /// As [`Shard::must_wait`], of a WebSocket's session.
    pub fn connection_must_wait(&mut self, key: Key) -> bool {
        match self.connections.get(key).map(|connection| &connection.role) {
            Some(Role::WebSocket { session, .. }) => self.must_wait(*session),
            _ => false,
        }
    }

    /// Counts a message; false if the session ends for it.
    pub fn charge(&mut self, key: Key, bytes: usize) -> bool {
        let now_us = self.now_us;
        let Some(rates) = self.rates else { return true };
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.closing.is_none()) else { return true };
        let Some(allowance) = &mut session.allowance else { return true };
        if rates.policy == RatePolicy::Disconnect
            && let Some(rate) = rates.passed(allowance, now_us)
        {
            self.server.metrics.count(Count::RateDisconnects);
            let cause = Cause::because(Reason::ForcedClose, "the client sent faster than allowed");
            self.end_session(key, &cause.limit(rate.name, rate.per_second), End::Orderly);
            return false;
        }
        allowance.take(bytes);
        true
    }

    /// Reads on from a session whose delay is over.
    pub fn read_delayed(&mut self, key: Key) {
        let now_ms = self.now_ms();
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(allowance) = session.allowance.as_mut().filter(|allowance| allowance.delayed_until_ms <= now_ms)
        else {
            return;
        };
        allowance.delayed_until_ms = NEVER;
        let of_session = match session.active {
            Active::WebSocket(connection) => Some(connection),
            Active::Polling { post, .. } => post,
        };
        for key in [of_session, session.candidate].into_iter().flatten() {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            match connection.role {
                Role::Stalled(_) => self.go_on_with_post(key),
                Role::WebSocket { .. } => {
                    connection.paused = false;
                    self.resume(key);
                    self.read(key);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(messages: (u64, u64), bytes: (u64, u64)) -> Rates {
        let limits = Limits {
            messages_per_second: messages.0,
            messages_burst: messages.1,
            bytes_per_second: bytes.0,
            bytes_burst: bytes.1,
            ..Limits::default()
        };
        Rates::of(&limits).unwrap()
    }

    /// How many messages of a size are taken at a time.
    fn taken(rates: &Rates, allowance: &mut Allowance, now_us: u64, bytes: usize) -> u32 {
        let mut count = 0;
        while rates.passed(allowance, now_us).is_none() {
            allowance.take(bytes);
            count += 1;
        }
        count
    }

    #[test]
    fn no_rate_is_nothing_to_count() {
        assert!(Rates::of(&Limits::default()).is_none());
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rates = rates((10, 5), (NO_LIMIT, 1));
        let mut allowance = rates.allowance(7);
        assert_eq!(taken(&rates, &mut allowance, 7, 1_000_000), 5);
        assert_eq!(taken(&rates, &mut allowance, 100_006, 1), 0);
        assert_eq!(taken(&rates, &mut allowance, 100_007, 1), 1);
        assert_eq!(taken(&rates, &mut allowance, 400_007, 1), 3);
        assert_eq!(taken(&rates, &mut allowance, 90_000_000, 1), 5);
    }

    #[test]
    fn a_large_message_is_paid_for_by_the_time_after_it() {
        let rates = rates((NO_LIMIT, 1), (1000, 100));
        let mut allowance = rates.allowance(0);
        assert_eq!(taken(&rates, &mut allowance, 0, 5100), 1);
        let passed = rates.passed(&mut allowance, 5_000_000).map(|rate| (rate.name, rate.per_second));
        assert_eq!(passed, Some(("bytesPerSecond", 1000)));
        assert_eq!(taken(&rates, &mut allowance, 5_001_000, 1), 1);
    }

    #[test]
    fn a_delay_is_long_enough_to_read_several_and_never_longer_than_the_bucket_is_deep() {
        let pause_ms = |messages, count: u32| {
            let rates = rates(messages, (NO_LIMIT, 1));
            let mut allowance = rates.allowance(0);
            assert_eq!(taken(&rates, &mut allowance, 0, 1), count);
            let until_ms = rates.delayed_until_ms(&allowance);
            assert!(rates.passed(&mut allowance, until_ms * 1000).is_none());
            until_ms
        };
        assert_eq!(pause_ms((1000, 100), 100), 51);
        assert_eq!(pause_ms((1000, 3), 3), 4);
        assert_eq!(pause_ms((1, 10), 10), 1001);
    }

    #[test]
    fn extremes_neither_overflow_nor_stop_the_flow() {
        let rates = rates((1 << 32, NO_LIMIT), (1 << 40, 1 << 40));
        let mut allowance = rates.allowance(0);
        allowance.take(usize::MAX);
        assert!(rates.passed(&mut allowance, 1).is_some());
        assert!(rates.delayed_until_ms(&allowance) > 1000);
        assert!(rates.passed(&mut allowance, u64::MAX / 2).is_none());
    }
}
