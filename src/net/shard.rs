//! A shard: a thread that owns connections and sessions, and works in turns.
//!
//! A turn reads every readable connection, carries out commands and timers, delivers the events that this made, and then writes each
//! connection that has something to write, once. Tasks of their own for connections would cost memory and order; here the turn is a
//! loop over keys that wakers left.

use std::io;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::admission::Pending;
use super::alarm::Alarm;
use super::config::Config;
use super::connection::{Connection, Role};
use super::drain::Schedule;
use super::engine::Peers;
use super::http::{Compressor, StaticDir};
use super::listener::Listener;
use super::measure::Noted;
use super::rate::Rates;
use super::ready::Ready;
use super::session::Session;
use super::table::{Key, Table};
use super::wheel::{Looks, Wheel};
use crate::queue::Outbox;
use crate::server::meter::Tally;
use crate::server::{AtomCache, Command, Context, Mailbox, Server};

/// What a shard reads into: large enough that a busy connection's turn is one read.
const READ_BUFFER_LEN: usize = 64 * 1024;
/// Reads of one connection in a turn, for the same reason.
const READS_PER_TURN: usize = 4;
/// How long a connection may take to close after its last byte.
pub const CLOSE_TIMEOUT_MS: u64 = 5_000;
/// Bytes that are read ahead while a connection waits for an answer: a request head's worth.
pub const READ_AHEAD_MAX: usize = 16 * 1024;

/// What the wheel looks at.
#[derive(Clone, Copy)]
pub enum Timer {
    /// By index, whoever has it then.
    Connection(u32),
    Session(u32),
    Accept,
    Drain,
    /// What buffers hold.
    Measure,
}

/// Index of the listeners among what is ready.
pub const LISTENERS: u32 = u32::MAX;

/// A shard's state, and what it shares with the others of its engine.
pub struct Shard {
    pub index: usize,
    pub server: Arc<Server>,
    pub config: Arc<Config>,
    pub peers: Arc<Peers>,
    pub mailbox: Arc<Mailbox>,
    pub connections: Table<Connection>,
    pub sessions: Table<Session>,
    pub out: Outbox,
    pub now_us: u64,
    /// Connections that were not read because a queue was full.
    pub stalled: Vec<Key>,
    /// Who holds bytes in buffers.
    pub noted: Noted,
    /// The value of `Date`, and the second that it tells.
    pub date: (u64, [u8; 29]),
    /// The connection whose bytes are being acted on, for the case of a panic.
    pub reading: Option<Key>,
    /// INLINE queues may have events from other threads.
    resumed: bool,
    /// Where answers are put together.
    pub scratch: Vec<u8>,
    pub lines: Vec<u8>,
    pub payload: Vec<u8>,
    pub compressor: Option<Compressor>,
    pub wheel: Wheel<Timer>,
    connection_looks: Looks,
    pub session_looks: Looks,
    pub mounts: Arc<Mutex<Vec<Arc<StaticDir>>>>,
    pub atoms: AtomCache,
    /// How fast sessions may send, if that is limited.
    pub rates: Option<Rates>,
    /// When what is left is cut off, once the engine closes.
    pub closing: Option<u64>,
    /// When which session ends, once the engine drains.
    pub drain: Option<Box<Schedule>>,
    pub listeners: Vec<Listener>,
    pub accept_after_ms: u64,
    /// Connections that have sent no whole request yet.
    pub pending: Pending,
    pub ready: Arc<Ready>,
    read_buffer: Vec<u8>,
    /// What `ready` is exchanged with, and likewise for `dirty`, so that a turn makes no lists anew.
    ready_buffer: Vec<u32>,
    pub dirty_buffer: Vec<u32>,
    alarm: Alarm,
}

