//! The server: everything that an engine's threads share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::adapter::Adapter;
use super::atoms::Atoms;
use super::budget::Budget;
use super::client::Client;
use super::command::Command;
use super::config::Config;
use super::connection::{Context, acknowledgement_expired};
use super::deadlines::Due;
use super::drain::Draining;
use super::error::{Code, Error};
use super::event::{EVENT_CLOSED, STATUS_CLOSED, STATUS_GONE, STATUS_TIMEOUT};
use super::local;
use super::log::Log;
use super::mailbox::Mailbox;
use super::meter::{Meter, Tally};
use super::metrics::Metrics;
use super::namespace::Namespace;
use super::namespaces::Namespaces;
use super::request::{Decision, Pending, Request};
use super::sid::Sid;
use super::slots::{Kind, Slots, id, kind_of, slot_of};
use super::socket::{Socket, owed_number};
use crate::proto::socket_packet::Limits as PacketLimits;
use crate::queue::{Event, Limits, Outbox, Queue};

/// The shared state of an engine.
pub struct Server {
    pub config: Config,
    /// What of the limits concerns single packets.
    pub packet_limits: PacketLimits,
    pub atoms: Atoms,
    /// Engine.IO sessions.
    pub sessions: Slots<Client>,
    /// The other servers; a server alone has none.
    pub(super) adapter: OnceLock<Arc<dyn Adapter>>,
    pub metrics: Arc<Metrics>,
    /// Of every session's outbound queue.
    pub budget: Arc<Budget>,
    pub log: Log,
    pub(super) sockets: Arc<Slots<Socket>>,
    pub(super) requests: Slots<Pending>,
    pub(super) namespaces: RwLock<Namespaces>,
    mailboxes: Arc<[Arc<Mailbox>]>,
    queues: Mutex<Vec<Arc<Queue>>>,
    queue: Arc<Queue>,
    started: Instant,
    open: AtomicBool,
    /// Whether clients can have come.
    reachable: AtomicBool,
    /// Set by the first `drain`.
    pub draining: OnceLock<Draining>,
    completions: AtomicU64,
}

impl Server {
    /// A server with the namespace `/`.
    pub fn new(config: Config) -> Server {
        let mailboxes: Arc<[Arc<Mailbox>]> = (0..config.shards).map(|_| Arc::new(Mailbox::default())).collect();
        let limits = Limits { events_max: config.queue_events_max, bytes_max: config.queue_bytes_max };
        let queue = Arc::new(make_queue(limits, &mailboxes));
        let packet_limits = config.limits.of_packets();
        let metrics = Arc::<Metrics>::default();
        let budget = Arc::new(Budget::new(&config.limits, config.engine_only, metrics.clone()));
        let server = Server {
            config,
            packet_limits,
            atoms: Atoms::default(),
            sessions: Slots::new(Kind::Socket),
            adapter: OnceLock::new(),
            metrics,
            budget,
            log: Log::default(),
            sockets: Arc::new(Slots::new(Kind::Socket)),
            requests: Slots::new(Kind::Request),
            namespaces: RwLock::default(),
            mailboxes,
            queues: Mutex::new(vec![queue.clone()]),
            queue,
            started: Instant::now(),
            open: AtomicBool::new(true),
            reachable: AtomicBool::new(false),
            draining: OnceLock::new(),
            completions: AtomicU64::new(0),
        };
        server.make_root();
        server
    }

    /// Microseconds since the engine was made.
    pub fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// The default queue.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// All queues.
    pub fn queues(&self) -> Vec<Arc<Queue>> {
        self.queues.lock().clone()
    }

    /// Another queue; limits of 0 are the engine's. CLOSED if the engine is closing, for it would not get the last event.
    pub fn new_queue(&self, events_max: usize, bytes_max: usize) -> Result<Arc<Queue>, Error> {
        // Asked under the lock under which the last event is given to all that there are.
        let mut queues = self.queues.lock();
        self.check_open()?;
        let or = |value: usize, default: usize| if value == 0 { default } else { value };
        let limits = Limits {
            events_max: or(events_max, self.config.queue_events_max),
            bytes_max: or(bytes_max, self.config.queue_bytes_max),
        };
        let queue = Arc::new(make_queue(limits, &self.mailboxes));
        queues.push(queue.clone());
        Ok(queue)
    }

    /// The shards' mailboxes.
    pub fn mailboxes(&self) -> &[Arc<Mailbox>] {
        &self.mailboxes
    }

    /// Whether the engine was not asked to close.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Clients can come from now on.
    pub fn set_reachable(&self) {
        self.reachable.store(true, Ordering::Release);
    }

