//! How often an address may open sessions: a token bucket for each, in a table of bounded size.
//!
//! A bucket is one number, the time at which it will be full again: each session takes it one interval further into the future, and no
//! further than the burst allows. A bucket that is full again need not be kept.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::server::Limits;
use crate::server::limits::NO_LIMIT;

/// Addresses whose buckets are not full, at most: some 3 MB. The owner of a large IPv6 network can fill the table, so an address that
/// finds no room in it is let in uncounted rather than shut out: other limits still hold.
pub const ADDRESSES_TRACKED_MAX: usize = 65_536;
/// The least time between two searches of a full table for buckets that are full again.
const SWEEP_INTERVAL_NS: u64 = 1_000_000_000;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is within the rate.
    Yes,
    /// The table is full, so it was not counted.
    Uncounted,
    /// It is beyond the rate: the next one after this many seconds, at least 1, is not.
    RetryAfter(u64),
}

/// The buckets, by address.
pub struct Buckets {
    /// One token's time.
    interval_ns: u64,
    /// How far into the future a bucket's time may be for another token to be taken.
    tolerance_ns: u64,
    full_at_ns: HashMap<IpAddr, u64>,
    swept_ns: u64,
}

impl Buckets {
    /// Buckets for the limits; `None` if there is no rate.
    pub fn new(limits: &Limits) -> Option<Buckets> {
        if limits.handshakes_per_second == NO_LIMIT {
            return None;
        }
        let interval_ns = NS_PER_SECOND / limits.handshakes_per_second.max(1);
        let tolerance_ns = interval_ns.saturating_mul(limits.handshakes_burst.saturating_sub(1));
        Some(Buckets { interval_ns, tolerance_ns, full_at_ns: HashMap::new(), swept_ns: 0 })
    }

    /// Takes a token of an address; `now_us` must not go back.
    pub fn take(&mut self, address: IpAddr, now_us: u64) -> Taken {
        let now_ns = now_us.saturating_mul(1000);
        let known = self.full_at_ns.get(&address).copied();
        let full_at_ns = known.unwrap_or(0).max(now_ns);
        let allowed_at_ns = full_at_ns.saturating_sub(self.tolerance_ns);
        if allowed_at_ns > now_ns {
            return Taken::RetryAfter((allowed_at_ns - now_ns).div_ceil(NS_PER_SECOND));
        }
        if known.is_none() && !self.has_room(now_ns) {
            return Taken::Uncounted;
        }
        self.full_at_ns.insert(address, full_at_ns + self.interval_ns);
        Taken::Yes
    }

    fn has_room(&mut self, now_ns: u64) -> bool {
        if self.full_at_ns.len() >= ADDRESSES_TRACKED_MAX && now_ns >= self.swept_ns + SWEEP_INTERVAL_NS {
            self.swept_ns = now_ns;
            self.full_at_ns.retain(|_, full_at_ns| *full_at_ns > now_ns);
        }
        self.full_at_ns.len() < ADDRESSES_TRACKED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(handshakes_per_second: u64, handshakes_burst: u64) -> Buckets {
        Buckets::new(&Limits { handshakes_per_second, handshakes_burst, ..Limits::default() }).unwrap()
    }

    fn ip(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn a_burst_and_then_one_for_each_interval() {
        let mut buckets = buckets(2, 3);
        for _ in 0..3 {
            assert_eq!(buckets.take(ip(1), 10_000_000), Taken::Yes);
        }
        assert_eq!(buckets.take(ip(1), 10_000_000), Taken::RetryAfter(1));
        assert_eq!(buckets.take(ip(1), 10_499_999), Taken::RetryAfter(1));
        assert_eq!(buckets.take(ip(1), 10_500_000), Taken::Yes);
        assert_eq!(buckets.take(ip(1), 10_500_000), Taken::RetryAfter(1));
        // Quiet for longer than the burst takes to come back, and not more than the burst is there.
        for _ in 0..3 {
            assert_eq!(buckets.take(ip(1), 90_000_000), Taken::Yes);
        }
        assert_eq!(buckets.take(ip(1), 90_000_000), Taken::RetryAfter(1));
    }

    #[test]
    fn addresses_do_not_share() {
        let mut buckets = buckets(1, 1);
        assert_eq!(buckets.take(ip(1), 0), Taken::Yes);
        assert_eq!(buckets.take(ip(1), 0), Taken::RetryAfter(1));
        assert_eq!(buckets.take(ip(2), 0), Taken::Yes);
    }

    #[test]
    fn extreme_rates_and_bursts_are_as_good_as_none() {
        let mut fast = buckets(1 << 32, 1);
        let mut wide = buckets(1, NO_LIMIT);
        for _ in 0..100_000 {
            assert_eq!(fast.take(ip(1), 1), Taken::Yes);
            assert_eq!(wide.take(ip(1), 1), Taken::Yes);
        }
        assert!(Buckets::new(&Limits::default()).is_none());
    }

    #[test]
    fn a_full_table_forgets_who_is_quiet_and_shuts_nobody_out() {
        let mut buckets = buckets(1, 2);
        let max = ADDRESSES_TRACKED_MAX as u32;
        for address in 0..max {
            assert_eq!(buckets.take(ip(address), 5_000_000), Taken::Yes);
        }
        assert_eq!(buckets.take(ip(max), 5_000_000), Taken::Uncounted);
        // Who is in it is still counted.
        assert_eq!(buckets.take(ip(7), 5_000_000), Taken::Yes);
        assert_eq!(buckets.take(ip(7), 5_000_000), Taken::RetryAfter(1));
        assert_eq!(buckets.take(ip(max), 6_000_001), Taken::Yes);
        assert!(buckets.full_at_ns.len() <= 2, "{}", buckets.full_at_ns.len());
        assert_eq!(buckets.take(ip(7), 6_000_001), Taken::Yes);
    }
}
