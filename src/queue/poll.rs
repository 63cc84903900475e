//! The consumer's side of a POLL queue: batches.

use std::sync::Arc;
use std::time::Duration;

use super::chunk::{Chunk, Record};
use super::shared::{Mode, Queue};

/// What the consumer holds: the chunks of its current batch, and how far into the last of them it has come.
#[derive(Default)]
pub struct Held {
    chunks: Vec<Arc<Chunk>>,
    /// Records of the last chunk that earlier batches, or this one, already gave.
    given: usize,
    ended: bool,
}

impl Held {
    /// Whether the last batch left events of a chunk.
    pub fn is_unfinished(&self) -> bool {
        self.chunks.last().is_some_and(|chunk| self.given < chunk.records().len())
    }
}

/// Why there is no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollError {
    /// Another thread polls this queue.
    Busy,
    /// The queue is delivered by THREAD or INLINE.
    NotPolled,
    /// The last event was given before.
    Ended,
}

/// Receives the records of a batch, with the chunk that each lives in.
pub trait Batch {
    /// Takes a record; false if there is no room for it, which ends the batch before it.
    fn take(&mut self, chunk: &Arc<Chunk>, record: &Record) -> bool;
}

impl Queue {
    /// Releases the last batch and gives the next: as many events as `batch` takes. Waits for the first one: `None` without limit.
    /// `last` is the kind of the event after which there are none.
    pub fn poll(&self, batch: &mut impl Batch, wait: Option<Duration>, last: u32) -> Result<usize, PollError> {
        if self.mode() != Mode::Poll {
            return Err(PollError::NotPolled);
        }
        let Some(mut held) = self.held.try_lock() else { return Err(PollError::Busy) };
        self.release_held(&mut held);
        if held.ended && held.chunks.is_empty() {
            return Err(PollError::Ended);
        }
        if held.chunks.is_empty() {
            match self.receive(wait) {
                Some(chunk) => held.chunks.push(chunk),
                None => {
                    self.settle(false);
                    return Ok(0);
                }
            }
        }
        let count = self.fill(&mut held, batch, last);
        self.settle(held.is_unfinished());
        Ok(count)
    }

    fn fill(&self, held: &mut Held, batch: &mut impl Batch, last: u32) -> usize {
        let mut count = 0;
        while let Some(chunk) = held.chunks.last().cloned() {
            for record in chunk.records().get(held.given..).unwrap_or_default() {
                if !batch.take(&chunk, record) {
                    return count;
                }
                count += 1;
                held.given += 1;
                held.ended |= record.kind == last;
            }
            match self.receive(Some(Duration::ZERO)) {
                Some(chunk) => {
                    held.chunks.push(chunk);
                    held.given = 0;
                }
                None => break,
            }
        }
        count
    }

    /// Ends the current batch: its memory may be used again.
    pub fn release(&self) -> Result<(), PollError> {
        let Some(mut held) = self.held.try_lock() else { return Err(PollError::Busy) };
        self.release_held(&mut held);
        Ok(())
    }

    fn release_held(&self, held: &mut Held) {
        let unfinished = match held.chunks.last() {
            Some(chunk) if held.given < chunk.records().len() => held.chunks.pop(),
            _ => None,
        };
        for chunk in held.chunks.drain(..) {
            self.give_back(chunk);
        }
        match unfinished {
            Some(chunk) => held.chunks.push(chunk),
            None => held.given = 0,
        }
    }

    fn receive(&self, wait: Option<Duration>) -> Option<Arc<Chunk>> {
        let chunk = match wait {
            Some(Duration::ZERO) => self.receiver.try_recv().ok(),
            Some(wait) => self.receiver.recv_timeout(wait).ok(),
            None => self.receiver.recv().ok(),
        }?;
        self.taken(&chunk);
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Limits, Outbox, Wake};
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LAST: u32 = 17;

    struct Names(Vec<String>, usize);

    impl Batch for Names {
        fn take(&mut self, chunk: &Arc<Chunk>, record: &Record) -> bool {
            if self.0.len() == self.1 {
                return false;
            }
            self.0.push(String::from_utf8(chunk.name(record).to_vec()).unwrap());
            true
        }
    }

    fn queue(events_max: usize) -> (Arc<Queue>, Arc<AtomicUsize>) {
        let resumed = Arc::new(AtomicUsize::new(0));
        let count = resumed.clone();
        let resume = Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        (Arc::new(Queue::new(Limits { events_max, bytes_max: 1 << 20 }, resume)), resumed)
    }

    fn send(queue: &Arc<Queue>, names: &[&str]) {
        let mut outbox = Outbox::default();
        for name in names {
            let kind = if *name == "last" { LAST } else { 5 };
            outbox.push(queue, &Event { kind, name, ..Event::default() });
        }
        outbox.deliver(false);
    }

