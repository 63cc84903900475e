//! Queues: how events reach the host.

use std::cell::RefCell;
use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::boundary::*;
use super::constants::*;
use super::engine::sockeye_engine;
use super::types::*;
use crate::queue::{Batch, Chunk, Host, Mode, PollError, Queue, Record, Wake, pack};
use crate::server::{Code, Error};

/// A queue of events with one consumer. It belongs to its engine.
pub struct sockeye_queue {
    pub(super) queue: Arc<Queue>,
    engine: *const sockeye_engine,
    /// The attachment arrays of the current batch.
    attachments: Mutex<Attachments>,
}

/// The arrays that events point to: one for each chunk, made as long as it needs at once, so that none moves.
#[derive(Default)]
struct Attachments {
    of: usize,
    arrays: Vec<Vec<sockeye_bytes>>,
}

// SAFETY: the pointers are only handed to the host, with the batch that keeps what they point to.
unsafe impl Send for Attachments {}

impl Attachments {
    fn clear(&mut self) {
        self.of = 0;
        self.arrays.clear();
    }

    /// The array of one record.
    fn array(&mut self, chunk: &Arc<Chunk>, record: &Record) -> *const sockeye_bytes {
        let parts = chunk.attachments(record);
        if parts.len() == 0 {
            return std::ptr::null();
        }
        let of = Arc::as_ptr(chunk) as usize;
        if self.of != of {
            self.of = of;
            self.arrays.push(Vec::with_capacity(chunk.attachment_count()));
        }
        let Some(array) = self.arrays.last_mut() else { return std::ptr::null() };
        let first = array.len();
        array.extend(parts.map(|part| sockeye_bytes { ptr: part.as_ptr().cast(), len: part.len() }));
        array.get(first..).unwrap_or_default().as_ptr()
    }
}

impl sockeye_queue {
    pub(super) fn new(queue: Arc<Queue>, engine: *const sockeye_engine) -> sockeye_queue {
        sockeye_queue { queue, engine, attachments: Mutex::default() }
    }
}

/// Runs a function on a queue, under the rules of `on_engine`.
///
/// # Safety
/// `queue` is NULL or a queue of an engine that was not freed.
pub(super) unsafe fn on_queue<T: From<i32>>(
    queue: *const sockeye_queue,
    run: impl FnOnce(&sockeye_queue, &sockeye_engine) -> Outcome<T>,
) -> T {
    // SAFETY: the caller's promise.
    let Some(queue) = (unsafe { queue.as_ref() }) else { return guard(|| Err(null("queue"))) };
    // SAFETY: the engine outlives its queues.
    unsafe { on_engine(queue.engine, |engine| run(queue, engine)) }
}

/// An event as C sees it. Its pointers are into `chunk`, and into `attachments`, which keeps the array.
fn event_of(chunk: &Arc<Chunk>, record: &Record, attachments: &mut Attachments) -> sockeye_event {
    let (name, data) = (chunk.name(record), chunk.data(record));
    let array = attachments.array(chunk, record);
    sockeye_event {
        kind: record.kind,
        flags: record.flags,
        nsp: record.nsp,
        name: record.atom,
        socket: record.socket,
        user: record.user,
        token: record.token,
        status: record.status,
        attachment_count: chunk.attachments(record).len() as u32,
        name_ptr: name.as_ptr().cast(),
        name_len: name.len(),
        data: data.as_ptr().cast(),
        data_len: data.len(),
        attachments: array,
        time_us: record.time_us,
        batch: Arc::as_ptr(chunk).cast(),
    }
}

/// The host's callback for THREAD and INLINE.
struct EventsFn {
    run: unsafe extern "C" fn(*mut c_void, *const sockeye_event, usize),
    user: User,
}

impl Host for EventsFn {
    fn deliver(&self, chunk: &Arc<Chunk>) {
        thread_local! {
            static EVENTS: RefCell<(Vec<sockeye_event>, Attachments)> = RefCell::default();
        }
        // Taken out for the call: a callback may deliver for another engine on this thread.
        let (mut events, mut attachments) = EVENTS.take();
        events.extend(chunk.records().iter().map(|record| event_of(chunk, record, &mut attachments)));
        // SAFETY: the host gave the function for this; the events are valid until it returns.
        unsafe { (self.run)(self.user.value, events.as_ptr(), events.len()) };
        events.clear();
        attachments.clear();
        EVENTS.set((events, attachments));
    }
}

