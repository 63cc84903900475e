//! What waits for the broker: bounded, in the order in which it was published, and filled by any thread without waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::format::{Local, Written};

/// One message, or a question about the channel that all servers hear.
pub struct Publication {
    /// Who says it.
    pub local: Arc<Local>,
    /// None: nothing is published.
    pub message: Option<Written>,
    /// How many subscribers the request channel has is wanted, for this request.
    pub count_for: Option<String>,
}

impl Publication {
    /// What it counts for in the bound.
    fn size(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.channel.len() + message.payload.len());
        size_of::<Publication>() + message
    }
}

#[derive(Default)]
struct Waiting {
    list: VecDeque<Publication>,
    bytes: usize,
}

/// The queue.
pub struct Outgoing {
    waiting: Mutex<Waiting>,
    bytes_max: usize,
    /// Told when something was added, or anything else happened that the broker's task looks after.
    pub wake: Notify,
    closing: Notify,
    is_closed: AtomicBool,
}

impl Outgoing {
    /// An empty queue that takes no more once it holds so many bytes.
    pub fn new(bytes_max: usize) -> Outgoing {
        let (wake, closing) = (Notify::new(), Notify::new());
        Outgoing { waiting: Mutex::default(), bytes_max, wake, closing, is_closed: AtomicBool::new(false) }
    }

    /// Nothing more is added: it is over when all is published that waits.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.closing.notify_waiters();
        self.wake.notify_one();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Returns when it is closed.
    pub async fn closed(&self) {
        let closing = self.closing.notified();
        if !self.is_closed() {
            closing.await;
        }
    }

    /// Adds one; false if there is no room. The newest is refused, so that what was accepted keeps its order without gaps. The one that fills the
    /// queue may be larger than what was left: the sockets of a whole server, as an answer, must not depend on what else waits.
    pub fn add(&self, publication: Publication) -> bool {
        let size = publication.size();
        {
            let mut waiting = self.waiting.lock();
            if waiting.bytes >= self.bytes_max {
                return false;
            }
            waiting.bytes += size;
            waiting.list.push_back(publication);
        }
        self.wake.notify_one();
        true
    }

    /// Takes up to `max` in order.
    pub fn take(&self, max: usize) -> Vec<Publication> {
        let mut waiting = self.waiting.lock();
        let count = waiting.list.len().min(max);
        let taken: Vec<Publication> = waiting.list.drain(..count).collect();
        waiting.bytes -= taken.iter().map(Publication::size).sum::<usize>();
        taken
    }

    /// How many wait, and what they count for in the bound.
    pub fn waiting(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.list.len(), waiting.bytes)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::format::classic::Classic;

    fn publication(n: usize) -> Publication {
        let local = Arc::new(Local::new(&Classic::default(), "/", String::new()));
        let message = Written { channel: n.to_string(), payload: vec![0; 1000], kind: 0, stored: false };
        Publication { local, message: Some(message), count_for: None }
    }

    #[test]
    fn what_has_room_keeps_its_order_and_the_newest_is_refused() {
        let queue = Outgoing::new(5 * (1001 + size_of::<Publication>()));
        let added: Vec<bool> = (0..7).map(|n| queue.add(publication(n))).collect();
        assert_eq!(added, [true, true, true, true, true, false, false]);
        let names =
            |taken: Vec<Publication>| taken.into_iter().map(|one| one.message.unwrap().channel).collect::<Vec<_>>();
        assert_eq!(names(queue.take(2)), ["0", "1"]);
        assert!(queue.add(publication(7)));
        assert_eq!(names(queue.take(9)), ["2", "3", "4", "7"]);
        assert!(queue.is_empty() && queue.waiting.lock().bytes == 0);
    }

    #[test]
    fn what_is_larger_than_the_queue_has_room_in_it() {
        let queue = Outgoing::new(100);
        let added: Vec<bool> = (0..2).map(|n| queue.add(publication(n))).collect();
        assert_eq!(added, [true, false]);
    }
}
