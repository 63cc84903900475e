//! What the host drains: event records, gathered in chunks, handed over a chunk at a time.
//!
//! An I/O shard gathers the events of a turn in an [`Outbox`], one [`Chunk`] for each queue, and delivers them at the end of the turn:
//! by calling the host at once (INLINE), or through the queue's channel to the host's `poll` or to the queue's own thread. All modes
//! carry the same records, so the order of one socket's events is the same in each.
//!
//! This module knows no sockets and no protocol: ids are numbers, payloads are bytes.

mod chunk;
mod outbox;
mod packed;
mod poll;
mod series;
mod shared;

pub use chunk::{Chunk, Event, Record};
pub use outbox::Outbox;
pub use packed::pack;
pub use poll::{Batch, PollError};
pub use series::Series;
pub use shared::{Depth, Host, Limits, Mode, Queue, Wake};
