//! Acknowledgements that are owed, by ascending number: found by search in a sorted list, however many there are.
//!
//! They are mostly settled in the order in which they were made, so the list is a queue. One that is settled out of order leaves an
//! empty place, which goes when it comes to the front, or with many others at once: no order in which they are settled costs more
//! than another by more than a constant. The places are at most twice as many as what is owed, and a few.

use std::collections::VecDeque;

/// Empty places that do not make it worth to move what is behind them.
const EMPTY_MAX: usize = 16;

/// Places whose memory is kept when nothing is owed any more, for the next ones.
const KEPT_MAX: usize = 64;

/// What is owed, by number. The first place is never empty.
#[derive(Debug)]
pub struct Ledger<T> {
    places: VecDeque<(u64, Option<T>)>,
    owed: usize,
}

impl<T> Default for Ledger<T> {
    fn default() -> Ledger<T> {
        Ledger { places: VecDeque::new(), owed: 0 }
    }
}

impl<T> Ledger<T> {
    /// How many are owed.
    pub fn len(&self) -> usize {
        self.owed
    }

    /// The largest number that may be owed.
    pub fn newest(&self) -> Option<u64> {
        self.places.back().map(|(number, _)| *number)
    }

    /// Adds one; numbers ascend, but for those that threads took at once and bring in another order. Each number comes once.
    pub fn add(&mut self, number: u64, value: T) {
        self.owed += 1;
        if self.newest().is_some_and(|newest| newest > number) {
            return self.insert(number, value);
        }
        self.places.push_back((number, Some(value)));
    }

    #[cold]
    fn insert(&mut self, number: u64, value: T) {
        let at = self.places.partition_point(|(known, _)| *known < number);
        self.places.insert(at, (number, Some(value)));
    }

    /// The smallest number that is owed.
    pub fn oldest(&self) -> Option<u64> {
        self.places.front().map(|(number, _)| *number)
    }

    /// Settles the one with the smallest number, which is mostly the one that is due.
    pub fn settle_oldest(&mut self) -> Option<T> {
        let (_, value) = self.places.pop_front()?;
        self.owed -= 1;
        if self.places.len() > self.owed || self.places.capacity() > KEPT_MAX {
            self.tidy();
        }
        value
    }

    /// Whether this one is owed.
    pub fn has(&self, number: u64) -> bool {
        let found = self.places.binary_search_by_key(&number, |(known, _)| *known).ok();
        found.and_then(|at| self.places.get(at)).is_some_and(|(_, value)| value.is_some())
    }

    /// Settles one, once.
    pub fn settle(&mut self, number: u64) -> Option<T> {
        if self.oldest() == Some(number) {
            return self.settle_oldest();
        }
        self.settle_other(number)
    }

    #[cold]
    fn settle_other(&mut self, number: u64) -> Option<T> {
        let at = self.places.binary_search_by_key(&number, |(known, _)| *known).ok()?;
        let value = self.places.get_mut(at)?.1.take()?;
        self.owed -= 1;
        self.tidy();
        Some(value)
    }

    /// Settles all.
    pub fn settle_all(&mut self) -> impl Iterator<Item = T> {
        std::mem::take(self).places.into_iter().filter_map(|(_, value)| value)
    }

    #[cold]
    fn tidy(&mut self) {
        if self.owed == 0 {
            self.places.clear();
            self.places.shrink_to(KEPT_MAX);
            return;
        }
        while let Some((_, None)) = self.places.front() {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.owed + EMPTY_MAX {
            self.places.retain(|(_, value)| value.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::testing::Random;

    #[test]
    fn each_is_settled_once_in_any_order() {
        let mut random = Random::new(5);
        let mut ledger = Ledger::default();
        let mut numbers: Vec<u64> = (0..5_000).map(|number| number * 3).collect();
        numbers.iter().for_each(|number| ledger.add(*number, number + 1));
        while !numbers.is_empty() {
            let number = numbers.swap_remove(random.below(numbers.len()));
            assert_eq!(ledger.settle(number + 1), None);
            assert!(ledger.has(number) && !ledger.has(number + 1));
            assert_eq!(ledger.settle(number), Some(number + 1));
            assert!(!ledger.has(number));
            assert_eq!(ledger.settle(number), None);
            assert_eq!(ledger.len(), numbers.len());
        }
        assert_eq!(ledger.newest(), None);
    }

    #[test]
    fn an_old_one_does_not_keep_the_places_of_the_settled() {
        let mut ledger = Ledger::default();
        ledger.add(0, ());
        for number in 1..10_000 {
            ledger.add(number, ());
            assert_eq!(ledger.settle(number), Some(()));
            assert!(ledger.places.len() <= 2 + EMPTY_MAX);
        }
        assert_eq!((ledger.len(), ledger.settle(0)), (1, Some(())));
    }

    #[test]
    fn numbers_may_come_in_another_order_than_they_were_taken() {
        let mut ledger = Ledger::default();
        for number in [2, 1, 5, 3, 4, 0] {
            ledger.add(number, number);
        }
        for number in 0..6 {
            assert_eq!(ledger.settle(number), Some(number));
        }
    }

    #[test]
    fn memory_returns_when_nothing_is_owed() {
        let mut ledger = Ledger::default();
        (0..100_000).for_each(|number| ledger.add(number, ()));
        (0..100_000).for_each(|number| assert_eq!(ledger.settle(number), Some(())));
        assert!(ledger.places.capacity() <= KEPT_MAX);
    }

    #[test]
    fn all_that_is_owed_is_settled_at_once() {
        let mut ledger = Ledger::default();
        (0..6).for_each(|number| ledger.add(number, number));
        ledger.settle(1);
        assert!(ledger.settle_all().eq([0, 2, 3, 4, 5]));
        assert_eq!(ledger.len(), 0);
    }
}
