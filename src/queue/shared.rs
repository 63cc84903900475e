//! A queue as its producers and its consumer share it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;

use super::chunk::Chunk;
use super::poll::Held;
use crate::sys::EventFd;

/// Used chunks kept for the next turns; more would only be idle memory.
const SPARE_CHUNKS: usize = 8;

/// How events reach the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The host polls.
    Poll,
    /// A thread of the engine calls the host.
    Thread,
    /// The I/O shard calls the host.
    Inline,
}

/// The host's side of THREAD and INLINE.
pub trait Host: Send + Sync {
    /// Hands over a chunk. No lock is held that a submission takes.
    fn deliver(&self, chunk: &Arc<Chunk>);
}

/// The host's wish to know that the queue turned from empty to not empty.
pub trait Wake: Send + Sync {
    /// Called on whatever thread made the queue not empty.
    fn wake(&self);
}

/// Bounds beyond which reading from sockets stops. What was read already is still delivered, so a queue holds at most these and one
/// turn's reads more.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events.
    pub events_max: usize,
    /// Bytes of names, data and attachments.
    pub bytes_max: usize,
}

/// How much waits in a queue, and how often reading from sockets stopped because of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub events: u64,
    pub bytes: u64,
    pub stalls: u64,
}

/// One queue of events with one consumer.
pub struct Queue {
    limits: Limits,
    mode: OnceLock<(Mode, Option<Arc<dyn Host>>)>,
    sender: Sender<Arc<Chunk>>,
    pub(super) receiver: Receiver<Arc<Chunk>>,
    spare: (Sender<Chunk>, Receiver<Chunk>),
    events: AtomicUsize,
    bytes: AtomicUsize,
    /// Chunks sent less chunks taken: decides when to wake. A chunk is counted after it was sent, so one that is taken in between makes
    /// this too low for a moment, and its sender wakes once too often. Counted before, it would make it too high, and the sender of the
    /// next would not wake a consumer that has seen the queue empty.
    pending: AtomicIsize,
    /// Set when a shard stopped reading because of this queue; whoever drains it below half its bounds calls `resume`.
    stalled: AtomicBool,
    /// How often that happened.
    stalls: AtomicUsize,
    resume: Box<dyn Fn() + Send + Sync>,
    fd: OnceLock<EventFd>,
    /// Whether the descriptor may be readable: spares a system call for each poll.
    raised: AtomicBool,
    wake: Mutex<Option<Arc<dyn Wake>>>,
    /// One batch at a time, whatever the mode: an INLINE queue that several shards fill is delivered in turns.
    delivering: Mutex<()>,
    pub(super) held: Mutex<Held>,
}

impl Queue {
    /// Makes a queue; `resume` is called, on the consumer's thread, when shards may read again.
    pub fn new(limits: Limits, resume: Box<dyn Fn() + Send + Sync>) -> Queue {
        let (sender, receiver) = unbounded();
        Queue {
            limits,
            mode: OnceLock::new(),
            sender,
            receiver,
            spare: bounded(SPARE_CHUNKS),
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            pending: AtomicIsize::new(0),
            stalled: AtomicBool::new(false),
            stalls: AtomicUsize::new(0),
            resume,
            fd: OnceLock::new(),
            raised: AtomicBool::new(false),
            wake: Mutex::new(None),
            delivering: Mutex::new(()),
            held: Mutex::new(Held::default()),
        }
    }

    /// Decides the mode, before the engine listens. The first decision stands.
    pub fn set_mode(&self, mode: Mode, host: Option<Arc<dyn Host>>) {
        self.mode.get_or_init(|| (mode, host));
    }

    /// Whether the mode was decided.
    pub fn is_decided(&self) -> bool {
        self.mode.get().is_some()
    }

    /// POLL until decided otherwise.
    pub fn mode(&self) -> Mode {
        self.mode.get().map_or(Mode::Poll, |(mode, _)| *mode)
    }

