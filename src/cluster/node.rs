//! This server in a cluster: what the host does becomes messages for the others. What they say is carried out in `receive`.
//!
//! Nothing here waits: messages for the others go into a bounded queue, which the broker's task empties, and what comes is carried out by
//! the task that reads it. No lock is held while something is delivered.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::broker::{Heard, Medium, Subscription};
use super::draft::{Beat, Body, Draft, Whom};
use super::format::{Format, Local, Role, Written};
use super::outgoing::{Outgoing, Publication};
use super::requests::{Asked, Request, Requests};
use super::subscriptions::Subscriptions;
use crate::queue::Outbox;
use crate::server::adapter::{Operation, Question};
use crate::server::log::{Level, Target as LogTarget};
use crate::server::{BroadcastAck, Count, Emission, Namespace, RoomChange, RoomChanges, Server, Target};

/// What others can cause again and again is logged once in so many microseconds: a minute.
const WARN_EVERY_US: u64 = 60_000_000;

/// When a warning was last written, microseconds since the engine was made; 0 for never.
#[derive(Default)]
struct LastWarning(AtomicU64);

impl LastWarning {
    /// Whether it may be written again, which it then is.
    fn is_long_ago(&self, now_us: u64) -> bool {
        let last_us = self.0.load(Ordering::Relaxed);
        let is_due = last_us == 0 || now_us.saturating_sub(last_us) >= WARN_EVERY_US;
        if is_due {
            self.0.store(now_us.max(1), Ordering::Relaxed);
        }
        is_due
    }
}

/// What an adapter's options say of the protocol, whatever its format and broker.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// As the host named it.
    pub kind: &'static str,
    /// Patience for the answers of other servers.
    pub requests_timeout_ms: u32,
    /// Bytes that may wait for the broker.
    pub publish_queue_bytes: usize,
}

#[derive(Default)]
struct Locals {
    by_name: HashMap<Box<str>, Arc<Local>>,
    /// By the name of the subscription.
    by_channel: HashMap<String, (Arc<Local>, Role)>,
}

/// The shared state of the adapter.
pub struct Node {
    pub settings: Settings,
    pub format: Box<dyn Format>,
    pub outgoing: Outgoing,
    pub subscriptions: Subscriptions,
    pub requests: Requests,
    /// Told when a request or a namespace was opened, or the adapter is over.
    pub opened: Notify,
    malformed_warned: LastWarning,
    unsent_warned: LastWarning,
    failed_warned: LastWarning,
    /// The broker is reached.
    is_up: AtomicBool,
    locals: RwLock<Locals>,
}

impl Node {
    /// A server that has not been told of its namespaces.
    pub fn new(settings: Settings, format: Box<dyn Format>) -> Node {
        Node {
            outgoing: Outgoing::new(settings.publish_queue_bytes),
            settings,
            format,
            subscriptions: Subscriptions::default(),
            requests: Requests::default(),
            opened: Notify::new(),
            malformed_warned: LastWarning::default(),
            unsent_warned: LastWarning::default(),
            failed_warned: LastWarning::default(),
            is_up: AtomicBool::new(false),
            locals: RwLock::default(),
        }
    }

    /// Ends the adapter; the others are told.
    pub fn close(&self, server: &Server) {
        self.beat(server, Beat::Last);
        self.outgoing.close();
        self.opened.notify_one();
    }

    // ---- namespaces -------------------------------------------------------------------------------------------

    /// There is a namespace; its channels are subscribed soon.
    pub fn open(&self, server: &Server, name: &str) -> Arc<Local> {
        let local = {
            let mut locals = self.locals.write();
            if let Some(local) = locals.by_name.get(name) {
                return local.clone();
            }
            let local = Arc::new(Local::new(&*self.format, name, self.new_id()));
            for (subscription, role) in &local.channels.heard {
                locals.by_channel.insert(subscription.name.clone(), (local.clone(), *role));
                self.subscriptions.set(subscription.clone(), || true);
            }
            locals.by_name.insert(name.into(), local.clone());
            local
        };
        if self.format.heartbeat().is_some() {
            if self.is_up() {
                self.send(server, &local, &Draft::Beat(Beat::First));
            }
            self.opened.notify_one();
        }
        self.outgoing.wake.notify_one();
        local
    }

    /// There is no namespace of this name any more: the others are told, and its channels are not heard soon.
    pub fn shut(&self, server: &Server, name: &str) {
        let local = {
            let mut locals = self.locals.write();
            let Some(local) = locals.by_name.remove(name) else { return };
            // Streams are shared, and few: they are read on.
            for (subscription, _) in local.channels.heard.iter().filter(|(heard, _)| heard.medium != Medium::Stream) {
                locals.by_channel.remove(&subscription.name);
                self.subscriptions.set(subscription.clone(), || false);
            }
            local
        };
        if self.format.heartbeat().is_some() {
            self.send(server, &local, &Draft::Beat(Beat::Last));
        }
        self.outgoing.wake.notify_one();
    }