/// The host's wake callback.
struct WakeFn {
    run: unsafe extern "C" fn(*mut c_void),
    user: User,
}

impl Wake for WakeFn {
    fn wake(&self) {
        // SAFETY: the host gave the function for this.
        within_host(|| unsafe { (self.run)(self.user.value) });
    }
}

/// Decides how a queue is delivered (`SOCKEYE_DELIVER_*`), once and before events come: before listening. THREAD and INLINE call
/// `events_fn` with each batch, never two at once. `drop` is called with `user` when the engine is freed, and never if this fails. CLOSED if
/// the engine is closing.
///
/// # Safety
/// `queue` is NULL or a queue of a live engine; `events_fn` and `drop` may be called from any thread until the engine is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_queue_deliver(
    queue: *mut sockeye_queue,
    mode: u32,
    events_fn: sockeye_events_fn,
    user: *mut c_void,
    drop: sockeye_drop_fn,
) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_queue(queue, |queue, engine| {
            let mode = match mode {
                SOCKEYE_DELIVER_POLL => Mode::Poll,
                SOCKEYE_DELIVER_THREAD => Mode::Thread,
                SOCKEYE_DELIVER_INLINE => Mode::Inline,
                other => {
                    return Err(Error::new(Code::Invalid, format!("mode {other} is no SOCKEYE_DELIVER_*")));
                }
            };
            // A thread that comes too late for the last event would wait for it for ever.
            engine.server().check_open()?;
            let _deciding = engine.deciding.lock();
            if queue.queue.is_decided() {
                return Err(Error::new(Code::Invalid, "the queue's delivery was decided before"));
            }
            if mode == Mode::Poll {
                queue.queue.set_mode(mode, None);
                return Ok(SOCKEYE_OK);
            }
            let run = events_fn.ok_or_else(|| null("events_fn"))?;
            if mode == Mode::Thread {
                engine
                    .engine
                    .start_queue(&queue.queue)
                    .map_err(|error| Error::new(Code::Io, format!("the queue's thread cannot start: {error}")))?;
            }
            // From here on nothing fails: `drop` is called when the engine is freed, and not before.
            queue.queue.set_mode(mode, Some(Arc::new(EventsFn { run, user: User { value: user, drop } })));
            Ok(SOCKEYE_OK)
        })
    }
}

/// Writes events into the host's array.
struct Array<'a> {
    at: *mut u8,
    event_size: usize,
    left: usize,
    attachments: &'a mut Attachments,
}

impl Batch for Array<'_> {
    fn take(&mut self, chunk: &Arc<Chunk>, record: &Record) -> bool {
        if self.left == 0 {
            return false;
        }
        let event = event_of(chunk, record, self.attachments);
        let known = self.event_size.min(size_of::<sockeye_event>());
        // SAFETY: the host's array has room for `left` events of `event_size` bytes from `at` on.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const event).cast::<u8>(), self.at, known);
            std::ptr::write_bytes(self.at.add(known), 0, self.event_size - known);
            self.at = self.at.add(self.event_size);
        }
        self.left -= 1;
        true
    }
}

fn wait_of(timeout_ms: i32) -> Option<Duration> {
    // Negative waits without limit.
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}

fn poll_error(error: PollError) -> Error {
    match error {
        PollError::Busy => Error::new(Code::Invalid, "another thread polls this queue"),
        PollError::NotPolled => Error::new(Code::Invalid, "the queue is delivered by THREAD or INLINE, not by polling"),
        PollError::Ended => Error::new(Code::Closed, "the queue has given its last event"),
    }
}

