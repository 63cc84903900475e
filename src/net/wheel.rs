//! A timer wheel: when which key is to be looked at. Keys are not removed; who is looked at too early is put in again.
//!
//! Times within a few seconds are kept to the millisecond. Those beyond, which are mostly heartbeats, share wide slots: the pings of a
//! hundred thousand idle sessions then leave in batches, instead of waking the thread for each.

/// Slots of the near ring, a millisecond each: what the runtime's own timer resolves.
const NEAR_SLOTS: u64 = 8192;
/// Width of a slot of the far ring: what a heartbeat may be late without being thought so.
const FAR_TICK_MS: u64 = 32;
/// Slots of the far ring: a bit over a minute. Times beyond wait in the last one and are put in again.
const FAR_SLOTS: u64 = 2048;

/// A wheel of keys.
pub struct Wheel<K> {
    near: Ring<K>,
    far: Ring<K>,
}

impl<K> Wheel<K> {
    /// An empty wheel at the time 0.
    pub fn new() -> Wheel<K> {
        Wheel { near: Ring::new(1, NEAR_SLOTS), far: Ring::new(FAR_TICK_MS, FAR_SLOTS) }
    }

    /// Time passes while nothing is in it: what is put in then is for a time after that.
    pub fn pass(&mut self, now_ms: u64) {
        self.near.pass(now_ms);
        self.far.pass(now_ms);
    }

    /// Puts a key in, to be given at [`Wheel::due_ms`].
    pub fn add(&mut self, at_ms: u64, key: K) {
        let ring = if at_ms < self.near.horizon_ms() { &mut self.near } else { &mut self.far };
        ring.add(at_ms, key);
    }

    /// When a key would be given that is put in for `at_ms`: then or a tick later, or at the horizon, and never in this call of
    /// [`Wheel::take`].
    pub fn due_ms(&self, at_ms: u64) -> u64 {
        let ring = if at_ms < self.near.horizon_ms() { &self.near } else { &self.far };
        ring.tick_of(at_ms) * ring.tick_ms
    }

    /// Takes all keys whose time has come; the time of the first of them.
    pub fn take(&mut self, now_ms: u64, due: &mut Vec<K>) -> Option<u64> {
        let (near, far) = (self.near.take(now_ms, due), self.far.take(now_ms, due));
        near.into_iter().chain(far).min()
    }

    /// When the next key's time comes.
    pub fn next_ms(&self) -> Option<u64> {
        let (near, far) = (self.near.next_ms(), self.far.next_ms());
        near.into_iter().chain(far).min()
    }
}

/// When a wheel looks at each index next, whoever has the index by then: one who comes after another that left early waits for the
/// look that was booked already, so that those who come and go leave no more behind than there are indexes.
#[derive(Default)]
pub struct Looks(Vec<u64>);

impl Looks {
    /// Books a look at `index` for `at_ms`, unless one comes earlier; `key` is what the wheel gives then.
    pub fn book<K>(&mut self, wheel: &mut Wheel<K>, index: u32, at_ms: u64, key: K) {
        let index = index as usize;
        if self.0.len() <= index {
            self.0.resize(index + 1, u64::MAX);
        }
        let due_ms = wheel.due_ms(at_ms);
        if let Some(booked) = self.0.get_mut(index)
            && due_ms < *booked
        {
            *booked = due_ms;
            wheel.add(at_ms, key);
        }
    }

    /// Whether a look at `index` is booked that comes by a time.
    pub fn comes_by(&self, index: u32, at_ms: u64) -> bool {
        self.0.get(index as usize).is_some_and(|booked| *booked <= at_ms)
    }

    /// The wheel gave a key; false if it is of a booking that an earlier one replaced.
    pub fn take(&mut self, index: u32, now_ms: u64) -> bool {
        self.0.get_mut(index as usize).is_some_and(|booked| {
            let due = *booked <= now_ms;
            if due {
                *booked = u64::MAX;
            }
            due
        })
    }
}

/// Slots in a circle.
struct Ring<K> {
    tick_ms: u64,
    slots: Vec<Vec<K>>,
    /// One bit for each slot that is not empty.
    occupied: Vec<u64>,
    /// The tick that was looked at last.
    at: u64,
    count: usize,
}

impl<K> Ring<K> {
    fn new(tick_ms: u64, slots: u64) -> Ring<K> {
        let occupied = vec![0; slots as usize / 64];
        Ring { tick_ms, slots: (0..slots).map(|_| Vec::new()).collect(), occupied, at: 0, count: 0 }
    }

    fn len(&self) -> u64 {
        self.slots.len() as u64
    }

    /// The time of the last slot.
    fn horizon_ms(&self) -> u64 {
        (self.at + self.len() - 1) * self.tick_ms
    }