    fn local(&self, server: &Server, name: &str) -> Arc<Local> {
        let known = self.locals.read().by_name.get(name).cloned();
        known.unwrap_or_else(|| {
            let local = self.open(server, name);
            // It may have ended while this was on its way, and would not be shut again.
            server.unless_named(name, || self.shut(server, name));
            local
        })
    }

    fn all_locals(&self) -> Vec<Arc<Local>> {
        self.locals.read().by_name.values().cloned().collect()
    }

    /// Rooms have got their first member, or lost their last.
    pub fn rooms_changed(&self, server: &Server, nsp: &Namespace, changes: &RoomChanges) {
        let local = self.local(server, &nsp.name);
        let mut is_news = false;
        for (change, room) in changes {
            if matches!(change, RoomChange::Create | RoomChange::Delete)
                && let Some(channel) = self.format.room_channel(&local, room)
            {
                is_news |= self.subscriptions.set(Subscription::channel(channel), || nsp.has_room(room));
            }
        }
        if is_news {
            self.outgoing.wake.notify_one();
        }
    }

    /// Whose message this is, and what for.
    pub fn local_of(&self, heard: &Heard<'_>) -> Option<(Arc<Local>, Role)> {
        let locals = self.locals.read();
        if let Some(entry) = heard.entry {
            return locals.by_name.get(entry.nsp).map(|local| (local.clone(), Role::Request));
        }
        let exact = locals.by_channel.get(heard.subscribed);
        // The channel of a room begins with its namespace's, whose name ends with the same character.
        let mut starts = heard.subscribed.rmatch_indices('#').filter_map(|(at, _)| heard.subscribed.get(..=at));
        exact.or_else(|| starts.find_map(|start| locals.by_channel.get(start))).cloned()
    }

    /// A new id; without randomness, which the system always has by now, one that is merely unlikely.
    fn new_id(&self) -> String {
        let mut random = [0; 8];
        if getrandom::fill(&mut random).is_err() {
            random = (std::ptr::from_ref(self) as usize as u64).to_le_bytes();
        }
        self.format.spell_id(random)
    }

    // ---- heartbeats ---------------------------------------------------------------------------------------------

    /// The broker is reached, or lost. While it is not, no heartbeats are kept for it: they would be old ones, and there is no end of them.
    pub fn set_up(&self, server: &Server, is_up: bool) {
        self.is_up.store(is_up, Ordering::SeqCst);
        if is_up {
            // Whoever came or left while the broker was away has not been heard.
            self.beat(server, Beat::First);
        }
    }

    fn is_up(&self) -> bool {
        self.is_up.load(Ordering::SeqCst)
    }

    /// Tells the others of each namespace, in formats that have it.
    fn beat(&self, server: &Server, beat: Beat) {
        if self.format.heartbeat().is_some() {
            self.all_locals().iter().for_each(|local| self.send(server, local, &Draft::Beat(beat)));
        }
    }

    /// Does what heartbeats are due for; when the next is.
    pub fn keep_peers(&self, server: &Server, out: &mut Outbox, now_us: u64) -> Option<u64> {
        let heartbeat = self.format.heartbeat()?;
        let mut next_us = None;
        for local in self.all_locals() {
            let must_tell = local.peers.lock().must_tell(now_us);
            if must_tell && self.is_up() {
                self.send(server, &local, &Draft::Beat(Beat::Again));
            } else if must_tell {
                local.peers.lock().told(heartbeat, now_us);
            }
            let silent = local.peers.lock().expire(heartbeat, now_us);
            silent.iter().for_each(|uid| self.requests.gone(&local.nsp, uid, out, now_us));
            let due_us = local.peers.lock().next_us(heartbeat);
            next_us = Some(next_us.map_or(due_us, |us: u64| us.min(due_us)));
        }
        next_us
    }

    // ---- what the host does -------------------------------------------------------------------------------------

    /// Tells the others.
    pub fn publish(&self, server: &Server, nsp: &Namespace, target: &Target<'_>, operation: &Operation<'_>) {
        let local = self.local(server, &nsp.name);
        with_whom(server, target, |whom| match *operation {
            Operation::Broadcast(emission) => {
                let (json, attachments) = emission.payload.data(&nsp.name);
                let event = Body { json: &json, attachments: &attachments };
                let whom = Whom { volatile: emission.volatile, compress: emission.compress, ..whom };
                self.send(server, &local, &Draft::Broadcast { request: None, event, whom });
            }
            Operation::Join(rooms) => self.send(server, &local, &Draft::Join { whom, rooms }),
            Operation::Leave(rooms) => self.send(server, &local, &Draft::Leave { whom, rooms }),
            Operation::Disconnect { close } => self.send(server, &local, &Draft::Disconnect { whom, close }),
        });
    }