/// Releases the last batch and gives the next: up to `capacity` events of `event_size` (`sizeof(sockeye_event)`) bytes each. Waits for
/// the first one at most `timeout_ms`; 0 does not wait, -1 waits without limit. The number of events; 0 if none came; CLOSED after the
/// last event; INVALID if another thread polls, or the queue is not delivered by POLL.
///
/// # Safety
/// `queue` is NULL or a queue of a live engine; `events` is NULL or has room for `capacity * event_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_queue_poll(
    queue: *mut sockeye_queue,
    events: *mut sockeye_event,
    event_size: usize,
    capacity: usize,
    timeout_ms: i32,
) -> i64 {
    // SAFETY: the caller's promises.
    unsafe {
        on_queue(queue, |queue, _| {
            if events.is_null() {
                return Err(null("events"));
            }
            if event_size < size_of::<u64>() || event_size > isize::MAX as usize / capacity.max(1) {
                return Err(Error::new(
                    Code::Invalid,
                    format!("event_size is {event_size}; pass sizeof(sockeye_event)"),
                ));
            }
            let Some(mut attachments) = queue.attachments.try_lock() else { return Err(poll_error(PollError::Busy)) };
            attachments.clear();
            let mut array = Array { at: events.cast(), event_size, left: capacity, attachments: &mut attachments };
            let count = queue.queue.poll(&mut array, wait_of(timeout_ms), SOCKEYE_EVENT_CLOSED).map_err(poll_error)?;
            Ok(count as i64)
        })
    }
}

/// As `sockeye_queue_poll`, into one buffer: `uint32_t` count, total, joined_at, joined_len, then `count` records (`sockeye_packed`),
/// then the bytes that they point to; all little-endian, offsets from the start of `buf`. With `SOCKEYE_PACK_JOINED` the data of all
/// events is there once more, as one JSON array (`null` for none) at `joined_at`. `*used` is the bytes used. TOO_BIG if not even the
/// next event fits: it waits, and `*used` is what it needs.
///
/// # Safety
/// `queue` is NULL or a queue of a live engine; `buf` is NULL or valid for writing `cap` bytes; `used` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_queue_poll_packed(
    queue: *mut sockeye_queue,
    buf: *mut c_void,
    cap: usize,
    used: *mut usize,
    flags: u32,
    timeout_ms: i32,
) -> i64 {
    // SAFETY: the caller's promises.
    unsafe {
        on_queue(queue, |queue, _| {
            let used = place(used, "used")?;
            if buf.is_null() {
                return Err(null("buf"));
            }
            if flags & !SOCKEYE_PACK_JOINED != 0 {
                return Err(Error::new(Code::Invalid, format!("flags has unknown bits: {flags:#x}")));
            }
            // Offsets are 32-bit.
            let buffer = std::slice::from_raw_parts_mut(buf.cast::<u8>(), cap.min(u32::MAX as usize));
            let joined = flags & SOCKEYE_PACK_JOINED != 0;
            let packed =
                pack(&queue.queue, buffer, joined, wait_of(timeout_ms), SOCKEYE_EVENT_CLOSED).map_err(poll_error)?;
            *used = packed.used;
            if packed.count == 0 && packed.used > 0 {
                let text = format!("the next event needs a buffer of {} bytes, and this one has {cap}", packed.used);
                return Err(Error::new(Code::TooBig, text));
            }
            Ok(packed.count as i64)
        })
    }
}

/// Releases the current batch before the next poll: its memory may be used again.
///
/// # Safety
/// `queue` is NULL or a queue of a live engine; nobody reads the batch any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_queue_release(queue: *mut sockeye_queue) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_queue(queue, |queue, _| {
            // A poll holds them while it waits, and nothing waits for it here.
            let Some(mut attachments) = queue.attachments.try_lock() else { return Err(poll_error(PollError::Busy)) };
            queue.queue.release().map_err(poll_error)?;
            attachments.clear();
            Ok(SOCKEYE_OK)
        })
    }
}

