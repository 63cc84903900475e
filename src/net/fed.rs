//! A stream that the host feeds: it gives the bytes that came, and takes those that are to be sent. A host's TLS, a pipe of its own,
//! a request that its own HTTP server received.
//!
//! Both directions are bounded. In: at most [`INPUT_MAX`] bytes wait for the shard, the host keeps what is refused and is told when
//! there is room. Out: the host takes as much as it wants; the rest waits as on a socket that is full, until the host says that it
//! takes more. The host's functions run on the shard's thread, with no lock held; it may call the engine from them.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;

use parking_lot::Mutex;

use crate::server::Slots;

/// Bytes that wait for the shard: what the kernel's default buffer of a TCP connection holds, roughly.
pub const INPUT_MAX: usize = 256 * 1024;
/// Capacity above which an emptied buffer is given back.
const KEEP_BYTES_MAX: usize = 4096;

/// The host's side of a stream.
pub trait Host: Send + Sync {
    /// Takes bytes to be sent; how many.
    fn send(&self, bytes: &[u8]) -> usize;

    /// Input is taken again after some was refused.
    fn room(&self) {}

    /// Nothing more will be sent; `ended` if the host ended the stream before. Called once.
    fn close(&self, ended: bool);

    /// Whether this is one request, which was given whole: there is no more input, and nothing follows on its answer.
    fn is_request(&self) -> bool {
        false
    }

    /// Whether a request has its answer.
    fn is_served(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct Inlet {
    bytes: Vec<u8>,
    /// No more will come.
    ended: bool,
    /// Some was refused for lack of room.
    refused: bool,
    /// The shard was woken for input and has not looked since.
    woken: bool,
    /// Wakes the shard for this stream, once one has it.
    waker: Option<Waker>,
}

/// A stream as the host's threads see it.
pub struct Fed {
    pub id: u64,
    host: Box<dyn Host>,
    inlet: Mutex<Inlet>,
    /// The host said that it takes more, and nothing was sent since.
    writable: AtomicBool,
    closed: AtomicBool,
    streams: Weak<Slots<Fed>>,
}

/// A stream as its shard sees it; with it, the stream ends.
pub struct FedEnd(Arc<Fed>);

impl Fed {
    /// Registers a stream. `None`, and nothing is made, if the table is full.
    pub fn open(streams: &Arc<Slots<Fed>>, host: impl FnOnce() -> Box<dyn Host>) -> Option<FedEnd> {
        let make = |id| Fed {
            id,
            host: host(),
            inlet: Mutex::default(),
            writable: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            streams: Arc::downgrade(streams),
        };
        streams.insert(|id| Arc::new(make(id))).map(FedEnd)
    }

    /// Bytes came; how many of them were taken, or `None` after the end. After a refusal `Host::room` is called.
    pub fn input(&self, bytes: &[u8]) -> Option<usize> {
        let mut inlet = self.inlet.lock();
        if inlet.ended {
            return None;
        }
        let len = bytes.len().min(INPUT_MAX.saturating_sub(inlet.bytes.len()));
        inlet.bytes.extend_from_slice(bytes.get(..len).unwrap_or_default());
        inlet.refused |= len < bytes.len();
        Self::wake(inlet);
        Some(len)
    }

    /// Whether it takes no input, being a request.
    pub fn is_request(&self) -> bool {
        self.host.is_request()
    }

    /// No more bytes will come.
    pub fn end(&self) {
        let mut inlet = self.inlet.lock();
        inlet.ended = true;
        Self::wake(inlet);
    }

    fn wake(mut inlet: parking_lot::MutexGuard<'_, Inlet>) {
        if !std::mem::replace(&mut inlet.woken, true) {
            let waker = inlet.waker.clone();
            drop(inlet);
            waker.inspect(|waker| waker.wake_by_ref());
        }
    }

    /// The host takes more.
    pub fn writable(&self) {
        if !self.writable.swap(true, Ordering::AcqRel) {
            let waker = self.inlet.lock().waker.clone();
            waker.inspect(|waker| waker.wake_by_ref());
        }
    }
}

impl FedEnd {
    /// The id by which the host names the stream.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Says whom to wake, and wakes at once if something waits.
    pub fn attach(&self, waker: &Waker) {
        let mut inlet = self.0.inlet.lock();
        inlet.waker = Some(waker.clone());
        let waits = !inlet.bytes.is_empty() || inlet.ended;
        drop(inlet);
        if waits {
            waker.wake_by_ref();
        }
    }

    /// Whether there is something to read; if not, the shard is woken when there is.
    pub fn is_readable(&self) -> bool {
        let mut inlet = self.0.inlet.lock();
        inlet.woken = false;
        !inlet.bytes.is_empty() || inlet.ended
    }

    /// Reads what came; 0 is the end, `WouldBlock` means that there is nothing.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inlet = self.0.inlet.lock();
        inlet.woken = false;
        let len = inlet.bytes.len().min(buffer.len());
        if len == 0 {
            return if inlet.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let (Some(to), Some(from)) = (buffer.get_mut(..len), inlet.bytes.get(..len)) else { return Ok(0) };
        to.copy_from_slice(from);
        inlet.bytes.drain(..len);
        if inlet.bytes.is_empty() && inlet.bytes.capacity() > KEEP_BYTES_MAX {
            inlet.bytes = Vec::new();
        }
        let has_room = inlet.refused && inlet.bytes.len() <= INPUT_MAX / 2;
        inlet.refused &= !has_room;
        drop(inlet);
        if has_room {
            self.0.host.room();
        }
        Ok(len)
    }

    /// Gives bytes to the host; how many it took.
    pub fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.0.closed.load(Ordering::Acquire) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // Before the host is asked, so that what it says from then on wakes.
        self.0.writable.store(false, Ordering::Release);
        let mut sent = 0;
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            let taken = self.0.host.send(piece).min(piece.len());
            sent += taken;
            if taken < piece.len() {
                break;
            }
        }
        if self.0.host.is_served() {
            self.0.end();
        }
        if sent == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(sent) }
    }

    /// Tells the host that nothing more will be sent.
    pub fn close(&self) {
        if !self.0.closed.swap(true, Ordering::AcqRel) {
            let ended = self.0.inlet.lock().ended;
            self.0.host.close(ended);
        }
    }
}