    /// Whether reading must stop. The caller is remembered as stalled.
    pub fn is_full(&self) -> bool {
        let full = |order| {
            self.events.load(order) >= self.limits.events_max || self.bytes.load(order) >= self.limits.bytes_max
        };
        if !full(Ordering::Relaxed) {
            return false;
        }
        if !self.stalled.swap(true, Ordering::SeqCst) {
            self.stalls.fetch_add(1, Ordering::Relaxed);
        }
        // The consumer may have drained the queue between the two looks, and then nobody would call `resume`. It counts first and looks at
        // the flag then, in one order with this.
        full(Ordering::SeqCst)
    }

    /// Whether the queue is not full. Nobody stops reading for having asked.
    pub fn has_room(&self) -> bool {
        self.events.load(Ordering::Relaxed) < self.limits.events_max
            && self.bytes.load(Ordering::Relaxed) < self.limits.bytes_max
    }

    /// Whether the queue is less than half full: who may be left out adds only to such a queue.
    pub fn is_at_ease(&self) -> bool {
        let half = |max: usize| max.div_ceil(2);
        self.events.load(Ordering::Relaxed) < half(self.limits.events_max)
            && self.bytes.load(Ordering::Relaxed) < half(self.limits.bytes_max)
    }

    /// What waits for the host.
    pub fn depth(&self) -> Depth {
        Depth {
            events: self.events.load(Ordering::Relaxed) as u64,
            bytes: self.bytes.load(Ordering::Relaxed) as u64,
            stalls: self.stalls.load(Ordering::Relaxed) as u64,
        }
    }

    /// An empty chunk, a used one if there is one.
    pub(super) fn chunk(&self) -> Chunk {
        self.spare.1.try_recv().unwrap_or_default()
    }

    /// Takes a chunk back when nobody holds it any more.
    pub(super) fn give_back(&self, chunk: Arc<Chunk>) {
        if let Some(mut chunk) = Arc::into_inner(chunk) {
            chunk.clear();
            // A full shelf drops the chunk.
            drop(self.spare.0.try_send(chunk));
        }
    }

    /// Hands a chunk to the consumer: `inline` says that this thread may call the host itself.
    pub(super) fn send(&self, chunk: Chunk, inline: bool) {
        let chunk = Arc::new(chunk);
        if let (true, Some((Mode::Inline, Some(host)))) = (inline, self.mode.get()) {
            {
                let _one_at_a_time = self.delivering.lock();
                // What other threads put in before comes first: a broadcast's last acknowledgement may be here, and earlier ones there.
                if self.pending.load(Ordering::SeqCst) > 0 {
                    self.deliver_all(host);
                }
                host.deliver(&chunk);
            }
            self.give_back(chunk);
            return;
        }
        self.events.fetch_add(chunk.records().len(), Ordering::Relaxed);
        self.bytes.fetch_add(chunk.payload_len(), Ordering::Relaxed);
        // The receiver lives as long as the queue, so sending cannot fail.
        let _sent = self.sender.send(chunk);
        if self.pending.fetch_add(1, Ordering::SeqCst) <= 0 {
            self.signal();
            if self.mode() == Mode::Inline {
                // Only shards call the host of an INLINE queue.
                (self.resume)();
            }
        }
    }

    /// Delivers what threads other than shards put into an INLINE queue. For shards to call.
    pub fn deliver_waiting(&self) {
        let Some((Mode::Inline, Some(host))) = self.mode.get() else { return };
        let _one_at_a_time = self.delivering.lock();
        self.deliver_all(host);
    }

    fn deliver_all(&self, host: &Arc<dyn Host>) {
        while let Ok(chunk) = self.receiver.try_recv() {
            self.taken(&chunk);
            host.deliver(&chunk);
            self.give_back(chunk);
        }
    }

    fn signal(&self) {
        self.raise();
        let wake = self.wake.lock().clone();
        if let Some(wake) = wake {
            wake.wake();
        }
    }

