//! Messages of the other servers, as they come from the broker: carried out on this server's own sockets, or answered.

use std::sync::Arc;

use super::classic;
use super::message::{Message, Opts, names};
use super::msgpack::Malformed;
use super::node::{Local, Node, Role};
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
    /// Where answers go.
    answers: String,
    out: Outbox,
}

/// Carries a message out. `subscribed` is the channel, or the pattern that `channel` matches.
pub fn receive(node: &Arc<Node>, server: &Arc<Server>, subscribed: &str, channel: &str, bytes: &[u8]) {
    let Some((local, role)) = node.local_of(subscribed) else { return };
    let Some(nsp) = server.namespace_by_name(&local.nsp) else { return };
    let answers = local.channels.response.clone();
    let mut turn = Turn { node, server, local: &local, nsp, answers, out: Outbox::default() };
    if let Err(error) = turn.message(role, channel, bytes) {
        node.malformed(server, channel, error);
    }
    turn.out.deliver(false);
}

impl Turn<'_> {
    fn message(&mut self, role: Role, channel: &str, bytes: &[u8]) -> Result<(), Malformed> {
        if role == Role::Broadcast {
            let Some(room) = self.local.channels.room_of(channel) else { return Ok(()) };
            if !room.is_empty() && !self.nsp.has_room(room) {
                return Ok(());
            }
        }
        let (text, attachments) = classic::open(bytes)?;
        let uid = &self.local.uid;
        let message = match role {
            Role::Broadcast => classic::read_broadcast(&text, uid, &self.local.nsp)?,
            Role::Request => {
                let Some((from, message)) = classic::read_request(&text, uid)? else { return Ok(()) };
                if self.node.options.publish_on_specific_response_channel {
                    self.answers = self.local.channels.response_of(from.as_deref());
                }
                Some(message)
            }
            Role::Response => Some(classic::read_response(&text)?),
        };
        match message {
            Some(message) => self.carry_out(&message, &attachments),
            None => Ok(()),
        }
    }

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
                let mut list = Vec::new();
                self.on(opts, |turn, target| write_remotes(&turn.nsp, target, &mut list));
                self.answer_list(request, "sockets", &list)
            }
            Message::Ids { request, rooms } => {
                let (rooms, mut ids) = (Some(rooms.clone()), Vec::new());
                let target = Target { rooms: &names(&rooms), ..Target::default() };
                self.nsp.each(&target, |socket| ids.push(socket.sid));
                let mut list = Vec::new();
                write_strings(ids.iter().map(|sid| sid.as_str()), &mut list);
                self.answer_list(request, "sockets", &list)
            }
            Message::Rooms { request } => {
                let mut list = Vec::new();
                write_strings(self.nsp.rooms().iter().map(|room| &**room), &mut list);
                self.answer_list(request, "rooms", &list)
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
            Message::Sockets { request, .. }
            | Message::ClientCount { request, .. }
            | Message::ClientAck { request, .. }
            | Message::ServerReply { request, .. }
            | Message::Other { request } => {
                let now_us = self.server.now_us();
                // The answers that others wait for come by here too, so that one for nobody is nothing to tell.
                if !self.node.requests.answered(request, message, attachments, &mut self.out, now_us) {
                    self.server.metrics.count(Count::AdapterStray);
                }
                Ok(())
            }
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
        self.node.send(self.server, &self.answers, classic::client_count(request, count), None);
    }

    fn answer_list(&self, request: &str, name: &str, list: &[u8]) -> Result<(), Malformed> {
        let list = std::str::from_utf8(list).map_err(|_| Malformed::Unexpected)?;
        self.node.send(self.server, &self.answers, classic::list(request, name, list), None);
        Ok(())
    }

    fn asker(&self, request: &str, reply: Reply) -> Peer {
        let server = Arc::downgrade(self.server);
        // The official adapter sends the replies of servers on the common channel whatever the option says.
        let channel = match reply {
            Reply::Client => self.answers.clone(),
            Reply::Server => self.local.channels.response.clone(),
        };
        Peer { node: self.node.clone(), server, channel, request: request.into(), reply }
    }

    /// Says that an operation of another server failed here.
    fn note(&self, done: Result<(), Error>) {
        if let Err(error) = done {
            self.node.warn(self.server, "an operation of another server failed here", &error.text);
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
    server: std::sync::Weak<Server>,
    channel: String,
    request: Box<str>,
    reply: Reply,
}

impl Asker for Peer {
    fn answer(&self, args: &str, attachments: &[&[u8]]) {
        let Some(server) = self.server.upgrade() else { return };
        let first = json::get(args, "/0").ok().flatten().unwrap_or("null");
        let message = match self.reply {
            Reply::Client => classic::client_ack(&self.request, first, attachments),
            Reply::Server => classic::server_reply(&self.request, first, attachments),
        };
        self.node.send(&server, &self.channel, message, None);
    }
}