    /// Whether clients can have come.
    pub fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Acquire)
    }

    /// Starts closing; false if that was started before.
    pub fn close(&self, grace_ms: u32) -> bool {
        if !self.open.swap(false, Ordering::AcqRel) {
            return false;
        }
        for mailbox in &*self.mailboxes {
            mailbox.send(Command::Shutdown { grace_ms });
        }
        true
    }

    /// Delivers what threads other than shards put into INLINE queues. For shards to call.
    pub fn deliver_waiting(&self) {
        for queue in self.queues() {
            queue.deliver_waiting();
        }
    }

    /// The last event of each queue.
    pub fn push_closed(&self, out: &mut Outbox) {
        for queue in self.queues() {
            out.push(&queue, &Event { kind: EVENT_CLOSED, time_us: self.now_us(), ..Event::default() });
        }
    }

    /// A number for an answer that the host waits for.
    pub fn next_completion(&self) -> u64 {
        (Kind::Completion as u64) << 62 | (self.completions.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A number for an acknowledgement that the host owes through a shard; it ascends for each shard, and no other shard gives it, so that
    /// it is not met again in a slot's next tenant.
    pub fn next_owed(&self, shard: usize, meter: &Meter) -> u64 {
        meter.get(Tally::AcksOwed) * self.config.shards as u64 + shard as u64
    }

    // ---- sockets --------------------------------------------------------------------------------------------------

    /// Adds a socket that waits for admission; `None` if the table is full or the system has no random bytes.
    pub fn new_socket(
        &self,
        nsp: &Arc<Namespace>,
        client: &Arc<Client>,
        auth: Option<Box<str>>,
    ) -> Option<Arc<Socket>> {
        let socket = self.sockets.try_insert(|id| {
            let sid = Sid::new(slot_of(id)).ok()?;
            Some(Arc::new(Socket::new(id, sid, nsp.clone(), client.clone(), auth)))
        })?;
        local::add(self.address(), slot_of(socket.id), &socket);
        Some(socket)
    }

    /// Tells this server from others of the process.
    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Runs `run` with a socket by its id.
    pub fn with_socket<T>(&self, id: u64, run: impl FnOnce(&Arc<Socket>) -> Result<T, Error>) -> Result<T, Error> {
        self.with_slot(slot_of(id), |socket| match socket.filter(|socket| socket.id == id) {
            Some(socket) => run(socket),
            None => run(&self.socket(id)?),
        })
    }

    /// Runs `run` with the present tenant of a slot: the one whom an acknowledgement's token may concern.
    pub(super) fn with_slot<T>(&self, slot: u32, run: impl FnOnce(Option<&Arc<Socket>>) -> T) -> T {
        local::with(self.address(), slot, |socket| match socket {
            Some(socket) => run(Some(socket)),
            None => run(self.sockets.at(slot).as_ref()),
        })
    }

    /// A socket by its id.
    pub fn socket(&self, id: u64) -> Result<Arc<Socket>, Error> {
        match self.sockets.get(id) {
            Some(socket) => Ok(socket),
            None if id == 0 => Err(Error::new(Code::Invalid, "socket id 0 is no socket")),
            None if kind_of(id) != Kind::Socket => {
                Err(Error::new(Code::Invalid, format!("{id:#x} is the id of a token, not of a socket")))
            }
            None => Err(Error::new(Code::Stale, format!("socket {id:#x} has left"))),
        }
    }

    /// How many sockets there are, those that wait for admission included.
    pub(super) fn count_sockets(&self) -> u64 {
        self.sockets.count() as u64
    }

    /// A socket has left.
    pub fn forget_socket(&self, id: u64) {
        self.sockets.remove(id);
        local::remove(slot_of(id));
    }

    // ---- decisions ------------------------------------------------------------------------------------------------

    /// Asks the host; the token expires after `connectTimeout`, on the shard of `mailbox`. `None` if too much is asked already.
    pub fn ask(&self, request: Request, mailbox: &Arc<Mailbox>, now_ms: u64) -> Option<u64> {
        let pending = self.requests.insert(|id| Arc::new(Pending { id, request }))?;
        let at_ms = now_ms + u64::from(self.config.connect_timeout_ms);
        if mailbox.deadlines.lock().add(at_ms, Due::Request(pending.id)) {
            mailbox.wake();
        }
        Some(pending.id)
    }

    /// Nobody waits for this decision any more, for the client left: a host that has not decided is told.
    pub fn withdraw(&self, token: u64, reason: &str, cx: &mut Context<'_>) {
        if let Some(pending) = self.requests.remove(token) {
            let status = if self.is_open() { STATUS_GONE } else { STATUS_CLOSED };
            pending.tell_withdrawn(reason, status, cx);
        }
    }

    /// The host decided.
    pub fn decide(&self, token: u64, decision: Decision) -> Result<(), Error> {
        if !self.is_open() {
            return Err(Error::new(Code::Closed, "the engine is closing"));
        }
        if kind_of(token) != Kind::Request {
            return Err(Error::new(Code::Invalid, format!("{token:#x} is not the token of a decision")));
        }
        let is_answer = matches!(decision, Decision::Answer { .. });
        let fits = |pending: &Pending| match pending.request {
            Request::Http { .. } => is_answer,
            Request::Reply(_) => false,
            _ => !is_answer,
        };
        if self.requests.get(token).is_some_and(|pending| !fits(&pending)) {
            let text = if is_answer { "takes sockeye_accept or sockeye_reject" } else { "takes sockeye_http_respond" };
            return Err(Error::new(Code::Invalid, format!("token {token:#x} {text}")));
        }
        let pending = self.requests.remove(token).ok_or_else(|| {
            Error::new(Code::Stale, format!("token {token:#x} was answered, has expired, or its client left"))
        })?;
        self.hand_over(&pending, decision);
        Ok(())
    }

    fn hand_over(&self, pending: &Pending, decision: Decision) {
        let request = pending.request.clone();
        let mailbox = match &request {
            Request::Handshake { shard, .. } | Request::Http { shard, .. } => self.mailboxes.get(*shard).cloned(),
            Request::Namespace { client, .. } => Some(client.mailbox.clone()),
            Request::Socket(socket) => Some(socket.client.mailbox.clone()),
            // It has its own patience.
            Request::Reply(_) => None,
        };
        if let Some(mailbox) = mailbox {
            mailbox.send(Command::Decided { token: pending.id, request, decision });
        }
    }

    /// Drops what commands, timers and decisions still hold, so that nothing keeps itself alive once the threads have ended.
    pub fn clear(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.clear());
        self.requests.all().iter().for_each(|pending| drop(self.requests.remove(pending.id)));
    }

    /// The engine closes: broadcasts that wait for replies get none.
    pub fn abandon_broadcasts(&self, mailbox: &Mailbox, cx: &mut Context<'_>) {
        let mut deadlines = std::mem::take(&mut *mailbox.deadlines.lock());
        while let Some(due) = deadlines.pop(u64::MAX) {
            if let Due::Broadcast(broadcast) = due {
                broadcast.end(STATUS_CLOSED, cx.out, cx.now_us);
            }
        }
    }

    // ---- time -----------------------------------------------------------------------------------------------------

    /// Carries out what is due on a shard.
    pub fn expire(self: &Arc<Self>, mailbox: &Mailbox, cx: &mut Context<'_>) {
        loop {
            let (due, crowd) = {
                let mut deadlines = mailbox.deadlines.lock();
                (deadlines.pop(cx.now_us / 1000), deadlines.take_crowd())
            };
            if let Some(mut crowd) = crowd {
                crowd.retain(|due| self.is_awaited(due));
                mailbox.deadlines.lock().give_back(crowd);
            }
            match due {
                None => return,
                Some(Due::Ack { socket, wire_id }) => {
                    if let Some(socket) = self.sockets.get(socket) {
                        acknowledgement_expired(cx, &socket, wire_id);
                    }
                }
                Some(Due::Broadcast(broadcast)) => {
                    for id in broadcast.end(STATUS_TIMEOUT, cx.out, cx.now_us) {
                        if self.sockets.get(id).and_then(|socket| socket.take_awaited(broadcast.wire_id)).is_some() {
                            mailbox.meter.add(Tally::AcksSettled, 1);
                            mailbox.meter.add(Tally::AcksTimedOut, 1);
                        }
                    }
                }
                Some(Due::LogSummary) => self.log_left_out(cx.now_us),
                Some(Due::Request(token)) => {
                    if let Some(pending) = self.requests.remove(token) {
                        pending.tell_withdrawn("", STATUS_TIMEOUT, cx);
                        self.hand_over(&pending, Decision::Expired);
                    }
                }
            }
        }
    }
}

impl Server {
    /// Whether something is still to happen when this is due.
    fn is_awaited(&self, due: &Due) -> bool {
        match due {
            Due::Ack { socket, wire_id } => self.sockets.get(*socket).is_some_and(|socket| socket.awaits(*wire_id)),
            Due::Broadcast(broadcast) => !broadcast.is_settled(),
            Due::Request(token) => self.requests.get(*token).is_some(),
            Due::LogSummary => true,
        }
    }
}

fn make_queue(limits: Limits, mailboxes: &Arc<[Arc<Mailbox>]>) -> Queue {
    let mailboxes = mailboxes.clone();
    Queue::new(limits, Box::new(move || mailboxes.iter().for_each(|mailbox| mailbox.send(Command::Resume))))
}

/// An id of a socket's slot and the number of a count: what a client waits for.
pub fn owed_token(count: u64, slot: u32) -> u64 {
    id(Kind::Ack, owed_number(count), slot)
}
