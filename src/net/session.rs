//! An Engine.IO session as its shard owns it: packets out, heartbeat, and its end.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::connection::{Connection, Role, Written};
use super::rate::Allowance;
use super::shard::{CLOSE_TIMEOUT_MS, Shard, Timer};
use super::table::Key;
use crate::proto::session::{Session as Machine, Tick};
use crate::proto::websocket::{self, Opcode};
use crate::queue::Queue;
use crate::server::event::{EVENT_OUTBOUND_HIGH, EVENT_OUTBOUND_LOW};
use crate::server::meter::Tally;
use crate::server::{Cause, Client, Connection as Sockets, Context, Level, NEVER, Notice, Reason, Socket, Transport};

/// How long a session on polling that the server closed waits for the poll that is told so (server-behaviour.md 2.12).
const POLLING_CLOSE_TIMEOUT_MS: u64 = 30_000;

/// How long a session on WebSocket that the server closed waits for the kernel to take what is queued for it.
const ORDERLY_CLOSE_TIMEOUT_MS: u64 = 5_000;

/// Parts of a backlog that one turn writes to a client who takes them: 16 MiB, after which the others have their turn.
const FLUSHES_PER_TURN: u32 = 64;

/// Where a session's packets go.
#[derive(Clone, Copy, Debug)]
pub enum Active {
    /// `get` is the poll that waits, `post` the request whose packets are being read.
    Polling {
        get: Option<Key>,
        post: Option<Key>,
    },
    WebSocket(Key),
}

/// A session.
pub struct Session {
    pub client: Arc<Client>,
    pub sockets: Sockets,
    pub machine: Machine,
    pub active: Active,
    /// The WebSocket that probes.
    pub candidate: Option<Key>,
    /// The callback index, if the session is on JSONP.
    pub jsonp: Option<Box<str>>,
    /// Closed by the server, while a poll is yet to be told so or the kernel to take what is queued: until when.
    pub closing: Option<u64>,
    /// What it may send, if that is limited.
    pub allowance: Option<Box<Allowance>>,
    /// When the ping went out whose pong has not come, in microseconds as the engine counts them, cut to what a round trip needs.
    pub pinged_us: Option<NonZeroU32>,
    /// Known to hold bytes that wait.
    pub noted: bool,
}

impl Session {
    /// A pong came: how long it took, if a ping had gone out.
    pub fn pong(&mut self, now_us: u64) -> Option<u64> {
        if let Some(allowance) = &mut self.allowance {
            allowance.pong();
        }
        let pinged_us = self.pinged_us.take()?;
        Some(u64::from((now_us as u32).wrapping_sub(pinged_us.get())))
    }

    /// Whether the host does not keep up with this session's events; `default` is the engine's own queue.
    pub fn is_stalled(&self, default: &Queue) -> bool {
        self.sockets.is_stalled(default)
    }

    /// When something is due.
    pub fn deadline(&self) -> u64 {
        let sockets = self.sockets.connect_deadline_ms.min(self.sockets.attachments_deadline_ms());
        self.closing.unwrap_or_else(|| self.machine.deadline().min(sockets).min(self.delayed_until_ms()))
    }
}

/// Which gauge a session of this transport is counted in.
pub fn gauge_of(transport: Transport) -> Tally {
    match transport {
        Transport::Polling => Tally::Polling,
        Transport::WebSocket => Tally::WebSocket,
    }
}

/// How a session ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server closes it: what is queued is still sent, and a client on polling is told with its next poll.
    Orderly,
    /// The transport is gone or not to be trusted: what can be told at once is told.
    Abrupt,
}

impl Shard {
    /// Makes sure that the wheel looks at a session when its next deadline comes.
    pub fn schedule_session(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let deadline = session.deadline();
        self.session_looks.book(&mut self.wheel, key.index, deadline, Timer::Session(key.index));
    }

