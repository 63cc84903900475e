//! Messages of the other servers, as they come from the broker: carried out on this server's own sockets, or answered.

use std::sync::{Arc, Weak};

use super::broker::Heard;
use super::draft::{Answer, Beat, Body, Draft, ReturnAddress};
use super::format::msgpack::Malformed;
use super::format::{Incoming, Local, Role, open};
use super::message::{Message, Opts, names};
use super::node::Node;
use crate::proto::json;
use crate::queue::Outbox;
use crate::server::adapter::Asker;
use crate::server::{Count, Emission, Error, Namespace, Payload, Server, Target, write_remotes, write_strings};

/// How long clients have to acknowledge for a server that does not say; the official default for requests.
const ACKS_TIMEOUT_MS: u32 = 5000;
/// As deep as an event's arguments may be nested: what MessagePack is read to.
const DEPTH_MAX: u32 = 256;

/// What is at hand while a message is carried out.
struct Turn<'a> {
    node: &'a Arc<Node>,
    server: &'a Arc<Server>,
    local: &'a Arc<Local>,
    nsp: Arc<Namespace>,
    /// Who sent it, if that is told.
    from: Option<&'a str>,
    /// It came by what the broker keeps.
    stored: bool,
    out: Outbox,
}

/// Carries a message out.
pub fn receive(node: &Arc<Node>, server: &Arc<Server>, heard: &Heard<'_>) {
    let Some((local, role)) = node.local_of(heard) else { return };
    let Some(nsp) = server.namespace_by_name(&local.nsp) else { return };
    if node.format.room_of(&local, heard).is_some_and(|room| !nsp.has_room(room)) {
        return;
    }
    if let Err(error) = read(node, server, &local, role, nsp, heard) {
        node.malformed(server, heard.channel, &error);
    }
}

fn read(
    node: &Arc<Node>,
    server: &Arc<Server>,
    local: &Arc<Local>,
    role: Role,
    nsp: Arc<Namespace>,
    heard: &Heard<'_>,
) -> Result<(), Malformed> {
    // Much of what a server says comes back to it, and is mostly known by its looks.
    if heard.entry.is_some_and(|entry| entry.uid == local.uid) || local.marks.are_on(heard.bytes) {
        return Ok(());
    }
    let answered = node.format.answered(role, heard.bytes);
    if answered.is_some_and(|request| !node.requests.is_open(request)) {
        server.metrics.count(Count::AdapterStray);
        return Ok(());
    }
    let (text, attachments) = open(heard.bytes)?;
    let Some(Incoming { from, message }) = node.format.read(local, role, heard, &text)? else { return Ok(()) };
    let from = from.as_deref();
    if let Some(from) = from.filter(|_| node.format.heartbeat().is_some()) {
        local.peers.lock().heard(from, server.now_us());
    }
    let (stored, out) = (heard.entry.is_some(), Outbox::default());
    let mut turn = Turn { node, server, local, nsp, from, stored, out };
    let done = turn.carry_out(&message, &attachments);
    turn.out.deliver(false);
    done
}