    fn tick_of(&self, at_ms: u64) -> u64 {
        at_ms.div_ceil(self.tick_ms).clamp(self.at + 1, self.at + self.len() - 1)
    }

    fn add(&mut self, at_ms: u64, key: K) {
        let tick = self.tick_of(at_ms);
        let slot = (tick % self.len()) as usize;
        if let (Some(keys), Some(bits)) = (self.slots.get_mut(slot), self.occupied.get_mut(slot / 64)) {
            keys.push(key);
            *bits |= 1 << (slot % 64);
            self.count += 1;
        }
    }

    fn pass(&mut self, now_ms: u64) {
        if self.count == 0 {
            self.at = self.at.max(now_ms / self.tick_ms);
        }
    }

    fn take(&mut self, now_ms: u64, due: &mut Vec<K>) -> Option<u64> {
        self.pass(now_ms);
        let now = now_ms / self.tick_ms;
        let mut first = None;
        while self.at < now {
            let Some(next) = self.next_tick().filter(|tick| *tick <= now) else {
                self.at = now;
                return first;
            };
            self.at = next;
            first = first.or(Some(next * self.tick_ms));
            let slot = (next % self.len()) as usize;
            if let (Some(keys), Some(bits)) = (self.slots.get_mut(slot), self.occupied.get_mut(slot / 64)) {
                self.count -= keys.len();
                due.append(keys);
                *keys = Vec::new();
                *bits &= !(1 << (slot % 64));
            }
        }
        first
    }

    fn next_ms(&self) -> Option<u64> {
        self.next_tick().map(|tick| tick * self.tick_ms)
    }

    fn next_tick(&self) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let start = (self.at + 1) % self.len();
        let words = self.occupied.len();
        for step in 0..=words {
            let word = (start as usize / 64 + step) % words;
            let mut bits = self.occupied.get(word).copied().unwrap_or_default();
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let slot = word as u64 * 64 + u64::from(bits.trailing_zeros());
                return Some(self.at + 1 + (slot + self.len() - start) % self.len());
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
        wheel.add(400, 3);
        let mut due = Vec::new();
        assert_eq!(wheel.take(10_000, &mut due), Some(300));
        assert_eq!((due, wheel.take(10_001, &mut Vec::new())), (vec![1, 3], None));
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
    fn what_comes_after_a_long_time_of_nothing_is_not_late() {
        let mut wheel = Wheel::new();
        wheel.pass(600_000);
        wheel.add(660_000, 1);
        assert_eq!(wheel.take(600_000, &mut Vec::new()), None);
        assert_eq!(take(&mut wheel, 660_000), [1]);
    }

    #[test]
    fn far_times_wait_at_the_horizon() {
        let mut wheel = Wheel::new();
        wheel.add(1_000_000, 1);
        let horizon = wheel.next_ms().unwrap();
        assert_eq!(horizon, (FAR_SLOTS - 1) * FAR_TICK_MS);
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

    #[test]
    fn far_times_share_slots_and_come_at_most_a_slot_late() {
        let mut wheel = Wheel::new();
        (0..100).for_each(|key| wheel.add(25_000 + u64::from(key), key));
        let (mut late_ms, mut wakes) = (0, 0);
        while let Some(now) = wheel.next_ms() {
            wakes += 1;
            late_ms =
                take(&mut wheel, now).iter().map(|key| now - 25_000 - u64::from(*key)).max().unwrap().max(late_ms);
        }
        assert!(late_ms < FAR_TICK_MS && wakes <= 5, "{late_ms} ms late, {wakes} wakes");
    }

    #[test]
    fn an_index_is_looked_at_once_for_all_who_had_it() {
        let (mut wheel, mut looks) = (Wheel::new(), Looks::default());
        looks.book(&mut wheel, 3, 60_000, 3);
        (0..10).for_each(|tenant| looks.book(&mut wheel, 3, 60_000 + tenant, 3));
        looks.book(&mut wheel, 3, 60_000, 3);
        let at = wheel.next_ms().unwrap();
        assert_eq!(take(&mut wheel, at), [3]);
        assert!(looks.take(3, at));
        assert_eq!(wheel.next_ms(), None);
    }

    #[test]
    fn a_booking_that_an_earlier_one_replaced_is_void() {
        let (mut wheel, mut looks) = (Wheel::new(), Looks::default());
        looks.book(&mut wheel, 0, 500, 0);
        looks.book(&mut wheel, 0, 100, 0);
        assert_eq!(take(&mut wheel, 100), [0]);
        assert!(looks.take(0, 100));
        looks.book(&mut wheel, 0, 900, 0);
        assert_eq!(take(&mut wheel, 500), [0]);
        assert!(!looks.take(0, 500));
        assert_eq!(take(&mut wheel, 900), [0]);
        assert!(looks.take(0, 900));
    }
}