    /// A time of this session may have come.
    pub fn look_at_session(&mut self, key: Key) {
        let (now_ms, timing) = (self.now_ms(), self.config.timing);
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Some(until) = session.closing {
            return if until <= now_ms { self.cut_off(key) } else { self.schedule_session(key) };
        }
        if session.sockets.connect_deadline_ms <= now_ms && session.is_stalled(self.server.queue()) {
            // Its CONNECT may lie unread.
            session.sockets.connect_deadline_ms = now_ms + u64::from(self.server.config.connect_timeout_ms);
        }
        if session.sockets.connect_deadline_ms <= now_ms {
            session.sockets.connect_deadline_ms = NEVER;
            let cause = Cause::because(Reason::ForcedClose, "no namespace was joined in time");
            let limit = u64::from(self.server.config.connect_timeout_ms);
            return self.end_session(key, &cause.limit("connectTimeout", limit), End::Orderly);
        }
        if session.sockets.attachments_deadline_ms() <= now_ms && !self.attachments_may_wait(key) {
            let cause = Cause::because(Reason::ForcedClose, "attachments did not come in time");
            let limit = self.server.config.limits.attachments_time_ms;
            return self.end_session(key, &cause.limit("attachmentsTimeMs", limit), End::Orderly);
        }
        while let Some(tick) = self.sessions.get_mut(key).and_then(|session| session.machine.tick(now_ms, &timing)) {
            self.tick(key, tick);
        }
        self.schedule_session(key);
    }

    /// Whether it may be our fault that attachments are late, for a session is not read at times; they then get their time anew.
    fn attachments_may_wait(&mut self, key: Key) -> bool {
        let unread = |session: &&mut Session| session.is_stalled(self.server.queue()) || session.is_delayed();
        let Some(session) = self.sessions.get_mut(key).filter(unread) else { return false };
        let cx = Context { server: &self.server, out: &mut self.out, atoms: &mut self.atoms, now_us: self.now_us };
        session.sockets.await_attachments(&cx);
        true
    }

