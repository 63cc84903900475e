//! What the targets share: memory that is counted, and inputs that are cut into pieces.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a call may take whatever its input: boxes of fixed size, error texts, the first step of a growing vector.
pub const SLACK: usize = 4096;

/// Ends a piece of an input. Neither this byte nor the next is ever part of UTF-8, so text may stand between them.
pub const CUT: u8 = 0xfe;
/// Starts a piece that is not text.
pub const BINARY: u8 = 0xff;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with a count of what is alive.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new exist at the same time, as far as a bound is concerned.
        grow(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Runs it, and fails if it ever held more than `bytes_max` bytes beyond what was held before.
pub fn bounded<T>(bytes_max: usize, run: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = run();
    let held = PEAK.load(Ordering::Relaxed) - before;
    assert!(held <= bytes_max, "{held} bytes of memory, more than {bytes_max}");
    result
}

/// Bytes that are alive.
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// The pieces of an input, without their [`CUT`]s.
pub fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == CUT)
}

/// Takes one byte off the front; 0 if there is none.
pub fn byte(data: &mut &[u8]) -> u8 {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    *data = rest;
    *first
}

/// Takes a number of two bytes off the front.
pub fn short(data: &mut &[u8]) -> usize {
    usize::from(u16::from_be_bytes([byte(data), byte(data)]))
}

/// Takes up to `len` bytes off the front.
pub fn take<'a>(data: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (front, rest) = data.split_at_checked(len).unwrap_or((data, &[]));
    *data = rest;
    front
}

/// Whether `text` is JSON to another reader, one that knows neither a bound of depth nor one of numbers.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