    /// Emits to the other servers.
    pub fn emit(&self, server: &Server, nsp: &Namespace, emission: &Emission<'_>) {
        let (json, attachments) = emission.payload.data(&nsp.name);
        let event = Body { json: &json, attachments: &attachments };
        self.send(server, &self.local(server, &nsp.name), &Draft::ServerEmit { request: None, event });
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
        let (json, attachments) = emission.payload.data(&broadcast.nsp.name);
        let event = Body { json: &json, attachments: &attachments };
        let id = self.new_id();
        with_whom(server, target, |whom| {
            let (volatile, compress) = (emission.volatile, emission.compress);
            let whom = Whom { volatile, compress, timeout_ms: Some(timeout_ms), ..whom };
            let request = Request::new(&broadcast.nsp, broadcast.token, Asked::Acks(broadcast.clone()), timeout_ms);
            self.request(server, &id, request, Some(&Draft::Broadcast { request: Some(&id), event, whom }));
        });
    }

    /// Asks the other servers.
    pub fn ask(&self, server: &Server, nsp: &Arc<Namespace>, question: Question<'_>, token: u64) {
        let (id, timeout_ms) = (self.new_id(), self.settings.requests_timeout_ms);
        match question {
            Question::Count => self.request(server, &id, Request::new(nsp, token, Asked::Count, timeout_ms), None),
            Question::Fetch { target, mut sockets } => {
                // Others' sockets are added before its last bracket.
                sockets.pop();
                let request = Request::new(nsp, token, Asked::Sockets(sockets), timeout_ms);
                with_whom(server, target, |whom| {
                    self.request(server, &id, request, Some(&Draft::Fetch { request: &id, whom }));
                });
            }
            Question::Emit { emission } => {
                let (json, attachments) = emission.payload.data(&nsp.name);
                let event = Body { json: &json, attachments: &attachments };
                let timeout_ms = emission.ack_timeout_ms.filter(|ms| *ms > 0).unwrap_or(timeout_ms);
                let request = Request::new(nsp, token, Asked::Replies(Arc::default()), timeout_ms);
                self.request(server, &id, request, Some(&Draft::ServerEmit { request: Some(&id), event }));
            }
        }
    }

    /// Opens a request and asks: those that are known by their heartbeats, or as many as the broker counts.
    fn request(&self, server: &Server, id: &str, mut request: Request, draft: Option<&Draft<'_>>) {
        let local = self.local(server, &request.nsp.name);
        let (mut out, now_us) = (Outbox::default(), server.now_us());
        let awaited = self.format.heartbeat().map(|_| local.peers.lock().uids().map(Box::from).collect());
        let others = awaited.as_ref().map(HashSet::len);
        request.start(awaited, now_us);
        self.requests.add(id, request, &mut out, now_us);
        let count_for = others.is_none().then(|| id.to_owned());
        match draft.map(|draft| self.write(server, &local, draft)) {
            // What cannot be written is not asked, and ends when its time is over.
            Some(None) => {}
            Some(message) => self.add(server, Publication { local, message, count_for }),
            None if count_for.is_some() => self.add(server, Publication { local, message: None, count_for }),
            None => {}
        }
        if let Some(others) = others {
            self.requests.counted(id, others + 1, &mut out, now_us);
        }
        out.deliver(false);
        self.opened.notify_one();
    }

    /// Queues a message.
    pub fn send(&self, server: &Server, local: &Arc<Local>, draft: &Draft<'_>) {
        if let Some(message) = self.write(server, local, draft) {
            self.add(server, Publication { local: local.clone(), message: Some(message), count_for: None });
        }
    }

    fn write(&self, server: &Server, local: &Local, draft: &Draft<'_>) -> Option<Written> {
        if draft.is_heard_by_all()
            && let Some(heartbeat) = self.format.heartbeat()
        {
            local.peers.lock().told(heartbeat, server.now_us());
        }
        let written = self.format.write(local, draft);
        written.inspect_err(|error| self.unsent(server, 1, &format!("{}: {error}", local.nsp))).ok()
    }

    fn add(&self, server: &Server, publication: Publication) {
        if !self.outgoing.add(publication) {
            self.unsent(server, 1, "publishQueueBytes are used up");
        }
    }

    // ---- the log ------------------------------------------------------------------------------------------------

    /// Somebody published what is no message. Whoever may do that must not fill the log.
    pub fn malformed(&self, server: &Server, channel: &str, error: &dyn Display) {
        server.metrics.count(Count::AdapterMalformed);
        if self.malformed_warned.is_long_ago(server.now_us()) {
            self.warn(server, "a malformed message was ignored", &format!("{channel}: {error}"));
        }
    }

