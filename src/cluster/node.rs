//! This server in a cluster of the classic Redis format: what the host does becomes messages, and messages become what is done here.
//!
//! Nothing here waits: messages for the others go into a bounded queue, which the broker's task empties, and what comes is carried out by
//! the task that reads it. No lock is held while something is delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hashbrown::HashMap;
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::classic::{self, Bytes, Channels, Whom};
use super::msgpack::Malformed;
use super::options::Options;
use super::outgoing::{Outgoing, Publication};
use super::requests::{Asked, Request, Requests};
use crate::queue::Outbox;
use crate::server::adapter::{Operation, Question};
use crate::server::log::{Level, Target as LogTarget};
use crate::server::{BroadcastAck, Count, Emission, Namespace, Server, Target};

/// Random bytes of the ids of servers and requests: six characters.
const ID_RANDOM_LEN: usize = 4;

/// Malformed messages are logged once in so many microseconds: a minute.
const MALFORMED_EVERY_US: u64 = 60_000_000;

/// A namespace as this server serves it.
pub struct Local {
    pub nsp: Box<str>,
    /// Tells this server from the others.
    pub uid: String,
    pub channels: Channels,
}

/// What a channel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Broadcast,
    Request,
    Response,
}

#[derive(Default)]
struct Locals {
    /// In the order in which they came, as they are subscribed.
    list: Vec<Arc<Local>>,
    by_name: HashMap<Box<str>, Arc<Local>>,
    /// By channel or pattern.
    by_channel: HashMap<String, (Arc<Local>, Role)>,
}

/// The shared state of the adapter.
pub struct Node {
    pub options: Options,
    pub outgoing: Outgoing,
    pub requests: Requests,
    /// Told when a request was opened.
    pub opened: Notify,
    /// Told when the adapter is to end.
    pub closing: Notify,
    closed: AtomicBool,
    /// When a malformed message was last logged, microseconds since the engine was made; 0 for never.
    malformed_us: AtomicU64,
    locals: RwLock<Locals>,
}

impl Node {
    /// A server that has not been told of its namespaces.
    pub fn new(options: Options) -> Node {
        Node {
            outgoing: Outgoing::new(options.publish_queue_bytes as usize),
            options,
            requests: Requests::default(),
            opened: Notify::new(),
            closing: Notify::new(),
            closed: AtomicBool::new(false),
            malformed_us: AtomicU64::new(0),
            locals: RwLock::default(),
        }
    }