/// A descriptor that is readable while events wait, for `poll`, `epoll` or `select`. It belongs to the queue: wait on it, do not read
/// or close it.
///
/// # Safety
/// `queue` is NULL or a queue of a live engine; `fd_out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_queue_fd(queue: *mut sockeye_queue, fd_out: *mut isize) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_queue(queue, |queue, _| {
            let out = place(fd_out, "fd_out")?;
            let fd =
                queue.queue.fd().map_err(|error| Error::new(Code::Io, format!("no descriptor can be had: {error}")))?;
            *out = fd.raw() as isize;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Sets (or with NULL removes) a function that is called when the queue turns from empty to not empty, on whatever thread made it so;
/// of all functions it may call `sockeye_engine_close`. `drop` is called with `user` when the function was replaced, or the engine freed.
///
/// # Safety
/// `queue` is NULL or a queue of a live engine; `wake` and `drop` may be called from any thread until then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_queue_set_wake(
    queue: *mut sockeye_queue,
    wake: sockeye_wake_fn,
    user: *mut c_void,
    drop: sockeye_drop_fn,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_queue(queue, |queue, _| {
            let wake = wake.map(|run| Arc::new(WakeFn { run, user: User { value: user, drop } }) as Arc<dyn Wake>);
            queue.queue.set_wake(wake);
            Ok(SOCKEYE_OK)
        })
    }
}

/// Bytes that belong to the host until `sockeye_buffer_free`.
pub enum sockeye_buffer {
    /// Made for the host.
    Made(Box<[u8]>),
    /// The data of an event, kept alive with all of its batch's chunk.
    Kept { chunk: Arc<Chunk>, data: *const u8, len: usize },
}

impl sockeye_buffer {
    /// Gives bytes to the host.
    pub(super) fn give(bytes: Vec<u8>) -> *mut sockeye_buffer {
        Box::into_raw(Box::new(sockeye_buffer::Made(bytes.into())))
    }
}

/// Keeps an event of the current batch: the bytes that its `name_ptr`, `data` and each attachment's `ptr` point to stay valid until
/// `*out` is freed, without a copy (the array `attachments` itself does not). The buffer's data is the event's.
///
/// # Safety
/// `event` is NULL or an event, or a copy of one, of a batch that was not released; `out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_event_retain(
    event: *const sockeye_event,
    out: *mut *mut sockeye_buffer,
) -> sockeye_result {
    guard(|| {
        // SAFETY: the caller's promises.
        let (out, event) = unsafe { (place(out, "out")?, event.as_ref().ok_or_else(|| null("event"))?) };
        if event.batch.is_null() {
            return Err(Error::new(Code::Invalid, "the event is of no batch"));
        }
        let chunk = event.batch.cast::<Chunk>();
        // SAFETY: `batch` is `Arc::as_ptr` of a chunk that the batch keeps alive.
        let chunk = unsafe {
            Arc::increment_strong_count(chunk);
            Arc::from_raw(chunk)
        };
        *out = Box::into_raw(Box::new(sockeye_buffer::Kept { chunk, data: event.data.cast(), len: event.data_len }));
        Ok(SOCKEYE_OK)
    })
}

/// The bytes of a buffer, and their number if `len_out` is not NULL. NULL for NULL.
///
/// # Safety
/// `buffer` is NULL or a buffer that was not freed; `len_out` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_buffer_data(buffer: *const sockeye_buffer, len_out: *mut usize) -> *const c_char {
    // SAFETY: the caller's promise.
    let (data, len) = match unsafe { buffer.as_ref() } {
        None => (std::ptr::null(), 0),
        Some(sockeye_buffer::Made(bytes)) => (bytes.as_ptr(), bytes.len()),
        Some(sockeye_buffer::Kept { data, len, .. }) => (*data, *len),
    };
    // SAFETY: the caller's promise.
    if let Some(out) = unsafe { len_out.as_mut() } {
        *out = len;
    }
    data.cast()
}

/// Gives a buffer back. NULL is allowed.
///
/// # Safety
/// `buffer` is NULL or a buffer that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_buffer_free(buffer: *mut sockeye_buffer) {
    if !buffer.is_null() {
        // SAFETY: made by `Box::into_raw`, and given back once.
        let buffer = unsafe { Box::from_raw(buffer) };
        if let sockeye_buffer::Kept { chunk, .. } = *buffer {
            drop(chunk);
        }
    }
}
