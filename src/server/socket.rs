//! A Socket.IO socket: one client in one namespace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::acks::Awaited;
use super::client::Client;
use super::early::Early;
use super::ledger::Ledger;
use super::namespace::Namespace;
use super::sid::Sid;
use super::write_strings;
use crate::proto::ack_id::AckId;

/// Numbers of owed acknowledgements in tokens, where they take the place of a generation, which has 30 bits: 1 to this one.
const OWED_NUMBERS: u64 = 1 << 29;

/// Where a socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The host has not decided yet; it can join rooms and what is emitted to it is kept, but no broadcast finds it.
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
    /// None while there was never any of it, as most sockets never have.
    rare: Option<Box<Rare>>,
}

/// What is beside the state of most sockets.
#[derive(Default)]
struct Rare {
    /// Those that the host owes, by the server's count of them.
    owed: Ledger<AckId>,
    /// Those that the client owes, by the id on the wire.
    awaited: Ledger<Awaited>,
    /// Emitted before the socket was let in.
    early: Option<Box<Early>>,
}

/// The number that stands in a token for the acknowledgement that is counted so.
pub fn owed_number(count: u64) -> u32 {
    (count % OWED_NUMBERS) as u32 + 1
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

    /// The host disconnects a connected socket; false if it is none. `tell` queues what its client is told, before the socket can end: what
    /// comes after belongs to the next socket of the namespace.
    pub fn begin_leaving(&self, tell: impl FnOnce()) -> bool {
        let _inner = self.inner.lock();
        let begun = self.advance(State::Connected, State::Leaving);
        if begun {
            tell();
        }
        begun
    }

    /// Lets in a socket that waited for that; false if it did not. `answer` queues the answer to its CONNECT and what was kept for it,
    /// before anything else can be queued for it.
    pub fn admit(&self, answer: impl FnOnce(Early)) -> bool {
        let mut inner = self.inner.lock();
        let waited = self.state() == State::Pending;
        if waited {
            let early = inner.rare.as_mut().and_then(|rare| rare.early.take());
            answer(early.map_or_else(Early::default, |early| *early));
            self.state.store(State::Connected as u8, Ordering::Release);
        }
        waited
    }

    /// Keeps something until the socket is let in; `None` if it does not wait for that any more.
    pub fn keep_early<T>(&self, add: impl FnOnce(&mut Early) -> T) -> Option<T> {
        let mut inner = self.inner.lock();
        let waits = self.state() == State::Pending;
        waits.then(|| add(inner.rare.get_or_insert_default().early.get_or_insert_default()))
    }

    /// Ends its life. What was kept for it is forgotten.
    pub fn end(&self) {
        let mut inner = self.inner.lock();
        self.state.store(State::Gone as u8, Ordering::Release);
        if let Some(rare) = &mut inner.rare {
            rare.early = None;
        }
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

    /// The rooms that it is in and `socket.data`, as `,"rooms":[…],"data":…`.
    pub fn write_rooms_and_data(&self, out: &mut Vec<u8>) {
        let inner = self.inner.lock();
        let own = self.shows_own_room(&inner).then(|| self.sid.as_str());
        out.extend_from_slice(b",\"rooms\":");
        write_strings(own.into_iter().chain(inner.rooms.iter().map(|room| &**room)), out);
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(inner.data.as_deref().unwrap_or("{}").as_bytes());
    }

    /// Sets `socket.data`.
    pub fn set_data(&self, json: &str) {
        self.inner.lock().data = Some(json.into());
    }

    /// The rooms that it is in, its own first.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        let inner = self.inner.lock();
        let own = self.shows_own_room(&inner).then(|| Arc::from(self.sid.as_str()));
        own.into_iter().chain(inner.rooms.iter().cloned()).collect()
    }

    fn shows_own_room(&self, inner: &Inner) -> bool {
        !inner.left_own_room && self.state() != State::Gone
    }

    /// How many rooms it is in.
    pub fn room_count(&self) -> usize {
        let inner = self.inner.lock();
        inner.rooms.len() + usize::from(!inner.left_own_room)
    }

    /// How many rooms it is in beside its own.
    pub fn joined_count(&self) -> usize {
        self.inner.lock().rooms.len()
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

    /// Forgets a room, by the very name that it was given: with many rooms, looking at all their names would take long.
    pub fn remove_room(&self, room: &Arc<str>) {
        self.inner.lock().rooms.retain(|known| !Arc::ptr_eq(known, room));
    }

    /// Forgets all rooms and gives them back, its own left out.
    pub fn take_rooms(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.inner.lock().rooms)
    }

    /// Remembers that the host owes an acknowledgement, by the server's `count` of those; false if it owes `max` already.
    pub fn owe(&self, count: u64, ack: AckId, max: u64) -> bool {
        let mut inner = self.inner.lock();
        let owed = &mut inner.rare.get_or_insert_default().owed;
        let has_room = (owed.len() as u64) < max;
        if has_room {
            owed.add(count, ack);
        }
        has_room
    }

    /// Settles an acknowledgement that the host owes, by its [`owed_number`], once.
    #[inline]
    pub fn settle(&self, number: u32) -> Option<AckId> {
        let mut inner = self.inner.lock();
        let owed = &mut inner.rare.as_mut()?.owed;
        if owed_number(owed.oldest()?) == number { owed.settle_oldest() } else { settle_owed(owed, number) }
    }

    /// The socket has left: what the host owes is owed no more. How many that were.
    pub fn abandon_owed(&self) -> usize {
        self.inner.lock().rare.as_mut().map_or(0, |rare| rare.owed.settle_all().count())
    }

    /// Remembers that the client owes an acknowledgement; false if it owes `max` already.
    pub fn await_ack(&self, wire_id: u64, awaited: Awaited, max: u64) -> bool {
        let mut inner = self.inner.lock();
        let known = &mut inner.rare.get_or_insert_default().awaited;
        let has_room = (known.len() as u64) < max;
        if has_room {
            known.add(wire_id, awaited);
        }
        has_room
    }

    /// Whether this acknowledgement is waited for.
    pub fn awaits(&self, wire_id: u64) -> bool {
        self.inner.lock().rare.as_ref().is_some_and(|rare| rare.awaited.has(wire_id))
    }

    /// Ends waiting for an acknowledgement, once.
    pub fn take_awaited(&self, wire_id: u64) -> Option<Awaited> {
        self.inner.lock().rare.as_mut()?.awaited.settle(wire_id)
    }

    /// Ends waiting for all acknowledgements.
    pub fn take_all_awaited(&self) -> Vec<Awaited> {
        let mut inner = self.inner.lock();
        inner.rare.as_mut().map_or(Vec::new(), |rare| rare.awaited.settle_all().collect())
    }
}

