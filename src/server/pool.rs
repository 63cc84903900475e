//! Buffers for what waits to be written. They are needed for a turn, by whichever connections have something to write, and an idle
//! connection holds none; so each thread keeps those that its flushes gave back.

use std::cell::RefCell;

/// What a new buffer has room for: a few small packets.
const FIRST_CAPACITY: usize = 480;
/// Capacity above which a buffer is given back to the allocator, and of all kept ones together.
const KEEP_ONE_MAX: usize = 16 * 1024;
const KEEP_ALL_MAX: usize = 1024 * 1024;

#[derive(Default)]
struct Pool {
    buffers: Vec<Vec<u8>>,
    capacity: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// An empty buffer with some capacity.
pub fn take() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| match pool.buffers.pop() {
        Some(buffer) => {
            pool.capacity -= buffer.capacity();
            buffer
        }
        None => Vec::with_capacity(FIRST_CAPACITY),
    })
}

/// Bytes that this thread keeps.
pub fn kept() -> usize {
    POOL.with_borrow(|pool| pool.capacity)
}

/// Gives a buffer back.
pub fn give(mut buffer: Vec<u8>) {
    let capacity = buffer.capacity();
    POOL.with_borrow_mut(|pool| {
        if capacity > 0 && capacity <= KEEP_ONE_MAX && pool.capacity + capacity <= KEEP_ALL_MAX {
            buffer.clear();
            pool.capacity += capacity;
            pool.buffers.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_a_large_one_does_not() {
        let mut buffer = take();
        buffer.resize(1000, 1);
        let at = buffer.as_ptr();
        give(buffer);
        let again = take();
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
        give(Vec::with_capacity(KEEP_ONE_MAX + 1));
        assert!(take().capacity() <= KEEP_ONE_MAX);
    }
}