    /// Whether the adapter is to end.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends the adapter.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.closing.notify_one();
        self.outgoing.wake.notify_one();
        self.opened.notify_one();
    }

    // ---- namespaces -------------------------------------------------------------------------------------------

    /// There is a namespace; its channels are subscribed soon.
    pub fn open(&self, name: &str) {
        {
            let mut locals = self.locals.write();
            if locals.by_name.contains_key(name) {
                return;
            }
            let uid = self.new_id();
            let channels = Channels::new(&self.options.key, name, &uid);
            let local = Arc::new(Local { nsp: name.into(), uid, channels });
            for (channel, role) in [
                (&local.channels.pattern, Role::Broadcast),
                (&local.channels.request, Role::Request),
                (&local.channels.response, Role::Response),
                (&local.channels.own_response, Role::Response),
            ] {
                locals.by_channel.insert(channel.clone(), (local.clone(), role));
            }
            locals.by_name.insert(name.into(), local.clone());
            locals.list.push(local);
        }
        self.outgoing.wake.notify_one();
    }

    /// The namespaces that came after the first `known`.
    pub fn locals_after(&self, known: usize) -> Vec<Arc<Local>> {
        self.locals.read().list.get(known..).unwrap_or_default().to_vec()
    }

    /// Whose channel or pattern this is, and what for.
    pub fn local_of(&self, channel: &str) -> Option<(Arc<Local>, Role)> {
        self.locals.read().by_channel.get(channel).cloned()
    }

    fn local(&self, name: &str) -> Option<Arc<Local>> {
        self.locals.read().by_name.get(name).cloned()
    }

    /// A new id; without randomness, which the system always has by now, one that is merely unlikely.
    fn new_id(&self) -> String {
        let mut random = [0; ID_RANDOM_LEN];
        if getrandom::fill(&mut random).is_err() {
            random = (std::ptr::from_ref(self) as usize as u32).to_le_bytes();
        }
        URL_SAFE_NO_PAD.encode(random)
    }

    // ---- what the host does -------------------------------------------------------------------------------------

    /// Tells the others.
    pub fn publish(&self, server: &Server, nsp: &Namespace, target: &Target<'_>, operation: &Operation<'_>) {
        let Some(local) = self.local(&nsp.name) else { return };
        let from = sender(server, target);
        let except: Vec<&str> = target.except.iter().copied().chain(from.as_deref()).collect();
        let whom = Whom { rooms: target.rooms, except: &except, volatile: false, compress: true, timeout_ms: None };
        let request = &local.channels.request;
        match operation {
            Operation::Broadcast(emission) => {
                let (data, attachments) = emission.payload.data(&nsp.name);
                let whom = Whom { volatile: emission.volatile, compress: emission.compress, ..whom };
                let message = classic::broadcast(&local.uid, &nsp.name, &data, &attachments, &whom);
                self.send(server, &local.channels.for_rooms(target.rooms), message, None);
            }
            Operation::Join(rooms) => {
                self.send(server, request, classic::change_rooms(&local.uid, true, &whom, rooms), None);
            }
            Operation::Leave(rooms) => {
                self.send(server, request, classic::change_rooms(&local.uid, false, &whom, rooms), None);
            }
            Operation::Disconnect { close } => {
                self.send(server, request, classic::disconnect(&local.uid, &whom, *close), None);
            }
        }
    }

    /// Asks the receivers on the other servers.
    pub fn ask_receivers(
        &self,
        server: &Server,
        target: &Target<'_>,
        emission: &Emission<'_>,
        broadcast: &Arc<BroadcastAck>,
        timeout_ms: u32,
    ) {
        let Some(local) = self.local(&broadcast.nsp.name) else { return };
        let from = sender(server, target);
        let except: Vec<&str> = target.except.iter().copied().chain(from.as_deref()).collect();
        let (volatile, compress) = (emission.volatile, emission.compress);
        let whom = Whom { rooms: target.rooms, except: &except, volatile, compress, timeout_ms: Some(timeout_ms) };
        let (data, attachments) = emission.payload.data(&local.nsp);
        let id = self.new_id();
        self.register(server, &id, &broadcast.nsp, Asked::Acks(broadcast.clone()), broadcast.token, timeout_ms);
        let message = classic::broadcast_with_acks(&local.uid, &id, &local.nsp, &data, &attachments, &whom);
        self.send(server, &local.channels.request, message, Some(id));
    }

    /// Asks the other servers.
    pub fn ask(&self, server: &Server, nsp: &Arc<Namespace>, question: Question<'_>, token: u64) {
        let (id, timeout_ms) = (self.new_id(), self.options.requests_timeout);
        let local = self.local(&nsp.name);
        let uid = local.as_deref().map_or("", |local| &local.uid);
        let request = local.as_deref().map_or("", |local| &local.channels.request);
        match question {
            Question::Count => {
                self.register(server, &id, nsp, Asked::Count, token, timeout_ms);
                self.add(server, Publication { channel: request.to_owned(), payload: None, count_for: Some(id) });
            }
            Question::Fetch { target, mut sockets } => {
                let from = sender(server, target);
                let except: Vec<&str> = target.except.iter().copied().chain(from.as_deref()).collect();
                let rooms = target.rooms;
                let whom = Whom { rooms, except: &except, volatile: false, compress: true, timeout_ms: None };
                let message = classic::fetch(uid, &id, &whom);
                // Between its brackets others' sockets are added.
                sockets.pop();
                sockets.drain(..sockets.len().min(1));
                self.register(server, &id, nsp, Asked::Sockets(sockets), token, timeout_ms);
                self.send(server, request, message, Some(id));
            }
            Question::Emit { emission } => {
                let (data, attachments) = emission.payload.data(&nsp.name);
                let message = classic::server_emit(uid, Some(&id), &data, &attachments);
                let timeout_ms = emission.ack_timeout_ms.filter(|ms| *ms > 0).unwrap_or(timeout_ms);
                self.register(server, &id, nsp, Asked::Replies, token, timeout_ms);
                self.send(server, request, message, Some(id));
            }
        }
    }

    /// Emits to the other servers.
    pub fn emit(&self, server: &Server, nsp: &Namespace, emission: &Emission<'_>) {
        let Some(local) = self.local(&nsp.name) else { return };
        let (data, attachments) = emission.payload.data(&nsp.name);
        let message = classic::server_emit(&local.uid, None, &data, &attachments);
        self.send(server, &local.channels.request, message, None);
    }

    fn register(&self, server: &Server, id: &str, nsp: &Arc<Namespace>, asked: Asked, token: u64, timeout_ms: u32) {
        let (mut out, now_us) = (Outbox::default(), server.now_us());
        let deadline_us = now_us + u64::from(timeout_ms) * 1000;
        let request = Request { nsp: nsp.clone(), token, asked, expected: None, received: 0, deadline_us };
        self.requests.add(id, request, &mut out, now_us);
        out.deliver(false);
        self.opened.notify_one();
    }

    /// Queues a message; with `count_for`, how many servers hear the channel is wanted for that request.
    pub fn send(&self, server: &Server, channel: &str, message: Result<Bytes, Malformed>, count_for: Option<String>) {
        match message {
            Ok(payload) => {
                self.add(server, Publication { channel: channel.to_owned(), payload: Some(payload), count_for })
            }
            Err(error) => {
                server.metrics.count(Count::AdapterUnsent);
                self.warn(server, "a message for the other servers cannot be written", &error.to_string());
            }
        }
    }

    fn add(&self, server: &Server, publication: Publication) {
        if !self.outgoing.add(publication) {
            server.metrics.count(Count::AdapterUnsent);
            self.warn(server, "a message for the other servers was dropped", "publishQueueBytes are used up");
        }
    }

    /// Somebody published what is no message. Whoever may do that must not fill the log.
    pub fn malformed(&self, server: &Server, channel: &str, error: Malformed) {
        server.metrics.count(Count::AdapterMalformed);
        let (last_us, now_us) = (self.malformed_us.load(Ordering::Relaxed), server.now_us());
        if last_us == 0 || now_us - last_us >= MALFORMED_EVERY_US {
            self.malformed_us.store(now_us, Ordering::Relaxed);
            self.warn(server, "a malformed message was ignored", &format!("{channel}: {error}"));
        }
    }

    /// Writes a warning to the log.
    pub fn warn(&self, server: &Server, what: &str, why: &str) {
        server.log(server.now_us(), Level::Warn, LogTarget::Adapter, what, |fields| fields.text("reason", why));
    }
}

/// The public id of the socket that a broadcast leaves out as its sender.
fn sender(server: &Server, target: &Target<'_>) -> Option<String> {
    if target.from == 0 {
        return None;
    }
    server.socket(target.from).ok().map(|socket| socket.sid.as_str().to_owned())
}
