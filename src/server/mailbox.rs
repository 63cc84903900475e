//! How any thread reaches a shard: connections that have something to write, commands, and one wake for many of either.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use super::command::Command;
use super::deadlines::Deadlines;
use super::meter::Meter;

thread_local! {
    /// Address of the mailbox whose shard this thread is; 0 elsewhere.
    static OWN: Cell<usize> = const { Cell::new(0) };
    /// What this thread, being a shard, marked in its own mailbox: no other thread needs to see it.
    static OWN_DIRTY: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// Depth of `cork`, and who is to be woken when it ends.
    static CORKED: Cell<u32> = const { Cell::new(0) };
    static DEFERRED: RefCell<Vec<Arc<Mailbox>>> = const { RefCell::new(Vec::new()) };
}

/// The shared side of a shard.
#[derive(Default)]
pub struct Mailbox {
    /// Connections (by the shard's own index) whose outbound queue turned from empty to not empty.
    dirty: Mutex<Vec<u32>>,
    commands: Mutex<Vec<Command>>,
    /// Set by the first wake of a turn, so that the others cost one load.
    notified: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// Timeouts of acknowledgements and decisions, which other threads set.
    pub deadlines: Mutex<Deadlines>,
    /// What the shard counts.
    pub meter: Meter,
}

impl Mailbox {
    /// Says that this thread is the shard that empties this mailbox; such a thread needs no waking.
    pub fn own(self: &Arc<Self>, waker: Waker) {
        OWN.set(Arc::as_ptr(self) as usize);
        *self.waker.lock() = Some(waker);
    }

    /// Marks a connection for the next flush.
    pub fn mark_dirty(self: &Arc<Self>, connection: u32) {
        if self.is_own() {
            return OWN_DIRTY.with_borrow_mut(|dirty| dirty.push(connection));
        }
        self.dirty.lock().push(connection);
        self.wake();
    }

    /// Sends a command; commands are carried out in order.
    pub fn send(self: &Arc<Self>, command: Command) {
        self.commands.lock().push(command);
        self.wake();
    }

    /// Makes the shard take a turn soon.
    pub fn wake(self: &Arc<Self>) {
        if self.is_own() || self.notified.swap(true, Ordering::AcqRel) {
            return;
        }
        if CORKED.get() > 0 {
            DEFERRED.with_borrow_mut(|deferred| deferred.push(self.clone()));
        } else {
            self.wake_now();
        }
    }

    /// Whether the calling thread is the shard that empties this mailbox.
    pub(super) fn is_own(&self) -> bool {
        OWN.get() == std::ptr::from_ref(self) as usize
    }

    fn wake_now(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }

    /// Starts a turn: wakes from here on are for the next one.
    pub fn begin_turn(&self) {
        self.notified.store(false, Ordering::Release);
    }

    /// Takes the commands that wait.
    pub fn take_commands(&self, into: &mut Vec<Command>) {
        std::mem::swap(&mut *self.commands.lock(), into);
    }

    /// Takes the dirty connections.
    pub fn take_dirty(&self, into: &mut Vec<u32>) {
        std::mem::swap(&mut *self.dirty.lock(), into);
        if self.is_own() {
            OWN_DIRTY.with_borrow_mut(|dirty| into.append(dirty));
        }
    }

    /// Drops whatever is left.
    pub fn clear(&self) {
        self.commands.lock().clear();
        *self.deadlines.lock() = Deadlines::default();
        *self.waker.lock() = None;
    }

    /// Whether something arrived that the turn has not taken.
    pub fn is_idle(&self) -> bool {
        let own = !self.is_own() || OWN_DIRTY.with_borrow(Vec::is_empty);
        own && self.commands.lock().is_empty() && self.dirty.lock().is_empty()
    }
}

/// Holds wakes back until `run` returns: a tick of many submissions wakes each shard once.
pub fn cork<T>(run: impl FnOnce() -> T) -> T {
    struct Uncork;
    impl Drop for Uncork {
        fn drop(&mut self) {
            CORKED.set(CORKED.get() - 1);
            if CORKED.get() == 0 {
                for mailbox in DEFERRED.take() {
                    mailbox.wake_now();
                }
            }
        }
    }
    CORKED.set(CORKED.get() + 1);
    let _uncork = Uncork;
    run()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn with_count() -> (Arc<Mailbox>, Arc<Count>) {
        let (mailbox, count) = (Arc::new(Mailbox::default()), Arc::new(Count::default()));
        *mailbox.waker.lock() = Some(count.clone().into());
        (mailbox, count)
    }

    #[test]
    fn many_marks_of_a_turn_are_one_wake() {
        let (mailbox, count) = with_count();
        for connection in 0..5 {
            mailbox.mark_dirty(connection);
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        mailbox.begin_turn();
        let mut dirty = Vec::new();
        mailbox.take_dirty(&mut dirty);
        assert_eq!(dirty, [0, 1, 2, 3, 4]);
        mailbox.mark_dirty(7);
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_corked_thread_wakes_at_the_end() {
        let (mailbox, count) = with_count();
        cork(|| {
            cork(|| mailbox.mark_dirty(1));
            mailbox.mark_dirty(2);
            assert_eq!(count.0.load(Ordering::SeqCst), 0);
        });
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    /// Wakes a thread that parks.
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    #[test]
    fn a_shard_that_sleeps_has_missed_nothing() {
        const MARKS: u32 = if cfg!(miri) { 6 } else { 2000 };
        let mailbox = Arc::new(Mailbox::default());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                mailbox.own(Arc::new(Unpark(std::thread::current())).into());
                let (mut seen, mut dirty, mut commands, mut resumed) = (0, Vec::new(), Vec::new(), 0);
                while seen < 2 * MARKS || resumed < MARKS {
                    mailbox.take_dirty(&mut dirty);
                    mailbox.take_commands(&mut commands);
                    seen += dirty.drain(..).count() as u32;
                    resumed += commands.drain(..).count() as u32;
                    // In this order, as a shard's turn ends.
                    mailbox.begin_turn();
                    if mailbox.is_idle() && (seen < 2 * MARKS || resumed < MARKS) {
                        let start = std::time::Instant::now();
                        std::thread::park_timeout(std::time::Duration::from_secs(20));
                        assert!(start.elapsed().as_secs() < 20, "a wake was lost");
                    }
                }
            });
            scope.spawn(|| (0..MARKS).for_each(|mark| mailbox.mark_dirty(mark)));
            scope.spawn(|| (0..MARKS).for_each(|mark| cork(|| mailbox.mark_dirty(mark))));
            scope.spawn(|| (0..MARKS).for_each(|_| mailbox.send(Command::Resume)));
        });
    }
}