impl Shard {
    /// A shard with nothing to do.
    pub fn new(
        index: usize,
        server: Arc<Server>,
        config: Arc<Config>,
        peers: Arc<Peers>,
        mounts: Arc<Mutex<Vec<Arc<StaticDir>>>>,
        alarm: Alarm,
    ) -> Shard {
        let mailbox = server.mailboxes()[index].clone();
        let rates = Rates::of(&server.config.limits);
        let pending = Pending::new(&server.config.limits, server.mailboxes().len());
        Shard {
            index,
            server,
            config,
            peers,
            mailbox,
            connections: Table::new(),
            sessions: Table::new(),
            out: Outbox::default(),
            now_us: 0,
            stalled: Vec::new(),
            noted: Noted::default(),
            date: (0, [b' '; 29]),
            scratch: Vec::new(),
            lines: Vec::new(),
            reading: None,
            resumed: false,
            payload: Vec::new(),
            compressor: None,
            wheel: Wheel::new(),
            connection_looks: Looks::default(),
            session_looks: Looks::default(),
            mounts,
            atoms: AtomCache::default(),
            rates,
            closing: None,
            drain: None,
            listeners: Vec::new(),
            accept_after_ms: 0,
            pending,
            ready: Arc::default(),
            read_buffer: vec![0; READ_BUFFER_LEN],
            ready_buffer: Vec::new(),
            dirty_buffer: Vec::new(),
            alarm,
        }
    }

