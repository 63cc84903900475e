//! What a shard holds in buffers: bytes that wait to be written, and bytes that came and are not whole.
//!
//! A running sum would cost each message something, so the shard notes who is left with bytes after a read or a write, and looks at
//! those once a second until they have none. An idle shard looks at nothing.

use super::connection::{Connection, Role};
use super::session::Session;
use super::shard::{Shard, Timer};
use super::table::Key;
use crate::server::kept_buffers;
use crate::server::meter::Tally;

/// How old the numbers may be.
const INTERVAL_MS: u64 = 1_000;

/// Who holds bytes.
#[derive(Default)]
pub struct Noted {
    sessions: Vec<Key>,
    connections: Vec<Key>,
    /// The wheel will look at them.
    scheduled: bool,
}

impl Shard {
    /// A session could not write all that it has.
    pub fn note_session(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !std::mem::replace(&mut session.noted, true) {
            self.noted.sessions.push(key);
            self.schedule_measure();
        }
    }

    /// A connection is left with bytes, either way.
    pub fn note_connection(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !std::mem::replace(&mut connection.noted, true) {
            self.noted.connections.push(key);
            self.schedule_measure();
        }
    }

    fn schedule_measure(&mut self) {
        if !std::mem::replace(&mut self.noted.scheduled, true) {
            self.wheel.add(self.now_ms() + INTERVAL_MS, Timer::Measure);
        }
    }

    /// Adds up what those who were noted hold now, and forgets those who hold nothing.
    pub fn measure(&mut self) {
        let (mut outbound, mut input) = (0, 0);
        let (sessions, connections) = (&mut self.sessions, &mut self.connections);
        self.noted.sessions.retain(|key| {
            let Some(session) = sessions.get_mut(*key) else { return false };
            let waiting = waiting_of(session);
            outbound += waiting;
            session.noted = waiting > 0;
            session.noted
        });
        self.noted.connections.retain(|key| {
            let Some(connection) = connections.get_mut(*key) else { return false };
            // What waits at a session's WebSocket was counted with the session.
            let counted = matches!(connection.role, Role::WebSocket { candidate: false, .. });
            let unsent = if counted { 0 } else { connection.unsent_len() };
            let unread = unread_of(connection);
            outbound += unsent;
            input += unread;
            connection.noted = unsent + unread > 0;
            connection.noted
        });
        let meter = &self.mailbox.meter;
        meter.set(Tally::HeldOutbound, outbound as u64);
        meter.set(Tally::HeldInput, input as u64);
        meter.set(Tally::HeldSpare, kept_buffers() as u64);
        self.noted.scheduled = false;
        if !self.noted.sessions.is_empty() || !self.noted.connections.is_empty() {
            self.schedule_measure();
        }
    }
}

fn waiting_of(session: &Session) -> usize {
    session.client.outbound(|out| out.level().bytes)
}

fn unread_of(connection: &Connection) -> usize {
    connection.input.capacity() + connection.role.held_len()
}
