//! A timer wheel: when which key is to be looked at. Keys are not removed; who is looked at too early is put in again.

/// One slot's width: what the runtime's own timer resolves.
const TICK_MS: u64 = 1;
/// Slots; times beyond eight seconds wait in the last one and are put in again.
const SLOTS: usize = 8192;

/// A wheel of keys.
pub struct Wheel<K> {
    slots: Vec<Vec<K>>,
    /// One bit for each slot that is not empty.
    occupied: [u64; SLOTS / 64],
    /// The tick that was looked at last.
    at: u64,
    count: usize,
}

impl<K> Wheel<K> {
    /// An empty wheel at the time 0.
    pub fn new() -> Wheel<K> {
        Wheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), occupied: [0; SLOTS / 64], at: 0, count: 0 }
    }

    /// Puts a key in, to be given at `at_ms` or a tick later, and never in this call of [`Wheel::take`].
    pub fn add(&mut self, at_ms: u64, key: K) {
        let tick = at_ms.div_ceil(TICK_MS).clamp(self.at + 1, self.at + SLOTS as u64 - 1);
        let slot = (tick % SLOTS as u64) as usize;
        if let (Some(keys), Some(bits)) = (self.slots.get_mut(slot), self.occupied.get_mut(slot / 64)) {
            keys.push(key);
            *bits |= 1 << (slot % 64);
            self.count += 1;
        }
    }

    /// Takes all keys whose time has come.
    pub fn take(&mut self, now_ms: u64, due: &mut Vec<K>) {
        let now = now_ms / TICK_MS;
        if self.count == 0 {
            self.at = self.at.max(now);
            return;
        }
        while self.at < now {
            let Some(next) = self.next_tick().filter(|tick| *tick <= now) else {
                self.at = now;
                return;
            };
            self.at = next;
            let slot = (next % SLOTS as u64) as usize;
            if let (Some(keys), Some(bits)) = (self.slots.get_mut(slot), self.occupied.get_mut(slot / 64)) {
                self.count -= keys.len();
                due.append(keys);
                *keys = Vec::new();
                *bits &= !(1 << (slot % 64));
            }
        }
    }

    /// When the next key's time comes.
    pub fn next_ms(&self) -> Option<u64> {
        self.next_tick().map(|tick| tick * TICK_MS)
    }

    fn next_tick(&self) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let start = (self.at + 1) % SLOTS as u64;
        let words = SLOTS / 64;
        for step in 0..=words {
            let word = (start as usize / 64 + step) % words;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let slot = word as u64 * 64 + u64::from(bits.trailing_zeros());
                return Some(self.at + 1 + (slot + SLOTS as u64 - start) % SLOTS as u64);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(wheel: &mut Wheel<u32>, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.take(now_ms, &mut due);
        due
    }

    #[test]
    fn keys_come_at_their_time_and_not_before() {
        let mut wheel = Wheel::new();
        wheel.add(300, 1);
        wheel.add(100, 2);
        assert_eq!(wheel.next_ms(), Some(100));
        assert!(take(&mut wheel, 99).is_empty());
        assert_eq!(take(&mut wheel, 100), [2]);
        assert_eq!(wheel.next_ms(), Some(300));
        assert_eq!(take(&mut wheel, 10_000), [1]);
        assert_eq!(wheel.next_ms(), None);
    }

    #[test]
    fn a_key_of_the_past_comes_with_the_next_tick() {
        let mut wheel = Wheel::new();
        take(&mut wheel, 1000);
        wheel.add(5, 7);
        assert!(take(&mut wheel, 1000).is_empty());
        assert_eq!(take(&mut wheel, 1001), [7]);
    }

    #[test]
    fn far_times_wait_at_the_horizon() {
        let mut wheel = Wheel::new();
        wheel.add(1_000_000, 1);
        let horizon = wheel.next_ms().unwrap();
        assert_eq!(horizon, (SLOTS as u64 - 1) * TICK_MS);
        assert_eq!(take(&mut wheel, horizon), [1]);
    }

    #[test]
    fn the_wheel_turns_over_its_end() {
        let mut wheel = Wheel::new();
        for round in 0..20u32 {
            let now = u64::from(round) * 7_000;
            take(&mut wheel, now);
            wheel.add(now + 6_500, round);
            assert_eq!(take(&mut wheel, now + 6_500), [round]);
        }
    }
}