    fn tick(&mut self, key: Key, tick: Tick) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        match tick {
            Tick::Ping => {
                session.pinged_us = NonZeroU32::new((self.now_us as u32).max(1));
                session.client.send(|out| out.control(b"2"));
            }
            Tick::Noop => {
                if let Active::Polling { get: Some(_), .. } = session.active {
                    session.client.send(|out| out.control(b"6"));
                }
            }
            Tick::UpgradeTimeout => {
                if let Some(candidate) = session.candidate.take() {
                    self.close_websocket(candidate, None);
                }
            }
            Tick::PingTimeout if session.is_stalled(self.server.queue()) || session.may_extend() => {
                // Its pong may lie unread because the host is slow, which is not the client's fault, or for its rate.
                let (now_ms, timing) = (self.now_ms(), self.config.timing);
                if let Some(session) = self.sessions.get_mut(key) {
                    session.machine.extend(now_ms, &timing);
                }
            }
            Tick::PingTimeout => {
                let limit = u64::from(self.config.timing.ping_timeout_ms);
                self.end_session(key, &Cause::new(Reason::PingTimeout).limit("pingTimeout", limit), End::Abrupt);
            }
        }
    }

    // ---- packets out ----------------------------------------------------------------------------------------------

    /// Writes each session that has something to write.
    pub fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty_buffer);
        self.mailbox.take_dirty(&mut dirty);
        for index in dirty.drain(..) {
            if let Some(key) = self.sessions.key_at(index) {
                self.flush(key);
            }
        }
        self.dirty_buffer = dirty;
    }

    /// Writes what a session has queued, if its transport can take it.
    pub fn flush(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        match session.active {
            Active::Polling { get, .. } => {
                self.see_to_outbound(key);
                match get {
                    Some(poll) => {
                        self.answer_poll(key, poll);
                        self.see_to_outbound(key);
                    }
                    None => self.note_session(key),
                }
            }
            Active::WebSocket(connection) => self.flush_websocket(key, connection),
        }
    }

    fn flush_websocket(&mut self, key: Key, connection_key: Key) {
        self.flush_part(key, connection_key, FLUSHES_PER_TURN);
    }

    /// Writes what one flush takes, and if there is more, at most `times` in all.
    fn flush_part(&mut self, key: Key, connection_key: Key, times: u32) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(connection) = self.connections.get_mut(connection_key) else { return };
        if connection.is_blocked() {
            self.note_session(key);
            return self.see_to_outbound(key);
        }
        let run = session.client.outbound(|out| out.take_run(self.now_us));
        self.mailbox.meter.add(Tally::PacketsOut, run.frames.into());
        let (rest, packets) = (run.rest, run.packets);
        match connection.write_run(run, &self.mailbox.meter) {
            Written::All => {}
            Written::Blocked => {
                let left = Level { bytes: connection.unsent_len(), packets };
                session.client.outbound(|out| out.set_blocked(left));
                self.note_session(key);
            }
            Written::Failed => return self.peer_failed(connection_key),
        }
        if rest {
            self.flush_rest(key, connection_key, times);
        }
    }

    /// Sees to what the queue asks for, and goes on if there is more.
    #[cold]
    fn flush_rest(&mut self, key: Key, connection_key: Key, times: u32) {
        self.see_to_outbound(key);
        let waits = |session: &Session| session.client.outbound(|out| !out.is_empty());
        if !self.sessions.get(key).is_some_and(waits) {
            return;
        }
        match times.checked_sub(1) {
            Some(times) => self.flush_part(key, connection_key, times),
            None => self.mailbox.mark_dirty(key.index),
        }
    }

    /// Does what a session's queue asks for: the host hears how much waits, or the session ends because of it.
    pub fn see_to_outbound(&mut self, key: Key) {
        while let Some(session) = self.sessions.get_mut(key) {
            let Some(notice) = session.client.outbound(|out| out.take_notice()) else { return };
            let (kind, level) = match notice {
                Notice::High(level) => (EVENT_OUTBOUND_HIGH, level),
                Notice::Low(level) => (EVENT_OUTBOUND_LOW, level),
                Notice::Overflow(limit, value) => {
                    // The official server's word for closing a client to which it still has something to write.
                    let cause = Cause::because(Reason::ForcedServerClose, "more waits for the client than may wait");
                    return self.end_session(key, &cause.limit(limit, value), End::Abrupt);
                }
            };
            let mut cx =
                Context { server: &self.server, out: &mut self.out, atoms: &mut self.atoms, now_us: self.now_us };
            session.sockets.outbound_level(&mut cx, kind, level);
        }
    }

    /// The kernel may take more of what waits on a connection.
    pub fn write_unsent(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.is_blocked() {
            return;
        }
        let unread = connection.unread();
        let written = connection.write_unsent(&self.mailbox.meter);
        if let Some(before) = unread {
            let left = connection.unread();
            self.settle_unread(before, left);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        match written {
            Written::Blocked => {
                if let Role::WebSocket { session, candidate: false, .. } = connection.role {
                    let left = connection.unsent_len();
                    if let Some(session) = self.sessions.get_mut(session) {
                        session.client.outbound(|out| out.set_left(left));
                    }
                    self.see_to_outbound(session);
                }
            }
            Written::Failed => self.peer_failed(key),
            Written::All => self.all_is_sent(key),
        }
    }

    // ---- the end --------------------------------------------------------------------------------------------------

    /// Ends a session; its sockets leave with `cause`.
    pub fn end_session(&mut self, key: Key, cause: &Cause, end: End) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.closing.is_some() {
            // Its sockets have left. A WebSocket that is gone, or not to be trusted, takes nothing more; a poll may still come.
            if matches!(session.active, Active::WebSocket(_)) && end == End::Abrupt {
                self.cut_off(key);
            }
            return;
        }
        let mut cause = cause.clone();
        let queued = session.client.outbound(|out| !out.is_empty());
        let waits_for_poll = match session.active {
            Active::Polling { get, .. } => end == End::Orderly && (get.is_none() || queued),
            Active::WebSocket(_) => false,
        };
        if waits_for_poll && cause.reason == Reason::ForcedClose {
            cause.reason = Reason::ForcedServerClose;
        }
        let mut cx = Context { server: &self.server, out: &mut self.out, atoms: &mut self.atoms, now_us: self.now_us };
        let client = session.client.clone();
        session.sockets.closed(&mut cx, &cause);
        self.tell_ended(&client, &cause);
        self.answer_held_post(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Some(candidate) = session.candidate.take() {
            self.close_websocket(candidate, None);
        }
        if waits_for_poll {
            // What is queued goes first and alone; the close packet comes with the poll after it.
            self.flush(key);
            let until = self.now_ms() + POLLING_CLOSE_TIMEOUT_MS;
            let timing = self.config.timing;
            if let Some(session) = self.sessions.get_mut(key) {
                // Who is silent for as long as that is gone, as ever.
                session.closing = Some(until.min(session.machine.patience(&timing)));
            }
            return self.schedule_session(key);
        }
        if end == End::Orderly && self.has_unsent(key) {
            let until = self.closing.unwrap_or(self.now_ms() + ORDERLY_CLOSE_TIMEOUT_MS);
            if let Some(session) = self.sessions.get_mut(key) {
                session.closing = Some(until);
            }
            return self.schedule_session(key);
        }
        self.close_transport(key, end);
        self.forget_session(key);
    }

    /// Flushes a session on WebSocket; true if the kernel does not take everything now.
    fn has_unsent(&mut self, key: Key) -> bool {
        let Some(Active::WebSocket(connection)) = self.sessions.get(key).map(|session| session.active) else {
            return false;
        };
        let waits = |session: &Session| session.client.outbound(|out| !out.is_empty());
        loop {
            self.flush_websocket(key, connection);
            let waits = self.sessions.get(key).is_some_and(waits);
            match self.connections.get(connection).map(Connection::is_blocked) {
                Some(false) if waits => {}
                blocked => return waits && blocked == Some(true),
            }
        }
    }

    /// A session that the server closed goes when the kernel has taken what was queued for it.
    pub fn close_when_sent(&mut self, key: Key) {
        if self.sessions.get(key).is_some_and(|session| session.closing.is_some()) && !self.has_unsent(key) {
            self.close_transport(key, End::Orderly);
            self.forget_session(key);
        }
    }

    /// A session that the server closed has had its time.
    fn cut_off(&mut self, key: Key) {
        match self.sessions.get(key).map(|session| session.active) {
            Some(Active::WebSocket(connection)) => drop(self.remove_connection(connection)),
            Some(Active::Polling { .. }) => self.close_transport(key, End::Abrupt),
            None => {}
        }
        self.forget_session(key);
    }

    fn close_transport(&mut self, key: Key, end: End) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        match session.active {
            Active::WebSocket(connection) => {
                if end == End::Orderly {
                    self.flush_websocket(key, connection);
                }
                self.close_websocket(connection, None);
            }
            Active::Polling { get: Some(poll), .. } => {
                session.client.send(|out| out.control(b"1"));
                self.answer_poll(key, poll);
            }
            Active::Polling { get: None, .. } => {}
        }
    }

    /// Takes a session out of every table.
    pub fn forget_session(&mut self, key: Key) {
        let Some(session) = self.sessions.remove(key) else { return };
        self.mailbox.meter.take(gauge_of(session.client.transport()), 1);
        self.server.sessions.remove(session.client.id);
        session.client.outbound(|out| out.close());
    }

    /// Closes a WebSocket: a close frame, with a code or (as the official server closes) without, then the peer's turn.
    pub fn close_websocket(&mut self, key: Key, code: Option<u16>) {
        let until = self.now_ms() + CLOSE_TIMEOUT_MS;
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !matches!(connection.role, Role::WebSocket { .. }) {
            return;
        }
        let mut frame = Vec::with_capacity(4);
        let payload = code.map(u16::to_be_bytes);
        let payload = payload.as_ref().map_or(&[][..], |code| &code[..]);
        websocket::write_header(Opcode::Close, payload.len(), &mut frame);
        frame.extend_from_slice(payload);
        connection.role = Role::Closing;
        connection.deadline_ms = until;
        if connection.paused {
            // What the peer sends up to its end is no longer held up.
            connection.wake();
        }
        if connection.write(&frame, &self.mailbox.meter) == Written::Failed {
            self.remove_connection(key);
            return;
        }
        // The server ends TCP first (RFC 6455 §7.1.1), and does not await the peer's close frame for that: it would read nothing else.
        if !connection.is_blocked() {
            connection.shut_down();
        }
        self.schedule_connection(key);
    }

    // ---- the host's commands --------------------------------------------------------------------------------------

    /// The session of a client, if this shard still has it.
    pub fn session_of(&self, client: &Client) -> Option<Key> {
        let key = self.sessions.key_at(client.index())?;
        self.sessions.get(key).is_some_and(|session| session.client.id == client.id).then_some(key)
    }

    /// The host disconnected a socket.
    pub fn leave_by_host(&mut self, socket: &Arc<Socket>) {
        let Some(key) = self.session_of(&socket.client) else { return };
        let Some(session) = self.sessions.get_mut(key) else { return };
        let mut cx = Context { server: &self.server, out: &mut self.out, atoms: &mut self.atoms, now_us: self.now_us };
        session.sockets.leave_by_host(&mut cx, socket);
    }

    /// The host ends a connection.
    pub fn close_by_host(&mut self, client: &Client, silent: bool) {
        let Some(key) = self.session_of(client) else { return };
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !silent {
            let mut cx =
                Context { server: &self.server, out: &mut self.out, atoms: &mut self.atoms, now_us: self.now_us };
            session.sockets.disconnect_all(&mut cx);
        }
        self.end_session(key, &Cause::new(Reason::ForcedClose), End::Orderly);
    }

    /// The engine closes.
    pub fn shut_down(&mut self, grace_ms: u32) {
        self.tell_ending("closing", 0, grace_ms);
        self.closing = Some(self.now_ms() + u64::from(grace_ms));
        let (server, mailbox) = (self.server.clone(), self.mailbox.clone());
        server.abandon_broadcasts(&mailbox, &mut self.context());
        self.stop_listening();
        for key in self.sessions.keys() {
            let cause = Cause::new(Reason::ServerShuttingDown);
            let on_websocket =
                self.sessions.get(key).is_some_and(|session| session.client.transport() == Transport::WebSocket);
            // Nobody can poll any more, so nothing waits for a poll.
            self.end_session(key, &cause, if on_websocket { End::Orderly } else { End::Abrupt });
            if !on_websocket || grace_ms == 0 {
                self.forget_session(key);
            }
        }
        for key in self.connections.keys() {
            let role = self.connections.get(key).map(|connection| &connection.role);
            if let Some(&Role::Deciding { token, .. }) = role {
                server.withdraw(token, Reason::ServerShuttingDown.text(), &mut self.context());
            }
            let role = self.connections.get(key).map(|connection| &connection.role);
            if !matches!(role, Some(Role::WebSocket { session, .. }) if self.sessions.get(*session).is_some()) {
                self.close_connection_when_sent(key);
            }
        }
        // The alarm of the grace period.
        self.wheel.add(self.now_ms() + u64::from(grace_ms), Timer::Accept);
    }
}
