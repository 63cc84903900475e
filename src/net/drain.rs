//! A shard's part in draining: each of its sessions ends at a time of its own, and what is refused and closed meanwhile.
//!
//! The ends are spread evenly: of n sessions, one ends in each nth of the time, at a random moment of it, and which one is random too.
//! So no moment has more than two of them, and the last ends when the time is over at the latest.

use super::http::Head;
use super::http::response::{self, EngineError};
use super::refusal::Refusal;
use super::request::Place;
use super::session::End;
use super::shard::{Shard, Timer};
use super::table::Key;
use crate::queue::Event;
use crate::server::event::EVENT_CLOSING;
use crate::server::{Cause, Drain, Draining, Reason};

/// How often a draining shard looks whether sessions are left and something is to be reported.
const LOOK_MS: u64 = 100;
/// A report comes after so long even if few sessions have ended.
const REPORT_MS: u64 = 1000;
/// And before that when one part in so many of the sessions has ended.
const REPORT_PARTS: usize = 10;

/// When which session ends, and what was reported.
pub struct Schedule {
    /// The next one last.
    ends: Vec<(u64, Key)>,
    /// When what is left is cut off.
    until_ms: u64,
    /// The session that is being ended: nothing follows on its connection.
    ending: Option<Key>,
    reported_ms: u64,
    reported: Option<usize>,
    finished: bool,
}

impl Shard {
    /// Draining begins: no more connections or sessions; those that are there get their times.
    pub fn begin_drain(&mut self, drain: Drain) {
        if self.closing.is_some() {
            return;
        }
        self.stop_listening();
        self.tell_ending("draining", drain.spread_ms.into(), drain.grace_ms);
        let (now_ms, spread_ms) = (self.now_ms(), u64::from(drain.spread_ms));
        let mut random = Random::new(self.now_us);
        let mut keys = self.sessions.keys();
        random.shuffle(&mut keys);
        let offsets = spread(keys.len(), spread_ms, &mut random);
        let mut ends: Vec<_> = offsets.into_iter().map(|offset| now_ms + offset).zip(keys).collect();
        ends.reverse();
        let until_ms = now_ms + spread_ms + u64::from(drain.grace_ms);
        let schedule = Schedule { ends, until_ms, ending: None, reported_ms: 0, reported: None, finished: false };
        self.drain = Some(Box::new(schedule));
        self.drain_on();
    }

    /// Ends the sessions whose time has come.
    pub fn drain_on(&mut self) {
        let now_ms = self.now_ms();
        while let Some(drain) = &mut self.drain
            && let Some((_, key)) = drain.ends.pop_if(|(at_ms, _)| *at_ms <= now_ms)
        {
            drain.ending = Some(key);
            self.end_session(key, &Cause::new(Reason::ServerShuttingDown), End::Orderly);
        }
        self.report_drain(now_ms);
        let is_empty = self.sessions.is_empty();
        let Some(drain) = &mut self.drain else { return };
        drain.ending = None;
        let over = is_empty || now_ms >= drain.until_ms;
        if over && !std::mem::replace(&mut drain.finished, over) {
            let grace_ms = drain.until_ms.saturating_sub(now_ms);
            if self.server.draining.get().is_some_and(Draining::finish) {
                self.push_closing(self.server.sessions.count());
                self.server.close(u32::try_from(grace_ms).unwrap_or(u32::MAX));
                return;
            }
        }
        let Some(drain) = &self.drain else { return };
        // The first shard goes on to report.
        if !drain.finished || self.index == 0 {
            let next_ms = drain.ends.last().map_or(u64::MAX, |(at_ms, _)| *at_ms);
            self.wheel.add(next_ms.min(now_ms + LOOK_MS), Timer::Drain);
        }
    }

