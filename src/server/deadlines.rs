//! What ends at a time: acknowledgements and decisions that are waited for. Few beside connections, so a heap serves.
//!
//! What is settled before its time stays in the heap, for finding it there would cost each acknowledgement more than it is worth. When
//! the heap has doubled it is looked through once for all of them, so that it holds twice what is waited for, and a few, whatever the
//! times are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::acks::BroadcastAck;

/// Entries that are few enough to stay until their time.
const FEW: usize = 256;

/// What happens then. All are harmless when their object was settled before.
pub enum Due {
    /// A client owed an acknowledgement: socket and id on the wire.
    Ack { socket: u64, wire_id: u64 },
    /// The receivers of a broadcast owed theirs.
    Broadcast(Arc<BroadcastAck>),
    /// The host owed a decision.
    Request(u64),
    /// Lines of the log were left out.
    LogSummary,
}

struct Entry {
    at_ms: u64,
    number: u64,
    due: Due,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.number).cmp(&(other.at_ms, other.number))
    }
}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Entry {}

/// A heap of what is due, earliest first; milliseconds since the engine was made.
#[derive(Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<Entry>>,
    next_number: u64,
    /// How many were left when what was settled was last taken out.
    left: usize,
}

/// The contents of a heap, to be looked through while nothing is locked.
pub struct Crowd(Vec<Reverse<Entry>>);

impl Crowd {
    /// Drops what nobody waits for any more.
    pub fn retain(&mut self, is_awaited: impl Fn(&Due) -> bool) {
        self.0.retain(|Reverse(entry)| is_awaited(&entry.due));
        self.0.shrink_to(2 * self.0.len());
    }
}

impl Deadlines {
    /// Adds one; whether the shard must see to it: it is the earliest, or the heap is crowded.
    pub fn add(&mut self, at_ms: u64, due: Due) -> bool {
        let earliest = self.next().is_none_or(|next| at_ms < next);
        self.next_number += 1;
        self.heap.push(Reverse(Entry { at_ms, number: self.next_number, due }));
        earliest || self.is_crowded()
    }

    fn is_crowded(&self) -> bool {
        self.heap.len() > 2 * self.left + FEW
    }

    /// Takes everything out, if much of it may have been settled; what stays is given back by `give_back`.
    pub fn take_crowd(&mut self) -> Option<Crowd> {
        self.is_crowded().then(|| Crowd(std::mem::take(&mut self.heap).into_vec()))
    }

    /// Puts back what is still waited for, beside what was added meanwhile.
    pub fn give_back(&mut self, crowd: Crowd) {
        self.left = crowd.0.len();
        let mut added = std::mem::replace(&mut self.heap, crowd.0.into());
        self.heap.append(&mut added);
    }

    /// When the earliest is due.
    pub fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.at_ms)
    }

    /// Takes one that is due.
    pub fn pop(&mut self, now_ms: u64) -> Option<Due> {
        if self.next()? > now_ms {
            return None;
        }
        let due = self.heap.pop().map(|Reverse(entry)| entry.due);
        self.left = self.left.min(self.heap.len());
        if self.heap.capacity() > 4 * self.heap.len().max(FEW) {
            self.heap.shrink_to(2 * self.heap.len());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order() {
        let mut deadlines = Deadlines::default();
        assert!(deadlines.add(20, Due::Request(2)));
        assert!(deadlines.add(10, Due::Request(1)));
        assert!(!deadlines.add(20, Due::Request(3)));
        assert!(deadlines.pop(9).is_none());
        let mut order = Vec::new();
        while let Some(Due::Request(token)) = deadlines.pop(20) {
            order.push(token);
        }
        assert_eq!(order, [1, 2, 3]);
        assert_eq!(deadlines.next(), None);
    }

    fn is_even(due: &Due) -> bool {
        matches!(due, Due::Request(token) if token % 2 == 0)
    }

    #[test]
    fn what_is_settled_early_does_not_stay_until_its_time() {
        let mut deadlines = Deadlines::default();
        for token in 0..if cfg!(miri) { 2_000 } else { 100_000 } {
            let wakes = deadlines.add(1_000_000, Due::Request(token));
            if let Some(mut crowd) = deadlines.take_crowd() {
                assert!(wakes, "the shard hears of it");
                crowd.retain(|_| false);
                deadlines.give_back(crowd);
            }
            assert!(deadlines.heap.len() <= FEW && deadlines.heap.capacity() <= 4 * FEW);
        }
    }

    #[test]
    fn what_is_still_waited_for_stays_in_order_and_is_seldom_looked_at() {
        const COUNT: usize = if cfg!(miri) { 2_000 } else { 10_000 };
        let (mut deadlines, mut looked_at) = (Deadlines::default(), 0);
        for token in 0..COUNT as u64 {
            deadlines.add(20_000 - token, Due::Request(token));
            if let Some(mut crowd) = deadlines.take_crowd() {
                looked_at += crowd.0.len();
                crowd.retain(is_even);
                // Another thread adds one meanwhile.
                deadlines.add(1, Due::LogSummary);
                deadlines.give_back(crowd);
                assert!(matches!(deadlines.pop(1), Some(Due::LogSummary)));
            }
        }
        assert!(looked_at < 3 * COUNT, "{looked_at}");
        let (mut before, mut even) = (u64::MAX, 0);
        while let Some(due) = deadlines.pop(u64::MAX) {
            even += usize::from(is_even(&due));
            let Due::Request(token) = due else { panic!("only requests are left") };
            assert!(token < before);
            before = token;
        }
        assert_eq!((even, deadlines.left), (COUNT / 2, 0));
        assert!(deadlines.heap.capacity() <= 4 * FEW);
    }
}
