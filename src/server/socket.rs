//! A Socket.IO socket: one client in one namespace.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::acks::Awaited;
use super::client::Client;
use super::namespace::Namespace;
use super::sid::Sid;
use crate::proto::ack_id::AckId;

/// Acknowledgements that the host may owe one socket. An official client waits for few; a peer that asks for more than any host
/// would answer is cut off.
pub const ACKS_OWED_MAX: usize = 65_536;

/// Where a socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The host has not decided yet; it can be emitted to and join rooms, but no broadcast finds it.
    Pending = 0,
    Connected = 1,
    /// The host disconnected it; its shard has not said so yet.
    Leaving = 2,
    Gone = 3,
}

/// A socket. Its peer ends its life; the host holds an id.
pub struct Socket {
    /// The host's id of it.
    pub id: u64,
    /// Its public id, the name of its own room.
    pub sid: Sid,
    pub nsp: Arc<Namespace>,
    pub client: Arc<Client>,
    /// The CONNECT packet's object.
    pub auth: Option<Box<str>>,
    user: AtomicU64,
    state: AtomicU8,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    data: Option<Box<str>>,
    /// Rooms, but for its own.
    rooms: Vec<Arc<str>>,
    left_own_room: bool,
    /// Acknowledgements that the host owes, by ascending number.
    owed: VecDeque<(u32, AckId)>,
    /// Acknowledgements that the client owes, by the id on the wire.
    awaited: Vec<(u64, Awaited)>,
}

impl Socket {
    /// A socket that waits for admission.
    pub fn new(id: u64, sid: Sid, nsp: Arc<Namespace>, client: Arc<Client>, auth: Option<Box<str>>) -> Socket {
        Socket {
            id,
            sid,
            nsp,
            client,
            auth,
            user: AtomicU64::new(0),
            state: AtomicU8::new(State::Pending as u8),
            inner: Mutex::new(Inner::default()),
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Pending,
            1 => State::Connected,
            2 => State::Leaving,
            _ => State::Gone,
        }
    }

    /// Moves on in its life; false if it was not where the caller thought.
    pub fn advance(&self, from: State, to: State) -> bool {
        self.state.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends its life; the state before.
    pub fn end(&self) -> State {
        let before = self.state();
        self.state.store(State::Gone as u8, Ordering::Release);
        before
    }

    /// Whether events still reach it.
    pub fn is_open(&self) -> bool {
        matches!(self.state(), State::Pending | State::Connected)
    }

    /// The host's value.
    pub fn user(&self) -> u64 {
        self.user.load(Ordering::Relaxed)
    }

    /// Sets the host's value.
    pub fn set_user(&self, user: u64) {
        self.user.store(user, Ordering::Relaxed);
    }

    /// `socket.data` as JSON text.
    pub fn write_data(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.inner.lock().data.as_deref().unwrap_or("{}").as_bytes());
    }

    /// Sets `socket.data`.
    pub fn set_data(&self, json: &str) {
        self.inner.lock().data = Some(json.into());
    }

    /// The rooms that it is in, its own first.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        let inner = self.inner.lock();
        let own = (!inner.left_own_room && self.state() != State::Gone).then(|| Arc::from(self.sid.as_str()));
        own.into_iter().chain(inner.rooms.iter().cloned()).collect()
    }

    /// How many rooms it is in.
    pub fn room_count(&self) -> usize {
        let inner = self.inner.lock();
        inner.rooms.len() + usize::from(!inner.left_own_room)
    }

    /// Whether it is in the room of its own name.
    pub fn in_own_room(&self) -> bool {
        !self.inner.lock().left_own_room
    }

    /// Enters or leaves its own room; whether that changed anything.
    pub fn set_own_room(&self, inside: bool) -> bool {
        let mut inner = self.inner.lock();
        std::mem::replace(&mut inner.left_own_room, !inside) == inside
    }

    /// Remembers a room.
    pub fn add_room(&self, room: Arc<str>) {
        self.inner.lock().rooms.push(room);
    }

    /// Forgets a room.
    pub fn remove_room(&self, room: &str) {
        self.inner.lock().rooms.retain(|known| &**known != room);
    }

    /// Forgets all rooms and gives them back, its own left out.
    pub fn take_rooms(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.inner.lock().rooms)
    }

    /// Remembers that the host owes an acknowledgement; false if it owes too many.
    pub fn owe(&self, number: u32, ack: AckId) -> bool {
        let mut inner = self.inner.lock();
        if inner.owed.len() >= ACKS_OWED_MAX {
            return false;
        }
        inner.owed.push_back((number, ack));
        true
    }

    /// Settles an acknowledgement that the host owes, once.
    pub fn settle(&self, number: u32) -> Option<AckId> {
        let mut inner = self.inner.lock();
        // Hosts mostly answer in order.
        if inner.owed.front().is_some_and(|(first, _)| *first == number) {
            return inner.owed.pop_front().map(|(_, ack)| ack);
        }
        let at = inner.owed.iter().position(|(known, _)| *known == number)?;
        inner.owed.remove(at).map(|(_, ack)| ack)
    }

    /// Remembers that the client owes an acknowledgement.
    pub fn await_ack(&self, wire_id: u64, awaited: Awaited) {
        self.inner.lock().awaited.push((wire_id, awaited));
    }

    /// Ends waiting for an acknowledgement, once.
    pub fn take_awaited(&self, wire_id: u64) -> Option<Awaited> {
        let mut inner = self.inner.lock();
        let at = inner.awaited.iter().position(|(known, _)| *known == wire_id)?;
        Some(inner.awaited.swap_remove(at).1)
    }

    /// Ends waiting for all acknowledgements.
    pub fn take_all_awaited(&self) -> Vec<Awaited> {
        std::mem::take(&mut self.inner.lock().awaited).into_iter().map(|(_, awaited)| awaited).collect()
    }
}