/// Settles what has an [`owed_number`], which comes again after many others.
#[cold]
fn settle_owed<T>(owed: &mut Ledger<T>, number: u32) -> Option<T> {
    let newest = owed.newest()?;
    let ago = (u64::from(owed_number(newest)) + OWED_NUMBERS).checked_sub(u64::from(number))? % OWED_NUMBERS;
    let mut count = newest.checked_sub(ago)?;
    loop {
        if let Some(settled) = owed.settle(count) {
            return Some(settled);
        }
        count = count.checked_sub(OWED_NUMBERS)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_is_settled_by_numbers_that_come_again() {
        let counts = [3, OWED_NUMBERS - 1, OWED_NUMBERS, OWED_NUMBERS + 1, 3 * OWED_NUMBERS + 7, 3 * OWED_NUMBERS + 9];
        for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]] {
            let mut owed = Ledger::default();
            counts.iter().for_each(|count| owed.add(*count, *count));
            for at in order {
                assert_eq!(settle_owed(&mut owed, owed_number(counts[at])), Some(counts[at]));
                assert_eq!(settle_owed(&mut owed, owed_number(counts[at])), None);
                assert_eq!(settle_owed(&mut owed, 12345), None);
            }
        }
    }

    #[test]
    fn owed_numbers_fit_a_token_and_are_never_0() {
        for count in [0, 1, OWED_NUMBERS - 1, OWED_NUMBERS, u64::MAX] {
            assert!((1..1 << 30).contains(&owed_number(count)));
        }
    }
}
