//! A shard's own sockets, for callbacks on its thread: what a host emits or acknowledges there is mostly for the socket whose event it
//! handles, and is found without the locks and counts that other threads need.

use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::HashMap;

use super::socket::Socket;

#[derive(Default)]
struct Local {
    /// Address of the server that the thread is a shard of. A callback may call another engine, with ids that look alike.
    server: usize,
    /// By slot.
    sockets: HashMap<u32, Arc<Socket>>,
}

thread_local! {
    static LOCAL: RefCell<Local> = RefCell::default();
}

/// Adds a socket of the shard that this thread is.
pub fn add(server: usize, slot: u32, socket: &Arc<Socket>) {
    LOCAL.with_borrow_mut(|local| {
        local.server = server;
        local.sockets.insert(slot, socket.clone());
    });
}

/// Takes a socket out.
pub fn remove(slot: u32) {
    let removed = LOCAL.with_borrow_mut(|local| local.sockets.remove(&slot));
    // Dropped when nothing is borrowed.
    drop(removed);
}

/// Runs `run` with the socket in a slot, if it is this thread's.
pub fn with<T>(server: usize, slot: u32, run: impl FnOnce(Option<&Arc<Socket>>) -> T) -> T {
    LOCAL.with_borrow(|local| run(if local.server == server { local.sockets.get(&slot) } else { None }))
}
