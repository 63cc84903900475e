//! The events that one thread gathers before it hands them over.

use std::sync::Arc;

use super::chunk::{Chunk, Event};
use super::shared::Queue;

/// Bytes and events of a chunk that had better be handed over in the middle of a turn.
const LARGE_BYTES: usize = 64 * 1024;
const LARGE_EVENTS: usize = 512;

/// Events of one turn, a chunk for each queue.
#[derive(Default)]
pub struct Outbox {
    chunks: Vec<(Arc<Queue>, Chunk)>,
}

impl Outbox {
    /// Adds an event for a queue.
    pub fn push(&mut self, queue: &Arc<Queue>, event: &Event<'_>) {
        self.chunk(queue).push(event);
    }

    /// Adds an event whose data is written in place.
    pub fn push_with(&mut self, queue: &Arc<Queue>, event: &Event<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        self.chunk(queue).push_with(event, write);
    }

    /// Adds an event whose data is large and was made for it, which mostly saves a copy.
    pub fn push_made(&mut self, queue: &Arc<Queue>, event: &Event<'_>, data: Vec<u8>) {
        self.chunk(queue).push_made(event, data);
    }

    fn chunk(&mut self, queue: &Arc<Queue>) -> &mut Chunk {
        // An engine has few queues, and nearly always one.
        let at = match self.chunks.iter().position(|(known, _)| Arc::ptr_eq(known, queue)) {
            Some(at) => at,
            None => {
                self.chunks.push((queue.clone(), queue.chunk()));
                self.chunks.len() - 1
            }
        };
        &mut self.chunks[at].1
    }

    /// Whether nothing waits to be handed over.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether so much was gathered that it had better be handed over before there is more: what is read next would push it out of
    /// the processor's caches.
    pub fn is_large(&self) -> bool {
        self.chunks.iter().any(|(_, chunk)| chunk.payload_len() >= LARGE_BYTES || chunk.records().len() >= LARGE_EVENTS)
    }

    /// Hands everything over; with `inline`, INLINE queues call the host on this thread.
    pub fn deliver(&mut self, inline: bool) {
        for (queue, chunk) in self.chunks.drain(..) {
            queue.send(chunk, inline);
        }
    }
}