    /// Bookkeeping for a chunk that left the channel: counts, and leave to read again.
    pub(super) fn taken(&self, chunk: &Chunk) {
        let events = self.events.fetch_sub(chunk.records().len(), Ordering::SeqCst) - chunk.records().len();
        let bytes = self.bytes.fetch_sub(chunk.payload_len(), Ordering::SeqCst) - chunk.payload_len();
        self.pending.fetch_sub(1, Ordering::SeqCst);
        let drained = events <= self.limits.events_max / 2 && bytes <= self.limits.bytes_max / 2;
        if drained && self.stalled.swap(false, Ordering::SeqCst) {
            (self.resume)();
        }
    }

    fn raise(&self) {
        if let Some(fd) = self.fd.get() {
            // In this order: a consumer that settles in between leaves it readable once too often, and not for ever.
            fd.raise();
            self.raised.store(true, Ordering::SeqCst);
        }
    }

    /// Brings the descriptor in line with what is left: `unfinished` events of a chunk, or chunks in the channel.
    pub(super) fn settle(&self, unfinished: bool) {
        if let Some(fd) = self.fd.get()
            && self.raised.swap(false, Ordering::SeqCst)
        {
            fd.lower();
            if unfinished || self.pending.load(Ordering::SeqCst) > 0 {
                self.raise();
            }
        }
    }

    /// The loop of a THREAD queue's own thread, which may start before the mode is set; ends after the event of kind `last`.
    pub fn run(&self, last: u32) {
        let (_, Some(host)) = self.mode.wait() else { return };
        while let Ok(chunk) = self.receiver.recv() {
            self.taken(&chunk);
            host.deliver(&chunk);
            let ended = chunk.records().last().is_some_and(|record| record.kind == last);
            self.give_back(chunk);
            if ended {
                return;
            }
        }
    }

    /// A descriptor that is readable while the queue is not empty.
    pub fn fd(&self) -> std::io::Result<&EventFd> {
        if self.fd.get().is_none() {
            let fd = EventFd::new()?;
            if self.fd.set(fd).is_ok() && self.has_events() {
                self.raise();
            }
        }
        self.fd.get().ok_or_else(|| std::io::Error::other("the descriptor was not kept"))
    }

    /// Sets or removes the wake callback; a queue that is not empty wakes at once.
    pub fn set_wake(&self, wake: Option<Arc<dyn Wake>>) {
        let old = std::mem::replace(&mut *self.wake.lock(), wake);
        // The host is told that it is needed no more; no lock is held while it runs.
        drop(old);
        if self.has_events() {
            self.signal();
        }
    }

    /// Whether events wait: in the channel, or left by the last batch. A poll that is under way may leave some.
    fn has_events(&self) -> bool {
        self.pending.load(Ordering::SeqCst) > 0 || self.held.try_lock().is_none_or(|held| held.is_unfinished())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Outbox};
    use super::*;

    struct Names(Mutex<Vec<String>>);

    impl Host for Names {
        fn deliver(&self, chunk: &Arc<Chunk>) {
            let names = chunk.records().iter().map(|record| String::from_utf8_lossy(chunk.name(record)).into_owned());
            self.0.lock().extend(names);
        }
    }

    fn send(queue: &Arc<Queue>, name: &str, inline: bool) {
        let mut outbox = Outbox::default();
        outbox.push(queue, &Event { kind: 5, name, ..Event::default() });
        outbox.deliver(inline);
    }

    #[test]
    fn what_other_threads_put_in_before_is_delivered_before() {
        let queue = Arc::new(Queue::new(Limits { events_max: 100, bytes_max: 1 << 20 }, Box::new(|| {})));
        let host = Arc::new(Names(Mutex::default()));
        queue.set_mode(Mode::Inline, Some(host.clone()));
        send(&queue, "a", true);
        send(&queue, "b", false);
        send(&queue, "c", false);
        assert_eq!(*host.0.lock(), ["a"]);
        send(&queue, "d", true);
        assert_eq!(*host.0.lock(), ["a", "b", "c", "d"]);
        queue.deliver_waiting();
        assert_eq!(host.0.lock().len(), 4);
    }
}