    fn poll(queue: &Queue, capacity: usize) -> Result<Vec<String>, PollError> {
        let mut names = Names(Vec::new(), capacity);
        queue.poll(&mut names, Some(Duration::ZERO), LAST)?;
        Ok(names.0)
    }

    #[test]
    fn a_batch_spans_chunks_and_stops_at_its_capacity() {
        let (queue, _) = queue(100);
        send(&queue, &["a", "b"]);
        send(&queue, &["c", "d"]);
        assert_eq!(poll(&queue, 3).unwrap(), ["a", "b", "c"]);
        assert_eq!(poll(&queue, 3).unwrap(), ["d"]);
        assert!(poll(&queue, 3).unwrap().is_empty());
    }

    fn is_readable(fd: std::os::fd::RawFd) -> bool {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:")).unwrap();
        count.trim() != "0"
    }

    struct Woken(AtomicUsize);

    impl super::super::shared::Wake for Woken {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no /proc")]
    fn what_a_batch_left_is_told_to_who_comes_to_wait() {
        let (queue, _) = queue(100);
        send(&queue, &["a", "b"]);
        assert_eq!(poll(&queue, 1).unwrap(), ["a"]);
        assert!(is_readable(queue.fd().unwrap().raw()));
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        queue.set_wake(Some(woken.clone()));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(poll(&queue, 1).unwrap(), ["b"]);
        queue.set_wake(Some(woken.clone()));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "nothing waits any more");
    }

    #[test]
    fn who_asks_for_room_is_not_held_up() {
        let (queue, resumed) = queue(2);
        send(&queue, &["a"]);
        assert!(queue.has_room());
        send(&queue, &["b"]);
        assert!(!queue.has_room());
        assert_eq!(queue.depth().stalls, 0);
        poll(&queue, 10).unwrap();
        assert_eq!(resumed.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn after_the_last_event_polling_is_an_error() {
        let (queue, _) = queue(100);
        send(&queue, &["a", "last"]);
        assert_eq!(poll(&queue, 1).unwrap(), ["a"]);
        assert_eq!(poll(&queue, 1).unwrap(), ["last"]);
        assert_eq!(poll(&queue, 1).unwrap_err(), PollError::Ended);
    }

    #[test]
    fn draining_a_full_queue_resumes_the_readers_once() {
        let (queue, resumed) = queue(2);
        send(&queue, &["a"]);
        assert!(!queue.is_full());
        send(&queue, &["b", "c"]);
        assert!(queue.is_full());
        assert_eq!(poll(&queue, 10).unwrap().len(), 3);
        assert_eq!(resumed.load(Ordering::SeqCst), 1);
        assert!(!queue.is_full());
        send(&queue, &["d"]);
        poll(&queue, 10).unwrap();
        assert_eq!(resumed.load(Ordering::SeqCst), 1);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no /proc")]
    fn the_descriptor_is_readable_while_events_are_left() {
        let (queue, _) = queue(10);
        let fd = queue.fd().unwrap().raw();
        let readable = || is_readable(fd);
        assert!(!readable());
        send(&queue, &["a", "b"]);
        assert!(readable());
        assert_eq!(poll(&queue, 1).unwrap(), ["a"]);
        assert!(readable());
        assert_eq!(poll(&queue, 5).unwrap(), ["b"]);
        assert!(!readable());
    }

    #[test]
    fn a_second_poller_is_refused() {
        let (queue, _) = queue(10);
        let held = queue.held.lock();
        assert_eq!(poll(&queue, 1).unwrap_err(), PollError::Busy);
        drop(held);
    }

    /// Wakes a thread that parks.
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(&self) {
            self.0.unpark();
        }
    }

    #[test]
    fn a_consumer_that_sleeps_has_missed_nothing() {
        const EVENTS: usize = if cfg!(miri) { 5 } else { 2000 };
        let (queue, resumed) = queue(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                queue.set_wake(Some(Arc::new(Unpark(std::thread::current()))));
                let mut taken = 0;
                while taken < 2 * EVENTS {
                    // A batch that is not full tells that nothing was left.
                    let names = poll(&queue, 3).unwrap();
                    taken += names.len();
                    if names.is_empty() && taken < 2 * EVENTS {
                        let start = std::time::Instant::now();
                        std::thread::park_timeout(Duration::from_secs(20));
                        assert!(start.elapsed().as_secs() < 20, "a wake was lost");
                    }
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..EVENTS {
                        // Readers stop at a full queue, and go on when they are told to.
                        let before = resumed.load(Ordering::SeqCst);
                        let start = std::time::Instant::now();
                        while queue.is_full() && resumed.load(Ordering::SeqCst) == before {
                            assert!(start.elapsed().as_secs() < 20, "nobody said that there is room again");
                            std::thread::yield_now();
                        }
                        send(&queue, &["a"]);
                    }
                });
            }
        });
        assert!(poll(&queue, 1).unwrap().is_empty());
    }
}
