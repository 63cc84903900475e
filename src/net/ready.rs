//! Which of a shard's connections became readable or writable: their wakers leave indexes here, and a turn takes them.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::{Wake, Waker};

use parking_lot::Mutex;

thread_local! {
    /// Address of the list that this thread, being a shard, empties, and what it put there itself: as the runtime's driver runs on
    /// the same thread, that is nearly all, and needs no lock.
    static OWN: Cell<usize> = const { Cell::new(0) };
    static OWN_INDEXES: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Indexes of what became ready: the wakers of a shard's connections put them here.
#[derive(Default)]
pub struct Ready {
    indexes: Mutex<Vec<u32>>,
    shard: Mutex<Option<Waker>>,
}

impl Ready {
    /// Adds an index; the first one wakes the shard.
    pub fn push(&self, index: u32) {
        let add = |indexes: &mut Vec<u32>| {
            indexes.push(index);
            indexes.len() == 1
        };
        let is_first = match self.is_own() {
            true => OWN_INDEXES.with_borrow_mut(add),
            false => add(&mut self.indexes.lock()),
        };
        if is_first && let Some(waker) = &*self.shard.lock() {
            waker.wake_by_ref();
        }
    }

    /// A waker that puts an index here.
    pub fn waker(self: &Arc<Self>, index: u32) -> Waker {
        Arc::new(ConnectionWaker { ready: self.clone(), index }).into()
    }

    /// Whether the shard has this waker already.
    pub fn is_owned_by(&self, waker: &Waker) -> bool {
        self.shard.lock().as_ref().is_some_and(|known| known.will_wake(waker))
    }

    fn is_own(&self) -> bool {
        OWN.get() == std::ptr::from_ref(self) as usize
    }

    /// Says that this thread empties the list; `waker` is woken when it stops being empty.
    pub fn own(&self, waker: Waker) {
        OWN.set(std::ptr::from_ref(self) as usize);
        *self.shard.lock() = Some(waker);
    }

    /// Takes all indexes, in exchange for an empty list.
    pub fn take(&self, into: &mut Vec<u32>) {
        OWN_INDEXES.with_borrow_mut(|own| std::mem::swap(own, into));
        into.append(&mut self.indexes.lock());
    }

    /// Whether nothing became ready.
    pub fn is_empty(&self) -> bool {
        OWN_INDEXES.with_borrow(Vec::is_empty) && self.indexes.lock().is_empty()
    }
}

/// Wakes one connection.
struct ConnectionWaker {
    ready: Arc<Ready>,
    index: u32,
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.index);
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.push(self.index);
    }
}
