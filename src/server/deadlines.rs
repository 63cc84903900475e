//! What ends at a time: acknowledgements and decisions that are waited for. Few beside connections, so a heap serves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::acks::BroadcastAck;

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
}

impl Deadlines {
    /// Adds one; whether it is now the earliest, so that the shard must set its alarm anew.
    pub fn add(&mut self, at_ms: u64, due: Due) -> bool {
        let earliest = self.next().is_none_or(|next| at_ms < next);
        self.next_number += 1;
        self.heap.push(Reverse(Entry { at_ms, number: self.next_number, due }));
        earliest
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
        self.heap.pop().map(|Reverse(entry)| entry.due)
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
}