    /// Milliseconds since the engine was made.
    pub fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// What the functions of the server want to know of this turn.
    pub fn context(&mut self) -> Context<'_> {
        Context { server: &self.server, out: &mut self.out, atoms: &mut self.atoms, now_us: self.now_us }
    }

    /// One turn; ready when the engine has closed.
    pub fn turn(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.begin(cx);
        loop {
            self.update_date();
            self.wheel.pass(self.now_ms());
            self.take_arrivals();
            self.read_ready();
            self.carry_out_commands();
            self.run_timers();
            self.deliver_events();
            self.flush_dirty();
            if self.closing.is_some() && self.is_finished() {
                return Poll::Ready(());
            }
            self.mailbox.begin_turn();
            self.end_turn();
            if self.is_quiet() && self.sleep(cx) {
                return Poll::Pending;
            }
        }
    }

    fn begin(&mut self, cx: &mut TaskContext<'_>) {
        if !self.ready.is_owned_by(cx.waker()) {
            self.ready.own(cx.waker().clone());
            self.mailbox.own(cx.waker().clone());
        }
        self.mailbox.begin_turn();
        self.now_us = self.server.now_us();
    }

    /// Notes how long the turn took; its end is the start of the next one if there is no sleep in between.
    fn end_turn(&mut self) {
        let end_us = self.server.now_us();
        self.mailbox.meter.turn(end_us - self.now_us);
        self.tell_turn(end_us - self.now_us);
        self.mailbox.meter.set(Tally::Connections, self.connections.len() as u64);
        self.now_us = end_us;
    }

    fn is_quiet(&self) -> bool {
        self.out.is_empty()
            && self.ready.is_empty()
            && self.mailbox.is_idle()
            && self.peers.inbox(self.index).is_empty()
    }

    /// Sets the alarm for the next timer; false if that is now.
    fn sleep(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let deadline = self.mailbox.deadlines.lock().next().unwrap_or(u64::MAX);
        let next = self.wheel.next_ms().unwrap_or(u64::MAX).min(deadline);
        if next == u64::MAX {
            return true;
        }
        let now_ms = self.server.now_us() / 1000;
        if next <= now_ms {
            return false;
        }
        self.alarm.set(cx, now_ms, next);
        true
    }

    fn update_date(&mut self) {
        let second = self.now_us / 1_000_000 + 1;
        if self.date.0 != second {
            let text = httpdate::fmt_http_date(SystemTime::now());
            if let Ok(date) = text.as_bytes().try_into() {
                self.date = (second, date);
            }
        }
    }

    /// What wakes this shard to look at an index.
    pub fn waker(&self, index: u32) -> Waker {
        self.ready.waker(index)
    }

    // ---- reading --------------------------------------------------------------------------------------------------

    fn read_ready(&mut self) {
        let mut ready = std::mem::take(&mut self.ready_buffer);
        self.ready.take(&mut ready);
        for index in ready.drain(..) {
            if index == LISTENERS {
                self.accept();
            } else if let Some(key) = self.connections.key_at(index) {
                self.write_unsent(key);
                self.read(key);
            }
            if self.out.is_large() {
                self.deliver_events();
            }
        }
        self.ready_buffer = ready;
    }

    /// Reads what is there and acts on it.
    pub fn read(&mut self, key: Key) {
        for _ in 0..READS_PER_TURN {
            if self.must_pause(key) {
                return;
            }
            let Some(connection) = self.connections.get_mut(key) else { return };
            let mut buffer = std::mem::take(&mut self.read_buffer);
            // A panic in an earlier turn took the buffer with it.
            buffer.resize(READ_BUFFER_LEN, 0);
            let read = connection.read(&mut buffer);
            self.reading = Some(key);
            if let Ok(len) = read {
                self.mailbox.meter.add(Tally::BytesIn, len as u64);
                self.take_input(key, buffer.get_mut(..len).unwrap_or_default());
            }
            self.reading = None;
            self.read_buffer = buffer;
            match read {
                Ok(0) => return self.peer_ended(key),
                Ok(READ_BUFFER_LEN) => {}
                Ok(_) if self.is_waiting(key) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.is_waiting(key) {
                        return;
                    }
                }
                Err(_) => return self.peer_failed(key),
            }
        }
        if let Some(connection) = self.connections.get(key) {
            connection.wake();
        }
    }

    /// Whether there is nothing to read from a connection, or no connection; it will be woken.
    fn is_waiting(&mut self, key: Key) -> bool {
        self.connections.get_mut(key).is_none_or(|connection| !connection.await_readable())
    }

    fn must_pause(&mut self, key: Key) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return true };
        let session = match connection.role {
            Role::Poll { .. } | Role::Deciding { .. } | Role::Stalled(_) => {
                connection.paused = connection.input.len() > READ_AHEAD_MAX;
                return connection.paused;
            }
            // Who does not read the answers gets no more of them.
            Role::Head | Role::Body(_) => {
                connection.paused = connection.is_blocked();
                return connection.paused;
            }
            Role::WebSocket { session, .. } => session,
            Role::Closing => return false,
        };
        let Some(session) = self.sessions.get(session) else { return false };
        let stalled = session.is_stalled(self.server.queue());
        connection.paused = stalled || session.is_delayed();
        let paused = connection.paused;
        if stalled {
            self.tell_stalled();
            self.stalled.push(key);
        }
        paused
    }

    /// Acts on bytes that came, after those that wait.
    fn take_input(&mut self, key: Key, bytes: &mut [u8]) {
        if bytes.is_empty() {
            return;
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.input.is_empty() {
            let used = self.process(key, bytes);
            let rest = bytes.get(used..).unwrap_or_default();
            if let Some(connection) = self.connections.get_mut(key)
                && !rest.is_empty()
            {
                connection.input.extend_from_slice(rest);
                self.note_connection(key);
            }
        } else {
            connection.input.extend_from_slice(bytes);
            self.resume(key);
        }
    }

    /// Goes on with the bytes that wait.
    pub fn resume(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.input.is_empty() {
            return;
        }
        let mut input = std::mem::take(&mut connection.input);
        let used = self.process(key, &mut input);
        if let Some(connection) = self.connections.get_mut(key) {
            if used < input.len() {
                input.drain(..used);
                connection.input = input;
            }
            // What is read of a request or frame that is not whole is bounded by its own limits.
            let reads = match connection.role {
                Role::Head | Role::Body(_) => !connection.is_blocked(),
                Role::WebSocket { .. } | Role::Closing => true,
                Role::Poll { .. } | Role::Deciding { .. } | Role::Stalled(_) => false,
            };
            if connection.paused && (reads || connection.input.len() <= READ_AHEAD_MAX) {
                connection.paused = false;
                connection.wake();
            }
        }
    }

    /// Uses as many bytes as make something whole; how many that were.
    fn process(&mut self, key: Key, bytes: &mut [u8]) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get_mut(used..).filter(|rest| !rest.is_empty()) {
            let Some(connection) = self.connections.get(key) else { return used };
            let step = match connection.role {
                Role::Head | Role::Body(_) if connection.is_blocked() => 0,
                Role::Head => self.read_head(key, rest),
                Role::Body(_) => self.read_body(key, rest),
                Role::WebSocket { .. } => self.read_frames(key, rest),
                Role::Poll { .. } | Role::Deciding { .. } | Role::Stalled(_) => 0,
                Role::Closing => rest.len(),
            };
            if step == 0 {
                break;
            }
            used += step;
        }
        used
    }

    // ---- commands, timers, events ---------------------------------------------------------------------------------

    pub fn carry_out_commands(&mut self) {
        let mut commands = Vec::new();
        self.mailbox.take_commands(&mut commands);
        for command in commands {
            match command {
                Command::Decided { token, request, decision } => self.decided(token, request, decision),
                Command::Leave(socket) => self.leave_by_host(&socket),
                Command::Vacate(namespace) => {
                    self.out.deliver(true);
                    self.server.vacate(&namespace, &mut self.out, self.now_us);
                }
                Command::Close { client, silent } => self.close_by_host(&client, silent),
                Command::Resume => {
                    self.resumed = true;
                    self.read_stalled();
                }
                Command::Drain(drain) => self.begin_drain(drain),
                Command::Shutdown { grace_ms } => self.shut_down(grace_ms),
            }
        }
    }

    fn read_stalled(&mut self) {
        for key in std::mem::take(&mut self.stalled) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            match &mut connection.role {
                Role::WebSocket { session, .. } => {
                    connection.paused = false;
                    let session = *session;
                    let (now_ms, timing) = (self.now_ms(), self.config.timing);
                    if let Some(session) = self.sessions.get_mut(session) {
                        session.machine.extend(now_ms, &timing);
                    }
                    self.read(key);
                }
                Role::Stalled(_) => self.go_on_with_post(key),
                _ => {}
            }
        }
    }

    fn run_timers(&mut self) {
        let (now_ms, mut due) = (self.now_ms(), Vec::new());
        if let Some(first_ms) = self.wheel.take(now_ms, &mut due) {
            self.mailbox.meter.lag.record(self.now_us.saturating_sub(first_ms * 1000));
        }
        for timer in due {
            match timer {
                Timer::Connection(index) if self.connection_looks.take(index, now_ms) => self.look_at_connection(index),
                Timer::Session(index) if self.session_looks.take(index, now_ms) => {
                    if let Some(key) = self.sessions.key_at(index) {
                        self.read_delayed(key);
                        self.look_at_session(key);
                    }
                }
                Timer::Connection(_) | Timer::Session(_) => {}
                Timer::Accept => self.ready.push(LISTENERS),
                Timer::Drain => self.drain_on(),
                Timer::Measure => self.measure(),
            }
        }
        let (server, mailbox) = (self.server.clone(), self.mailbox.clone());
        server.expire(&mailbox, &mut self.context());
    }

    fn look_at_connection(&mut self, index: u32) {
        let now_ms = self.now_ms();
        let Some(key) = self.connections.key_at(index) else { return };
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.deadline_ms <= now_ms {
            self.connection_timed_out(key);
        } else {
            self.schedule_connection(key);
        }
    }

    /// Makes sure that the wheel looks at a connection when its deadline comes.
    pub fn schedule_connection(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (index, deadline) = (key.index, connection.deadline_ms);
        self.connection_looks.book(&mut self.wheel, index, deadline, Timer::Connection(index));
    }

    /// Delivers what the turn made, and what host threads put into INLINE queues; no part of the shard is borrowed meanwhile.
    fn deliver_events(&mut self) {
        self.out.deliver(true);
        // What the host asked for in its callbacks belongs to this turn's writes.
        self.carry_out_commands();
        self.out.deliver(true);
        if std::mem::take(&mut self.resumed) {
            self.server.deliver_waiting();
        }
    }

    /// Everything has closed, or its time is over.
    fn is_finished(&self) -> bool {
        let late = self.closing.is_some_and(|until| self.now_ms() >= until);
        late || (self.connections.is_empty() && self.sessions.is_empty())
    }
}
