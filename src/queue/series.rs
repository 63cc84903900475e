//! Events that several threads make, of which one is the last: the replies to one question, and its end.
//!
//! A thread keeps what it makes until its turn is over, so the end, which another thread makes, could overtake it. An outbox therefore
//! tells the series what it keeps of it, and the end waits for whoever hands over the last of that. Whoever makes the events sees to it
//! that none is made after the end.

use std::sync::Arc;

use parking_lot::Mutex;

use super::chunk::{Chunk, Event};
use super::shared::Queue;

/// One such question.
#[derive(Default)]
pub struct Series {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Events that outboxes keep.
    kept: usize,
    /// The end, if it waits for them.
    end: Option<(Arc<Queue>, Chunk)>,
}

impl Series {
    /// An outbox keeps one more.
    pub(super) fn keep(&self) {
        self.state.lock().kept += 1;
    }

    /// Takes the end, if outboxes keep more than the `own` events behind which the caller can put it.
    pub(super) fn defer(&self, own: usize, queue: &Arc<Queue>, end: &Event<'_>) -> bool {
        let mut state = self.state.lock();
        let defers = state.kept > own;
        if defers {
            let mut chunk = queue.chunk();
            chunk.push(end);
            state.end = Some((queue.clone(), chunk));
        }
        defers
    }

    /// An outbox has handed over so many; gives the end if it waited for them.
    pub(super) fn handed_over(&self, count: usize) -> Option<(Arc<Queue>, Chunk)> {
        let mut state = self.state.lock();
        state.kept -= count;
        if state.kept == 0 { state.end.take() } else { None }
    }
}