    /// Tells the host how many sessions are left, if that is news. The first shard speaks for all.
    fn report_drain(&mut self, now_ms: u64) {
        let Some(drain) = self.drain.as_mut().filter(|_| self.index == 0) else { return };
        let left = self.server.sessions.count();
        let total = self.server.draining.get().map_or(0, |draining| draining.total);
        let late = now_ms >= drain.reported_ms + REPORT_MS;
        let is_news = |reported: usize| late || reported.saturating_sub(left) * REPORT_PARTS >= total.max(1);
        if drain.reported.is_none_or(|reported| left > 0 && is_news(reported)) {
            (drain.reported, drain.reported_ms) = (Some(left), now_ms);
            self.push_closing(left);
        }
    }

    fn push_closing(&mut self, left: usize) {
        let total = self.server.draining.get().map_or(0, |draining| draining.total).max(left);
        let data = format!("{{\"sessions\":{left},\"total\":{total}}}");
        let status = i32::try_from(left).unwrap_or(i32::MAX);
        let event = Event { kind: EVENT_CLOSING, status, data: &data, time_us: self.now_us, ..Event::default() };
        let queue = self.server.queue().clone();
        self.out.push(&queue, &event);
    }

    // ---- HTTP meanwhile -------------------------------------------------------------------------------------------

    /// Refuses a new session while draining: the next process takes it.
    pub fn refuse_while_draining(&mut self, key: Key, head: &Head) -> bool {
        if self.drain.is_some() {
            self.report(&Refusal::new(EngineError::Forbidden, "message", "the engine is draining"));
            self.answer(key, head, |out, envelope| response::empty(out, 503, envelope));
        }
        self.drain.is_some()
    }

    /// Whether a connection is kept for another request after an answer. While draining it is kept for a session that goes on: with
    /// the listener closed, its next poll can come nowhere else.
    pub fn keeps_alive(&self, head: &Head) -> bool {
        let Some(drain) = &self.drain else { return head.keep_alive() };
        let Place::Here(key) = self.place_of(head) else { return false };
        let goes_on = self.sessions.get(key).is_some_and(|session| session.closing.is_none());
        head.keep_alive() && goes_on && drain.ending != Some(key)
    }
}

/// Times for `count` ends within `spread_ms`, in order: each at a random moment of its own part of the time.
fn spread(count: usize, spread_ms: u64, random: &mut Random) -> Vec<u64> {
    let parts = count as u64;
    (0..parts).map(|part| (part * spread_ms + random.below(spread_ms + 1)) / parts.max(1)).collect()
}

/// Numbers that look random (splitmix64): where they come from decides nothing but whose turn it is.
struct Random(u64);

impl Random {
    /// Seeded by the system, or by the time if it has no random bytes.
    fn new(time_us: u64) -> Random {
        Random(getrandom::u64().unwrap_or(time_us))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    /// A number below `bound`, which is small beside 2⁶⁴; 0 for 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_spread_evenly_and_none_is_late() {
        for count in [1, 7, 1000] {
            let ends = spread(count, 10_000, &mut Random(1));
            assert_eq!(ends.len(), count);
            assert!(ends.is_sorted() && ends.iter().all(|end| *end <= 10_000));
            let part = 10_000.0 / count as f64;
            let in_its_part = |(at, end): (usize, &u64)| (*end as f64) >= (at as f64) * part - 1.0;
            assert!(ends.iter().enumerate().all(in_its_part));
        }
    }

    #[test]
    fn without_a_spread_all_end_at_once() {
        assert_eq!(spread(3, 0, &mut Random(1)), [0, 0, 0]);
        assert!(spread(0, 1000, &mut Random(1)).is_empty());
    }

    #[test]
    fn shuffling_keeps_all_and_moves_most() {
        let mut items: Vec<u32> = (0..100).collect();
        Random(7).shuffle(&mut items);
        assert!(items.iter().enumerate().filter(|(at, item)| *at as u32 != **item).count() > 80);
        items.sort_unstable();
        assert!(items.into_iter().eq(0..100));
    }
}