impl Drop for FedEnd {
    fn drop(&mut self) {
        self.close();
        if let Some(streams) = self.0.streams.upgrade() {
            streams.remove(self.0.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Kind;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    /// What a host saw, and how much it takes of each piece.
    #[derive(Default)]
    struct Seen {
        sent: Mutex<Vec<u8>>,
        takes: AtomicUsize,
        rooms: AtomicUsize,
        closes: AtomicUsize,
        wakes: AtomicUsize,
    }

    impl Host for Arc<Seen> {
        fn send(&self, bytes: &[u8]) -> usize {
            let len = bytes.len().min(self.takes.load(Ordering::SeqCst));
            self.takes.fetch_sub(len, Ordering::SeqCst);
            self.sent.lock().extend_from_slice(&bytes[..len]);
            len
        }
        fn room(&self) {
            self.rooms.fetch_add(1, Ordering::SeqCst);
        }
        fn close(&self, _ended: bool) {
            self.closes.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Wake for Seen {
        fn wake(self: Arc<Self>) {
            self.wakes.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn stream() -> (Arc<Seen>, Arc<Slots<Fed>>, FedEnd) {
        let (seen, streams) = (Arc::new(Seen::default()), Arc::new(Slots::new(Kind::Completion)));
        let end = Fed::open(&streams, || Box::new(seen.clone())).unwrap();
        end.attach(&Waker::from(seen.clone()));
        (seen, streams, end)
    }

    fn count(of: &AtomicUsize) -> usize {
        of.load(Ordering::SeqCst)
    }

    #[test]
    fn input_is_bounded_and_the_host_is_told_of_room() {
        let (seen, _streams, end) = stream();
        assert_eq!(end.0.input(&vec![1; INPUT_MAX + 1]), Some(INPUT_MAX));
        assert_eq!(end.0.input(b"x"), Some(0));
        let mut buffer = vec![0; INPUT_MAX / 2 - 1];
        assert_eq!(end.read(&mut buffer).unwrap(), INPUT_MAX / 2 - 1);
        assert_eq!(count(&seen.rooms), 0);
        assert_eq!(end.read(&mut buffer[..1]).unwrap(), 1);
        assert_eq!(count(&seen.rooms), 1);
        assert_eq!(end.0.input(b"x"), Some(1));
    }

    #[test]
    fn the_shard_is_woken_once_until_it_looks() {
        let (seen, _streams, end) = stream();
        end.0.input(b"a");
        end.0.input(b"b");
        assert_eq!(count(&seen.wakes), 1);
        let mut buffer = [0; 8];
        assert_eq!(end.read(&mut buffer).unwrap(), 2);
        assert_eq!(end.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        end.0.end();
        assert_eq!((count(&seen.wakes), end.read(&mut buffer).unwrap()), (2, 0));
        assert_eq!(end.0.input(b"c"), None);
    }

    #[test]
    fn what_the_host_does_not_take_waits_for_its_word() {
        let (seen, _streams, end) = stream();
        seen.takes.store(4, Ordering::SeqCst);
        assert_eq!(end.send(&[IoSlice::new(b"abc"), IoSlice::new(b"def")]).unwrap(), 4);
        assert_eq!(end.send(&[IoSlice::new(b"ef")]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        end.0.writable();
        end.0.writable();
        assert_eq!(count(&seen.wakes), 1);
        assert_eq!(*seen.sent.lock(), b"abcd");
    }

    #[test]
    fn a_stream_that_its_shard_drops_is_closed_once_and_forgotten() {
        let (seen, streams, end) = stream();
        let id = end.id();
        end.close();
        assert!(end.send(&[IoSlice::new(b"late")]).is_err());
        assert!(streams.get(id).is_some());
        drop(end);
        assert_eq!(count(&seen.closes), 1);
        assert!(streams.get(id).is_none());
        assert_eq!(Arc::strong_count(&seen), 1);
    }
}
