//! Connections come: accepted, counted, dealt out to the shards in turn, and closed again if they are too many.

use std::io;
use std::net::IpAddr;
use std::task::{Context as TaskContext, Poll};

use super::admission::Permit;
use super::connection::{Connection, Peer, Stage};
use super::listener::Bound;
use super::shard::{LISTENERS, Shard, Timer};
use super::stream::{Detached, Stream};
use super::table::Key;
use crate::queue::Event;
use crate::server::Count;
use crate::server::event::EVENT_LISTEN_ERROR;
use crate::server::meter::Tally;

/// Connections that are accepted in one turn, so that a rush of them does not hold up the others.
const ACCEPTS_PER_TURN: usize = 64;
/// How long accepting pauses after it failed, which is mostly for lack of file descriptors.
const ACCEPT_PAUSE_MS: u64 = 100;

/// A connection that comes from elsewhere: accepted by another shard or by the host, or its session is here.
pub struct Arrival {
    pub stream: Detached,
    pub permit: Permit,
    /// Bytes that were read already.
    pub input: Vec<u8>,
    /// When its first request must be whole.
    pub deadline_ms: u64,
}

impl Shard {
    /// Listens too; accepted connections are dealt out to all shards in turn.
    pub fn listen(&mut self, listener: Bound) -> io::Result<()> {
        let listener = listener.watch()?;
        self.tell_listening(&listener);
        self.listeners.push(listener);
        self.ready.push(LISTENERS);
        Ok(())
    }

    /// Accepts no more.
    pub fn stop_listening(&mut self) {
        self.listeners.clear();
    }

    /// Accepts what waits, up to a turn's worth.
    pub fn accept(&mut self) {
        if self.now_ms() < self.accept_after_ms || self.closing.is_some() {
            return;
        }
        let waker = self.waker(LISTENERS);
        let mut cx = TaskContext::from_waker(&waker);
        let mut more = false;
        for at in 0..self.listeners.len() {
            for accepted in 1.. {
                match self.listeners[at].poll_accept(&mut cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok((stream, address))) => self.deal_out(stream, address),
                    Poll::Ready(Err(error)) if is_of_one_connection(&error) => {}
                    Poll::Ready(Err(error)) => return self.pause_accepting(&error),
                }
                if accepted == ACCEPTS_PER_TURN {
                    // There may be more than one turn takes.
                    more = true;
                    break;
                }
            }
        }
        if more {
            self.ready.push(LISTENERS);
        }
    }

    fn pause_accepting(&mut self, error: &io::Error) {
        self.accept_after_ms = self.now_ms() + ACCEPT_PAUSE_MS;
        self.wheel.add(self.accept_after_ms, Timer::Accept);
        self.tell_not_accepting(error);
        let text = error.to_string();
        let event = Event { kind: EVENT_LISTEN_ERROR, name: &text, time_us: self.now_us, ..Event::default() };
        let queue = self.server.queue().clone();
        self.out.push(&queue, &event);
    }

    /// A connection too many is reset: an answer would cost more than it is worth to its peer.
    fn deal_out(&mut self, stream: Stream, address: IpAddr) {
        let permit = match self.peers.gate.admit(Peer { address, secure: false }) {
            Ok(permit) => permit,
            Err(count) => {
                self.limited(count, Some(address));
                return stream.reset();
            }
        };
        self.mailbox.meter.add(Tally::ConnectionsOpened, 1);
        let (shard, deadline_ms) = (self.peers.next_shard(), self.request_deadline());
        if shard == self.index {
            self.add_connection(stream, permit, Vec::new(), deadline_ms);
        } else {
            self.peers.arrive(shard, stream, permit, deadline_ms);
        }
    }

    /// Takes in what other threads handed over.
    pub fn take_arrivals(&mut self) {
        let arrivals = self.peers.inbox(self.index).take();
        if !arrivals.is_empty() {
            // What the host decided before it handed over a request comes before the request.
            self.carry_out_commands();
        }
        for arrival in arrivals {
            // A stream that cannot be registered is closed by its drop; its peer sees that.
            if let Ok(stream) = arrival.stream.attach() {
                self.add_connection(stream, arrival.permit, arrival.input, arrival.deadline_ms);
            }
        }
        for listener in self.peers.inbox(self.index).take_listeners() {
            if self.drain.is_some() {
                continue;
            }
            // Registered with the runtime at binding already, so this fails only out of memory for it.
            if let Err(error) = self.listen(listener) {
                self.pause_accepting(&error);
            }
        }
    }

    fn add_connection(&mut self, stream: Stream, permit: Permit, input: Vec<u8>, deadline_ms: u64) {
        if self.closing.is_some() {
            return;
        }
        let waker = self.waker(self.connections.next_key().index);
        let mut connection = Connection::new(stream, permit, waker, deadline_ms);
        connection.input = input;
        let key = self.connections.insert(connection);
        self.await_first_request(key);
        self.schedule_connection(key);
        self.resume(key);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.await_first_bytes();
        }
    }

    /// Counts a new connection among the pending ones; the oldest of them makes room if they are too many.
    fn await_first_request(&mut self, key: Key) {
        let connections = &self.connections;
        let is_pending = |key| connections.get(key).is_some_and(|connection| connection.stage == Stage::New);
        if let Some(oldest) = self.pending.add(key, is_pending) {
            self.limited(Count::HandshakesEvicted, self.address_of(oldest));
            self.reset_connection(oldest);
        }
    }

    /// A connection has sent a whole request, or will not: it is not pending any more.
    pub fn settle_connection(&mut self, key: Key) {
        if let Some(connection) = self.connections.get_mut(key)
            && std::mem::replace(&mut connection.stage, Stage::Idle) == Stage::New
        {
            self.pending.done();
        }
    }

    /// Takes a connection out; what it meant to others is the caller's business.
    pub fn remove_connection(&mut self, key: Key) -> Option<Connection> {
        self.settle_connection(key);
        let connection = self.connections.remove(key)?;
        if let Some(unread) = connection.unread() {
            self.settle_unread(unread, None);
        }
        Some(connection)
    }

    /// Ends a connection at once, which leaves nothing of it in the kernel either.
    pub fn reset_connection(&mut self, key: Key) {
        if let Some(connection) = self.remove_connection(key) {
            connection.reset();
        }
    }
}

/// Whether accepting failed because of the connection that was to be accepted, and can go on with the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