impl Turn<'_> {
    fn carry_out(&mut self, message: &Message<'_>, attachments: &[&[u8]]) -> Result<(), Malformed> {
        match message {
            Message::Broadcast { request, data, opts } => {
                let request = request.as_deref();
                with_event(data, attachments, |_, emission| self.broadcast(request, opts, emission))
            }
            Message::Join { .. } | Message::Leave { .. } | Message::Disconnect { .. } => {
                self.change(message);
                Ok(())
            }
            Message::Fetch { request, opts } => {
                self.on(opts, |turn, target| {
                    turn.answer_list(request, "sockets", &|list| write_remotes(&turn.nsp, target, list));
                });
                Ok(())
            }
            Message::Ids { request, rooms } => {
                let (rooms, mut ids) = (Some(rooms.clone()), Vec::new());
                let target = Target { rooms: &names(&rooms), ..Target::default() };
                self.nsp.each(&target, |socket| ids.push(socket.sid));
                let write = |list: &mut Vec<u8>| write_strings(ids.iter().map(|sid| sid.as_str()), list);
                self.answer_list(request, "sockets", &write);
                Ok(())
            }
            Message::Rooms { request } => {
                let rooms = self.nsp.rooms();
                let write = |list: &mut Vec<u8>| write_strings(rooms.iter().map(|room| &**room), list);
                self.answer_list(request, "rooms", &write);
                Ok(())
            }
            Message::ServerEmit { request, data } => {
                let asker = request.as_deref().map(|request| self.asker(request, Reply::Server));
                with_event(data, attachments, |name, emission| {
                    if let Payload::Parts { args, .. } = emission.payload {
                        let asker = asker.map(|asker| Arc::new(asker) as Arc<dyn Asker>);
                        self.server.server_message(&self.nsp, name, args, attachments, asker, &mut self.out);
                    }
                })
            }
            Message::Beat(beat) => {
                self.beat(*beat);
                Ok(())
            }
            Message::Sockets { request, .. }
            | Message::ClientCount { request, .. }
            | Message::ClientAck { request, .. }
            | Message::ServerReply { request, .. }
            | Message::Other { request } => {
                let now_us = self.server.now_us();
                // The answers that others wait for come by here too, so that one for nobody is nothing to tell.
                if !self.node.requests.answered(request, self.from, message, attachments, &mut self.out, now_us) {
                    self.server.metrics.count(Count::AdapterStray);
                }
                Ok(())
            }
        }
    }

    /// Another server is there, or leaves.
    fn beat(&mut self, beat: Beat) {
        match (beat, self.from) {
            (Beat::First, _) => self.node.send(self.server, self.local, &Draft::Beat(Beat::Again)),
            (Beat::Last, Some(from)) => {
                self.local.peers.lock().gone(from);
                self.node.requests.gone(&self.local.nsp, from, &mut self.out, self.server.now_us());
            }
            (Beat::Again | Beat::Last, _) => {}
        }
    }

    /// Changes the sockets here that another server means.
    fn change(&mut self, message: &Message<'_>) {
        let done = match message {
            Message::Join { opts, rooms } => {
                let rooms: Vec<&str> = rooms.iter().map(|room| &*room.0).collect();
                self.on(opts, |turn, target| turn.server.sockets_join(turn.nsp.id, target, &rooms, &mut turn.out))
            }
            Message::Leave { opts, rooms } => {
                let rooms: Vec<&str> = rooms.iter().map(|room| &*room.0).collect();
                self.on(opts, |turn, target| turn.server.sockets_leave(turn.nsp.id, target, &rooms, &mut turn.out))
            }
            Message::Disconnect { opts, close } => {
                self.on(opts, |turn, target| turn.server.sockets_disconnect(turn.nsp.id, target, *close))
            }
            _ => Ok(()),
        };
        self.note(done);
    }

    /// Runs an operation on this server's part of a target.
    fn on<T>(&mut self, opts: &Opts, run: impl FnOnce(&mut Self, &Target<'_>) -> T) -> T {
        let (rooms, except) = (opts.rooms(), opts.except());
        run(self, &Target { from: 0, rooms: &rooms, except: &except, local: true })
    }

    fn broadcast(&mut self, request: Option<&str>, opts: &Opts, emission: &Emission<'_>) {
        let flags = opts.flags();
        let (volatile, compress) = (flags.volatile.unwrap_or(false), flags.compress.unwrap_or(true));
        let emission = Emission { volatile, compress, ..*emission };
        let Some(request) = request else {
            let done = self.on(opts, |turn, target| {
                turn.server.broadcast(turn.nsp.id, target, &emission, &mut turn.out).map(drop)
            });
            return self.note(done);
        };
        let timeout_ms = flags.timeout.map_or(ACKS_TIMEOUT_MS, |ms| ms as u32);
        let asker = Box::new(self.asker(request, Reply::Client));
        let count = self.on(opts, |turn, target| {
            let nsp = turn.nsp.clone();
            turn.server.broadcast_for(&nsp, target, &emission, timeout_ms, asker, &mut turn.out)
        });
        let count = count.unwrap_or_else(|error| {
            self.note(Err(error));
            0
        });
        self.answer(request, Answer::ClientCount(count));
    }

    fn return_address(&self, request: &str) -> ReturnAddress {
        ReturnAddress { request: request.into(), from: self.from.map(Box::from), stored: self.stored }
    }

    fn answer(&self, request: &str, answer: Answer<'_>) {
        let to = self.return_address(request);
        self.node.send(self.server, self.local, &Draft::Answer { to: &to, answer });
    }

    fn answer_list(&self, request: &str, name: &'static str, write: &dyn Fn(&mut Vec<u8>)) {
        self.answer(request, Answer::List { name, write });
    }

    fn asker(&self, request: &str, reply: Reply) -> Peer {
        let (node, local, to) = (self.node.clone(), self.local.clone(), self.return_address(request));
        Peer { node, server: Arc::downgrade(self.server), local, to, reply }
    }

    /// Says that an operation of another server failed here.
    fn note(&self, done: Result<(), Error>) {
        if let Err(error) = done {
            self.node.failed(self.server, &error.text);
        }
    }
}

/// Runs `run` with the event whose name and arguments `data` has.
fn with_event(data: &str, attachments: &[&[u8]], run: impl FnOnce(&str, &Emission<'_>)) -> Result<(), Malformed> {
    let event = json::split_event(data, DEPTH_MAX).map_err(|_| Malformed::Unexpected)?;
    let (mut name, mut args) = (Vec::new(), Vec::new());
    json::write_string(&event.name, &mut name);
    json::write_args(data, event.args, &mut args);
    let (Ok(name_json), Ok(args)) = (std::str::from_utf8(&name), std::str::from_utf8(&args)) else {
        return Err(Malformed::Unexpected);
    };
    let payload = Payload::Parts { name_json, args, attachments };
    run(&event.name, &Emission { payload, volatile: false, compress: true, ack_timeout_ms: None, wish: None });
    Ok(())
}

/// Whose answers a server waits for.
#[derive(Clone, Copy)]
enum Reply {
    /// Those of clients.
    Client,
    /// That of this server's host.
    Server,
}

/// A server that waits for answers.
struct Peer {
    node: Arc<Node>,
    server: Weak<Server>,
    local: Arc<Local>,
    to: ReturnAddress,
    reply: Reply,
}

impl Asker for Peer {
    fn answer(&self, args: &str, attachments: &[&[u8]]) {
        let Some(server) = self.server.upgrade() else { return };
        let json = json::get(args, "/0").ok().flatten().unwrap_or("null");
        let body = Body { json, attachments };
        let answer = match self.reply {
            Reply::Client => Answer::ClientAck(body),
            Reply::Server => Answer::ServerReply(body),
        };
        self.node.send(&server, &self.local, &Draft::Answer { to: &self.to, answer });
    }
}
