//! How connections end: their deadlines, their peers, and their way to another shard.
//!
//! The deadline of a connection is that of the request which is coming, of the next one to begin, or of the answer to be taken by the
//! peer; a request's is set once, however slowly it comes. Polls that wait, decisions and WebSockets have times of their own.

use super::connection::{Role, Stage};
use super::http::Head;
use super::session::{Active, End};
use super::shard::{CLOSE_TIMEOUT_MS, Shard};
use super::table::Key;
use crate::server::{Cause, Count, Reason};

impl Shard {
    // ---- deadlines ------------------------------------------------------------------------------------------------

    /// When a request that begins now must be whole; or an answer taken by its peer.
    pub fn request_deadline(&self) -> u64 {
        self.now_ms() + self.server.config.limits.request_time_ms
    }

    /// When the next request must have begun.
    pub fn idle_deadline(&self) -> u64 {
        self.now_ms() + self.server.config.limits.keep_alive_ms
    }

    /// A part of a request came: its time runs, if it does not yet.
    pub fn request_begins(&mut self, key: Key) {
        let deadline_ms = self.request_deadline();
        if let Some(connection) = self.connections.get_mut(key)
            && connection.stage == Stage::Idle
        {
            connection.stage = Stage::Begun;
            connection.deadline_ms = deadline_ms;
            self.schedule_connection(key);
        }
    }

    /// A connection's deadline has come.
    pub fn connection_timed_out(&mut self, key: Key) {
        let taken_until = self.request_deadline();
        let Some(connection) = self.connections.get_mut(key) else { return };
        let is_read = connection.is_read_by_its_peer();
        match connection.role {
            // Sessions and decisions have times of their own.
            Role::Poll { .. } | Role::Deciding { .. } | Role::Stalled(_) | Role::WebSocket { .. } => {
                connection.deadline_ms = u64::MAX;
            }
            Role::Head | Role::Closing if is_read => {
                connection.deadline_ms = taken_until;
                self.schedule_connection(key);
            }
            // Its answers are not taken, and would keep the kernel's memory too.
            Role::Head | Role::Closing if connection.is_blocked() => self.reset_connection(key),
            // Without a byte of a request it is simply closed.
            Role::Head if connection.input.is_empty() => drop(self.remove_connection(key)),
            Role::Closing => drop(self.remove_connection(key)),
            Role::Head | Role::Body(_) => self.request_timed_out(key),
        }
    }

    /// A request did not come in time: 408, and it is over for the session too if it is a POST of one.
    fn request_timed_out(&mut self, key: Key) {
        self.limited(Count::RequestTimeouts, self.address_of(key));
        let Some(connection) = self.connections.get_mut(key) else { return };
        if let Role::Body(incoming) = std::mem::replace(&mut connection.role, Role::Head)
            && let Some(session) = self.forget_post(key, &incoming.head)
        {
            let cause = Cause::because(Reason::TransportError, "a data request took too long");
            let limit = self.server.config.limits.request_time_ms;
            self.end_session(session, &cause.limit("requestTimeMs", limit), End::Abrupt);
        }
        self.refuse_and_close(key, 408);
    }

    /// Closes a connection once the kernel has all its bytes; the peer may close first.
    pub fn close_connection_when_sent(&mut self, key: Key) {
        self.settle_connection(key);
        let (until, taken_until) = (self.now_ms() + CLOSE_TIMEOUT_MS, self.request_deadline());
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.role = Role::Closing;
        if connection.is_blocked() {
            connection.deadline_ms = taken_until;
        } else {
            connection.deadline_ms = until;
            connection.shut_down();
        }
        self.schedule_connection(key);
    }

    /// The kernel has all that was written to a connection.
    pub fn all_is_sent(&mut self, key: Key) {
        let idle_until = self.idle_deadline();
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.role {
            Role::WebSocket { session, candidate: false, .. } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.client.outbound(|out| out.set_sent());
                }
                self.flush(session);
                self.close_when_sent(session);
            }
            Role::Closing => self.close_connection_when_sent(key),
            Role::Head | Role::Body(_) => {
                if connection.stage == Stage::Idle {
                    connection.deadline_ms = idle_until;
                    self.schedule_connection(key);
                }
                // The next request may be here already.
                self.resume(key);
            }
            Role::Poll { .. } | Role::Deciding { .. } | Role::Stalled(_) | Role::WebSocket { .. } => {}
        }
    }

    // ---- the peer's end -------------------------------------------------------------------------------------------

    /// The peer sends no more.
    pub fn peer_ended(&mut self, key: Key) {
        self.drop_connection(key, Reason::TransportClose, "");
    }

    /// The connection broke.
    pub fn peer_failed(&mut self, key: Key) {
        self.drop_connection(key, Reason::TransportClose, "the connection broke");
    }

    fn drop_connection(&mut self, key: Key, reason: Reason, description: &'static str) {
        let Some(connection) = self.remove_connection(key) else { return };
        match connection.role {
            Role::WebSocket { session, candidate: true, .. } => self.candidate_lost(session, key),
            Role::WebSocket { session, .. } => {
                self.end_session(session, &Cause::because(reason, description), End::Abrupt);
            }
            Role::Poll { session, .. } => {
                self.forget_poll(session);
                let cause = Cause::because(Reason::TransportError, "poll connection closed prematurely");
                self.end_session(session, &cause, End::Abrupt);
            }
            Role::Deciding { token, .. } => {
                let server = self.server.clone();
                server.withdraw(token, reason.text(), &mut self.context());
            }
            Role::Body(incoming) => self.post_lost(key, &incoming.head),
            Role::Stalled(held) => self.post_lost(key, &held.head),
            Role::Head | Role::Closing => {}
        }
    }

    /// A POST that had not ended is gone.
    fn post_lost(&mut self, key: Key, head: &Head) {
        if let Some(session) = self.forget_post(key, head) {
            let cause = Cause::because(Reason::TransportError, "data request connection closed prematurely");
            self.end_session(session, &cause, End::Abrupt);
        }
    }

    fn forget_poll(&mut self, session: Key) {
        if let Some(session) = self.sessions.get_mut(session)
            && let Active::Polling { get, .. } = &mut session.active
        {
            *get = None;
            session.client.outbound(|out| out.set_writable(false));
        }
    }

    /// Hands a connection, with a request of which `bytes` are the start, to the shard whose session it names.
    pub fn move_connection(&mut self, key: Key, shard: usize, bytes: &[u8]) {
        // The request's time goes on there.
        self.request_begins(key);
        let Some(mut connection) = self.remove_connection(key) else { return };
        connection.input = bytes.to_vec();
        // A stream that cannot be released is closed; its peer tries again.
        if let Ok(arrival) = connection.release() {
            self.peers.hand_over(shard, arrival);
        }
    }
}