    /// Messages for the others were dropped.
    pub fn unsent(&self, server: &Server, messages: u64, reason: &str) {
        server.metrics.add(Count::AdapterUnsent, messages);
        if self.unsent_warned.is_long_ago(server.now_us()) {
            self.warn(server, "messages for the other servers were dropped", reason);
        }
    }

    /// Something that another server wanted failed here. It may want that again and again.
    pub fn failed(&self, server: &Server, error: &str) {
        if self.failed_warned.is_long_ago(server.now_us()) {
            self.warn(server, "an operation of another server failed here", error);
        }
    }

    /// Writes a warning to the log.
    pub fn warn(&self, server: &Server, what: &str, why: &str) {
        server.log(server.now_us(), Level::Warn, LogTarget::Adapter, what, |fields| fields.text("reason", why));
    }
}

/// Runs `run` with what the others are told of a target: the socket that is left out is a room to them.
fn with_whom(server: &Server, target: &Target<'_>, run: impl FnOnce(Whom<'_>)) {
    let from = match target.from {
        0 => None,
        from => server.socket(from).ok().map(|socket| socket.sid.as_str().to_owned()),
    };
    let except: Vec<&str> = target.except.iter().copied().chain(from.as_deref()).collect();
    run(Whom { rooms: target.rooms, except: &except, volatile: false, compress: true, timeout_ms: None });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::format::classic::Classic;
    use crate::cluster::format::msgpack::Malformed;
    use crate::cluster::format::{Channels, Incoming};
    use crate::cluster::peers::Heartbeat;
    use crate::cluster::subscriptions::Change;
    use crate::server::Config;

    fn node() -> (Server, Node) {
        node_with(Box::new(Classic::default()))
    }

    fn node_with(format: Box<dyn Format>) -> (Server, Node) {
        let settings = Settings { kind: "test", requests_timeout_ms: 1000, publish_queue_bytes: 1000 };
        (Server::new(Config::of_a_test()), Node::new(settings, format))
    }

    /// A format with heartbeats and nothing else.
    struct Beating;

    impl Format for Beating {
        fn spell_id(&self, _random: [u8; 8]) -> String {
            String::new()
        }
        fn channels(&self, _nsp: &str, _uid: &str) -> Channels {
            Channels::default()
        }
        fn heartbeat(&self) -> Option<Heartbeat> {
            Some(Heartbeat { interval_ms: 5, timeout_ms: 10 })
        }
        fn write(&self, _local: &Local, _draft: &Draft<'_>) -> Result<Written, Malformed> {
            Ok(Written { channel: String::new(), payload: Vec::new(), kind: 0, stored: false })
        }
        fn read<'a>(
            &self,
            _local: &Local,
            _role: Role,
            _heard: &Heard<'a>,
            _text: &'a str,
        ) -> Result<Option<Incoming<'a>>, Malformed> {
            Ok(None)
        }
    }

    #[test]
    fn no_heartbeats_wait_for_a_broker_that_is_not_there() {
        let (server, node) = node_with(Box::new(Beating));
        let beats_in = |from_ms: u64, to_ms: u64| {
            let mut out = Outbox::default();
            for ms in from_ms..to_ms {
                assert!(node.keep_peers(&server, &mut out, server.now_us() + ms * 1000).is_some());
            }
            node.outgoing.take(9999).len()
        };
        node.open(&server, "/");
        assert_eq!(beats_in(0, 1000), 0);
        node.set_up(&server, true);
        node.open(&server, "/a");
        assert_eq!(node.outgoing.take(9).len(), 2);
        assert!(beats_in(1000, 1001) > 0);
        node.set_up(&server, false);
        assert_eq!(beats_in(2000, 3000), 0);
    }

    #[test]
    fn a_namespace_that_has_ended_is_heard_no_more() {
        let (server, node) = node();
        let root = node.open(&server, "/");
        let first = node.open(&server, "/a");
        assert_eq!(node.subscriptions.take(99).len(), 8);
        node.shut(&server, "/a");
        node.shut(&server, "/a");
        let wanted: Vec<Change> =
            first.channels.heard.iter().map(|(subscription, _)| Change::Unsubscribe(subscription.clone())).collect();
        assert_eq!(node.subscriptions.take(99), wanted);
        assert_eq!(node.locals.read().by_channel.len(), root.channels.heard.len());
        assert!(node.open(&server, "/a").uid != first.uid && node.subscriptions.take(99).len() == 4);
    }

    #[test]
    fn what_is_late_for_a_namespace_that_has_ended_leaves_nothing_behind() {
        let (server, node) = node();
        node.local(&server, "/");
        assert_eq!(node.local(&server, "/gone").nsp.as_ref(), "/gone");
        assert_eq!(node.all_locals().len(), 1);
        assert_eq!(node.subscriptions.take(99).len(), 4);
    }
}
