//! The Socket.IO side of one session, as its shard drives it: packets in, events and answers out.
//!
//! Each violation of the protocol ends the connection, as in the official server; nothing else notices.

#[cfg(test)]
mod races;

use std::sync::Arc;

use super::acks::{Awaited, partial_flag};
use super::atoms::AtomCache;
use super::budget::Level;
use super::client::Client;
use super::command::Command;
use super::event::*;
use super::joined::Joined;
use super::limits::Limits;
use super::log;
use super::meter::{Meter, Tally};
use super::metrics::Count;
use super::namespace::Namespace;
use super::namespaces::Resolved;
use super::push_room_changes;
use super::reason::{Cause, Reason};
use super::request::{Decision, Request};
use super::root::{Server, owed_token};
use super::slots::slot_of;
use super::socket::{Socket, State};
use crate::proto::ack_id::AckId;
use crate::proto::binary::{NO_DEADLINE, Reconstructor};
use crate::proto::json;
use crate::proto::socket_packet::{self, DecodeError, Packet};
use crate::queue::{Event, Outbox, Queue};

/// Attachments of a packet whose list needs no memory of its own.
const FEW_ATTACHMENTS: usize = 4;

/// A time that never comes.
pub const NEVER: u64 = NO_DEADLINE;

/// What the functions of a turn share.
pub struct Context<'a> {
    pub server: &'a Arc<Server>,
    pub out: &'a mut Outbox,
    pub atoms: &'a mut AtomCache,
    pub now_us: u64,
}

/// The sockets of one session, and what is between its packets.
pub struct Connection {
    client: Arc<Client>,
    sockets: Joined,
    /// Decisions that the host owes this connection.
    waiting: Vec<u64>,
    reconstructor: Reconstructor,
    /// When the session ends unless it has joined a namespace, in milliseconds since the engine was made.
    pub connect_deadline_ms: u64,
}

impl Connection {
    /// A session that has just opened.
    pub fn new(cx: &mut Context<'_>, client: Arc<Client>) -> Connection {
        let config = &cx.server.config;
        let connect_deadline_ms = cx.now_us / 1000 + u64::from(config.connect_timeout_ms);
        let mut connection = Connection {
            client,
            sockets: Joined::default(),
            waiting: Vec::new(),
            reconstructor: Reconstructor::default(),
            connect_deadline_ms,
        };
        if config.engine_only {
            connection.open_bare(cx);
        }
        connection
    }

    /// A bare Engine.IO session is one socket of `/` from the start.
    fn open_bare(&mut self, cx: &mut Context<'_>) {
        self.connect_deadline_ms = NEVER;
        let root = cx.server.root();
        root.occupy();
        if let Some(socket) = cx.server.new_socket(&root, &self.client, None)
            && socket.advance(State::Pending, State::Connected)
        {
            self.joined(cx, &socket);
            self.sockets.add(socket);
        } else {
            root.vacate();
        }
    }

    /// A text message.
    pub fn text(&mut self, cx: &mut Context<'_>, text: &str) -> Result<(), Cause> {
        if cx.server.config.engine_only {
            self.bare(cx, text, &[]);
            return Ok(());
        }
        match self.reconstructor.take_text(text, &cx.server.packet_limits) {
            Ok(Some(packet)) => self.packet(cx, packet, &[]),
            Ok(None) => {
                self.await_attachments(cx);
                Ok(())
            }
            Err(error) => Err(malformed(&cx.server.config.limits, error)),
        }
    }

    /// A binary message.
    pub fn binary(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Result<(), Cause> {
        if cx.server.config.engine_only {
            self.bare(cx, "", &[data]);
            return Ok(());
        }
        let complete = match self.reconstructor.accept(data) {
            Ok(Some(complete)) => complete,
            Ok(None) => return Ok(()),
            Err(error) => return Err(malformed(&cx.server.config.limits, error)),
        };
        let mut few = [&[][..]; FEW_ATTACHMENTS];
        let attachments = complete.attachments();
        let count = attachments.len();
        let taken = match few.get_mut(..count) {
            Some(few) => {
                few.iter_mut().zip(attachments).for_each(|(to, from)| *to = from);
                self.packet(cx, complete.packet(), few)
            }
            None => self.packet(cx, complete.packet(), &attachments.collect::<Vec<_>>()),
        };
        complete.recycle();
        taken
    }

    /// Attachments are to come, and have their time from now on.
    pub fn await_attachments(&mut self, cx: &Context<'_>) {
        self.reconstructor.set_deadline(cx.now_us / 1000 + cx.server.config.limits.attachments_time_ms);
    }

    /// When attachments are due that are to come, in milliseconds since the engine was made; [`NEVER`] if none are.
    pub fn attachments_deadline_ms(&self) -> u64 {
        self.reconstructor.deadline()
    }

    fn bare(&self, cx: &mut Context<'_>, data: &str, attachments: &[&[u8]]) {
        let Some(socket) = self.sockets.iter().next() else { return };
        let flags = if attachments.is_empty() { 0 } else { FLAG_BINARY };
        let event = Event { flags, data, attachments, ..event_of(EVENT_MESSAGE, socket, cx.now_us) };
        cx.out.push(&socket.nsp.queue, &event);
    }

    fn packet(&mut self, cx: &mut Context<'_>, packet: Packet<'_>, attachments: &[&[u8]]) -> Result<(), Cause> {
        match packet {
            Packet::Connect { nsp, auth } => self.connect(cx, nsp, auth),
            Packet::Disconnect { nsp } => {
                let socket = self.joined_socket(nsp)?.clone();
                self.leave(cx, &socket, &Cause::new(Reason::ClientNamespaceDisconnect));
                Ok(())
            }
            Packet::Event { nsp, id, event, json, .. } => {
                let socket = self.joined_socket(nsp)?;
                message(cx, socket, id, event.as_ref(), json, attachments)
            }
            Packet::Ack { nsp, id, args, json, .. } => {
                let socket = self.joined_socket(nsp)?;
                if let Some(awaited) = id.and_then(AckId::exact).and_then(|id| socket.take_awaited(id)) {
                    self.meter().add(Tally::AcksSettled, 1);
                    acknowledged(cx, socket, &awaited, attachments, |out| json::write_args(json, args, out));
                }
                Ok(())
            }
            Packet::ConnectError { .. } => Err(violation("CONNECT_ERROR from a client")),
        }
    }

    /// The socket in a namespace.
    #[cfg(test)]
    pub fn socket_in(&self, nsp: &str) -> Option<&Arc<Socket>> {
        self.sockets.find(nsp)
    }

    fn joined_socket(&self, nsp: &str) -> Result<&Arc<Socket>, Cause> {
        let found = self.sockets.find(nsp).filter(|socket| socket.state() != State::Pending);
        found.ok_or_else(|| violation("packet for a namespace that the client has not joined"))
    }

    fn connect(&mut self, cx: &mut Context<'_>, nsp: &str, auth: Option<&str>) -> Result<(), Cause> {
        if let Some(known) = self.sockets.find(nsp).cloned() {
            if known.state() != State::Leaving {
                return Err(violation("CONNECT for a namespace that the client has joined"));
            }
            // The client was told that the host disconnected it, and is faster than the host's command for this shard.
            self.leave_by_host(cx, &known);
        }
        if self.namespaces() as u64 >= cx.server.config.limits.namespaces_max {
            self.refuse_one_more(cx, nsp, "namespacesMax", cx.server.config.limits.namespaces_max);
            return Ok(());
        }
        match cx.server.resolve(nsp, cx.out, cx.now_us) {
            Resolved::Namespace(namespace) => self.enter(cx, &namespace, auth),
            Resolved::Ask(parent) => self.ask_for_namespace(cx, parent, nsp, auth),
            Resolved::Unknown => self.refuse(nsp, Some("Invalid namespace"), None),
        }
        Ok(())
    }

    /// How many namespaces the session is in or waits for.
    fn namespaces(&self) -> usize {
        let undecided = self.sockets.iter().filter(|socket| socket.state() == State::Pending).count();
        // A decision about a socket stands for one of the sockets, one about a namespace for one that is still to be made.
        self.sockets.len() + self.waiting.len().saturating_sub(undecided)
    }

    /// Refuses a CONNECT that the host would have to decide, if it owes too many decisions already; whether it was refused.
    fn must_not_ask(&self, cx: &Context<'_>, nsp: &str) -> bool {
        let max = cx.server.config.limits.namespaces_pending_max;
        let full = self.waiting.len() as u64 >= max;
        if full {
            self.refuse_one_more(cx, nsp, "namespacesPendingMax", max);
        }
        full
    }

    /// The official server has no such limits. A client that passes ours keeps what it has joined, and is told as it is of a namespace
    /// that does not exist.
    fn refuse_one_more(&self, cx: &Context<'_>, nsp: &str, limit: &str, value: u64) {
        cx.server.metrics.count(Count::NamespacesRefused);
        cx.server.log(cx.now_us, log::Level::Warn, log::Target::Limit, "a limit was passed", |fields| {
            fields.text("what", Count::NamespacesRefused.label()).id("session", self.client.id)
        });
        let data = format!("{{\"limit\":\"{limit}\",\"value\":{value}}}");
        self.refuse(nsp, Some("Too many namespaces"), Some(&data));
    }

    fn ask_for_namespace(&mut self, cx: &mut Context<'_>, parent: Arc<Namespace>, nsp: &str, auth: Option<&str>) {
        if self.must_not_ask(cx, nsp) {
            return;
        }
        let request = Request::Namespace {
            client: self.client.clone(),
            parent: parent.clone(),
            name: nsp.into(),
            auth: auth.map(Into::into),
        };
        let Some(token) = self.ask(cx, request) else { return self.refuse(nsp, Some("Invalid namespace"), None) };
        let data = auth.unwrap_or("{}");
        let event = Event {
            kind: EVENT_NAMESPACE_REQUEST,
            nsp: parent.id,
            token,
            name: nsp,
            data,
            time_us: cx.now_us,
            ..Event::default()
        };
        cx.out.push(&parent.queue, &event);
    }

    fn ask(&mut self, cx: &mut Context<'_>, request: Request) -> Option<u64> {
        let token = cx.server.ask(request, &self.client.mailbox, cx.now_us / 1000)?;
        self.waiting.push(token);
        Some(token)
    }

    /// Makes a socket for a namespace that exists and is kept for it, and admits it or asks the host.
    fn enter(&mut self, cx: &mut Context<'_>, namespace: &Arc<Namespace>, auth: Option<&str>) {
        if namespace.flags.authorize && self.must_not_ask(cx, &namespace.name) {
            return cx.server.vacate(namespace, cx.out, cx.now_us);
        }
        let Some(socket) = cx.server.new_socket(namespace, &self.client, auth.map(Into::into)) else {
            self.refuse(&namespace.name, Some("Server is full"), None);
            return cx.server.vacate(namespace, cx.out, cx.now_us);
        };
        self.sockets.add(socket.clone());
        if !namespace.flags.authorize {
            return self.admit(cx, &socket);
        }
        match self.ask(cx, Request::Socket(socket.clone())) {
            Some(token) => {
                let data = auth.unwrap_or("{}");
                let event = Event { token, data, ..event_of(EVENT_AUTHORIZE, &socket, cx.now_us) };
                cx.out.push(&namespace.queue, &event);
            }
            None => self.turn_away(cx, &socket, Some("Server is full"), None),
        }
    }

    /// The host decided.
    pub fn decided(&mut self, cx: &mut Context<'_>, token: u64, request: Request, decision: Decision) {
        self.waiting.retain(|known| *known != token);
        match (request, decision) {
            (Request::Socket(socket), Decision::Accept { user, .. }) => {
                socket.set_user(user);
                self.admit(cx, &socket);
            }
            (Request::Socket(socket), Decision::Reject { message, data }) => {
                self.turn_away(cx, &socket, message.as_deref(), data.as_deref());
            }
            (Request::Socket(socket), Decision::Expired) => self.turn_away(cx, &socket, Some("connect timeout"), None),
            (Request::Namespace { parent, name, auth, .. }, Decision::Accept { .. }) => {
                if self.sockets.find(&name).is_some() {
                    return;
                }
                match cx.server.child(&parent, &name, cx.out, cx.now_us) {
                    Some(namespace) => self.enter(cx, &namespace, auth.as_deref()),
                    None => self.refuse(&name, Some("Invalid namespace"), None),
                }
            }
            (Request::Namespace { name, .. }, _) => self.refuse(&name, Some("Invalid namespace"), None),
            // These are a shard's own.
            (Request::Handshake { .. } | Request::Http { .. } | Request::Reply(_), _)
            | (_, Decision::Answer { .. }) => {}
        }
    }

    fn admit(&mut self, cx: &mut Context<'_>, socket: &Arc<Socket>) {
        // Before broadcasts can find it: no event comes before the answer to CONNECT.
        let mut packet = vec![b'4'];
        socket_packet::write_connect(&socket.nsp.name, socket.sid.as_str(), None, &mut packet);
        let admitted = socket.admit(|early| {
            self.client.send(|out| {
                let (Ok(()) | Err(_)) = out.text(&packet);
                early.queue(out);
            });
        });
        if admitted {
            self.connect_deadline_ms = NEVER;
            self.joined(cx, socket);
        }
    }

    fn joined(&self, cx: &mut Context<'_>, socket: &Arc<Socket>) {
        socket.nsp.add(socket);
        self.meter().add(Tally::SocketsConnected, 1);
        if socket.nsp.flags.room_events || cx.server.adapter().is_some() {
            use super::namespace::RoomChange::{Create, Join};
            let own: Arc<str> = socket.sid.as_str().into();
            let changes = vec![(Create, own.clone()), (Join, own)];
            push_room_changes(cx.server, socket, &changes, cx.out, cx.now_us);
        }
        cx.server.log(cx.now_us, log::Level::Debug, log::Target::Socket, "connected", |fields| {
            fields.text("socket", socket.sid.as_str()).text("namespace", &socket.nsp.name).id("session", self.client.id)
        });
        let data = socket.auth.as_deref().unwrap_or("{}");
        cx.out.push(&socket.nsp.queue, &Event { data, ..event_of(EVENT_CONNECT, socket, cx.now_us) });
    }

    fn turn_away(&mut self, cx: &mut Context<'_>, socket: &Arc<Socket>, message: Option<&str>, data: Option<&str>) {
        self.refuse(&socket.nsp.name, message, data);
        self.forget(cx, socket);
    }

    fn meter(&self) -> &Meter {
        &self.client.mailbox.meter
    }

    fn refuse(&self, nsp: &str, message: Option<&str>, data: Option<&str>) {
        self.meter().add(Tally::ConnectsRefused, 1);
        let mut packet = vec![b'4'];
        socket_packet::write_connect_error(nsp, message, data, &mut packet);
        send_text(&self.client, &packet);
    }

    /// The host disconnected a socket.
    pub fn leave_by_host(&mut self, cx: &mut Context<'_>, socket: &Arc<Socket>) {
        self.leave(cx, socket, &Cause::new(Reason::ServerNamespaceDisconnect));
    }

    /// The host ends the connection: every namespace gets a DISCONNECT packet.
    pub fn disconnect_all(&mut self, cx: &mut Context<'_>) {
        for socket in self.sockets.iter().cloned().collect::<Vec<_>>() {
            socket.begin_leaving(|| send_disconnect(&socket));
            self.leave(cx, &socket, &Cause::new(Reason::ServerNamespaceDisconnect));
        }
    }

    /// The session is over.
    pub fn closed(&mut self, cx: &mut Context<'_>, cause: &Cause) {
        for socket in self.sockets.take() {
            self.leave(cx, &socket, cause);
        }
        for token in self.waiting.drain(..) {
            cx.server.withdraw(token, cause.reason.text(), cx);
        }
    }

    /// The transport changed.
    pub fn upgraded(&self, cx: &mut Context<'_>) {
        for socket in self.sockets.iter().filter(|socket| socket.state() == State::Connected) {
            let name = self.client.transport().name();
            cx.out.push(&socket.nsp.queue, &Event { name, ..event_of(EVENT_UPGRADE, socket, cx.now_us) });
        }
    }

    /// So much waits for the client that the host is told, or so little again.
    pub fn outbound_level(&self, cx: &mut Context<'_>, kind: u32, level: Level) {
        let data = format!("{{\"bytes\":{},\"packets\":{}}}", level.bytes, level.packets);
        for socket in self.sockets.iter().filter(|socket| socket.state() == State::Connected) {
            cx.out.push(&socket.nsp.queue, &Event { data: &data, ..event_of(kind, socket, cx.now_us) });
        }
    }

    /// Whether a queue that this connection's events go to is full; `default` is the engine's.
    pub fn is_stalled(&self, default: &Queue) -> bool {
        self.sockets.is_stalled(default)
    }

    fn leave(&mut self, cx: &mut Context<'_>, socket: &Arc<Socket>, cause: &Cause) {
        match socket.state() {
            State::Pending => return self.forget(cx, socket),
            // It left by itself before the host's command came.
            State::Gone => return,
            State::Connected | State::Leaving => {}
        }
        let queue = &socket.nsp.queue;
        let rooms = socket.rooms();
        let (name, status) = (cause.reason.text(), cause.reason as i32);
        let event = Event { name, status, ..event_of(EVENT_DISCONNECTING, socket, cx.now_us) };
        cx.out.push_with(queue, &event, |out| cause.write_json(Some(&rooms), out));
        self.forget(cx, socket);
        Meter::count_in(&self.meter().disconnects, cause.reason as usize);
        cx.server.log(cx.now_us, log::Level::Debug, log::Target::Socket, "left", |fields| {
            fields.text("socket", socket.sid.as_str()).text("namespace", &socket.nsp.name).text("reason", name)
        });
        let event = Event { name, status, ..event_of(EVENT_DISCONNECT, socket, cx.now_us) };
        cx.out.push_with(queue, &event, |out| cause.write_json(None, out));
    }

    /// Takes a socket out of every table; nothing is acknowledged any more.
    fn forget(&mut self, cx: &mut Context<'_>, socket: &Arc<Socket>) {
        socket.end();
        self.meter().add(Tally::AcksAbandoned, socket.abandon_owed() as u64);
        let (_, changes) = socket.nsp.remove(socket);
        push_room_changes(cx.server, socket, &changes, cx.out, cx.now_us);
        self.sockets.remove(socket);
        cx.server.forget_socket(socket.id);
        let unsettled = socket.take_all_awaited();
        self.meter().add(Tally::AcksSettled, unsettled.len() as u64);
        let status = if cx.server.is_open() { STATUS_GONE } else { STATUS_CLOSED };
        for awaited in unsettled {
            if let Awaited::One(token) = awaited {
                let event = Event { token, status, ..event_of(EVENT_ACK, socket, cx.now_us) };
                cx.out.push(&socket.nsp.queue, &event);
            }
        }
        self.vacate(cx, &socket.nsp);
    }

    /// A namespace that may end with its last socket is left when the host has been told of that socket's end.
    fn vacate(&self, cx: &mut Context<'_>, namespace: &Arc<Namespace>) {
        if cx.server.config.cleanup_empty_children && namespace.is_dynamic() {
            self.client.mailbox.send(Command::Vacate(namespace.clone()));
        } else {
            namespace.vacate();
        }
    }
}

/// An event about a socket.
pub fn event_of(kind: u32, socket: &Socket, time_us: u64) -> Event<'static> {
    Event { kind, nsp: socket.nsp.id, socket: socket.id, user: socket.user(), time_us, ..Event::default() }
}

/// Queues a DISCONNECT packet.
pub fn send_disconnect(socket: &Socket) {
    let mut packet = vec![b'4'];
    socket_packet::write_disconnect(&socket.nsp.name, &mut packet);
    send_text(&socket.client, &packet);
}

/// Queues a packet that is never dropped. If there is no room for it the client is disconnected, and gets nothing more.
fn send_text(client: &Client, packet: &[u8]) {
    let (Ok(()) | Err(_)) = client.send(|out| out.text(packet));
}

fn message(
    cx: &mut Context<'_>,
    socket: &Arc<Socket>,
    ack: Option<AckId>,
    event: Option<&json::Event<'_>>,
    json: &str,
    attachments: &[&[u8]],
) -> Result<(), Cause> {
    let token = match ack {
        Some(ack) => {
            let meter = &socket.client.mailbox.meter;
            let number = cx.server.next_owed(socket.client.shard, meter);
            let max = cx.server.config.limits.acks_owed_max;
            if !socket.owe(number, ack, max) {
                return Err(violation("too many unanswered acknowledgements").limit("acksOwedMax", max));
            }
            meter.add(Tally::AcksOwed, 1);
            owed_token(number, slot_of(socket.id))
        }
        None => 0,
    };
    let name = event.map_or("", |event| &*event.name);
    let atom = cx.atoms.find(&cx.server.atoms, name);
    let record = Event { atom, token, name, attachments, ..event_of(EVENT_MESSAGE, socket, cx.now_us) };
    cx.out.push_with(&socket.nsp.queue, &record, |out| match event {
        Some(event) => json::write_args(json, event.args, out),
        None => out.extend_from_slice(b"[]"),
    });
    Ok(())
}

/// Hands a client's acknowledgement to the host.
fn acknowledged(
    cx: &mut Context<'_>,
    socket: &Arc<Socket>,
    awaited: &Awaited,
    attachments: &[&[u8]],
    write: impl FnOnce(&mut Vec<u8>),
) {
    let now_us = cx.now_us;
    let event = |token| Event {
        token,
        flags: partial_flag(awaited),
        status: STATUS_OK,
        attachments,
        ..event_of(EVENT_ACK, socket, now_us)
    };
    match awaited {
        Awaited::One(token) => cx.out.push_with(&socket.nsp.queue, &event(*token), write),
        Awaited::Broadcast(broadcast) => broadcast.reply(cx.out, now_us, |out| match &broadcast.asker {
            None => out.push_with(&socket.nsp.queue, &event(broadcast.token), write),
            Some(asker) => {
                let mut args = Vec::new();
                write(&mut args);
                asker.answer(&String::from_utf8_lossy(&args), attachments);
            }
        }),
    }
}

/// The host accepted a socket whose client had just left. What the host made for it is the host's to unmake, so it is told of both.
pub fn decided_too_late(cx: &mut Context<'_>, request: &Request, decision: &Decision) {
    let (Request::Socket(socket), Decision::Accept { user, .. }) = (request, decision) else { return };
    socket.set_user(*user);
    let queue = &socket.nsp.queue;
    let data = socket.auth.as_deref().unwrap_or("{}");
    cx.out.push(queue, &Event { data, ..event_of(EVENT_CONNECT, socket, cx.now_us) });
    let cause = Cause::because(Reason::TransportClose, "the client left before it was admitted");
    let meter = &socket.client.mailbox.meter;
    meter.add(Tally::SocketsConnected, 1);
    Meter::count_in(&meter.disconnects, cause.reason as usize);
    let (name, status) = (cause.reason.text(), cause.reason as i32);
    for kind in [EVENT_DISCONNECTING, EVENT_DISCONNECT] {
        let rooms = (kind == EVENT_DISCONNECTING).then_some(&[][..]);
        let event = Event { name, status, ..event_of(kind, socket, cx.now_us) };
        cx.out.push_with(queue, &event, |out| cause.write_json(rooms, out));
    }
}

/// A client has not acknowledged in time.
pub fn acknowledgement_expired(cx: &mut Context<'_>, socket: &Socket, wire_id: u64) {
    if let Some(Awaited::One(token)) = socket.take_awaited(wire_id) {
        let meter = &socket.client.mailbox.meter;
        meter.add(Tally::AcksSettled, 1);
        meter.add(Tally::AcksTimedOut, 1);
        let event = Event { token, status: STATUS_TIMEOUT, ..event_of(EVENT_ACK, socket, cx.now_us) };
        cx.out.push(&socket.nsp.queue, &event);
    }
}

/// The official server closes its side on a packet that its parser refuses, and calls that a forced close.
fn malformed(limits: &Limits, error: DecodeError) -> Cause {
    let cause = Cause::because(Reason::ForcedClose, error.to_string());
    match error {
        DecodeError::TooManyAttachments => cause.limit("attachmentsMax", limits.attachments_max),
        DecodeError::EventNameTooLong => cause.limit("eventNameBytesMax", limits.event_name_bytes_max),
        DecodeError::TooDeep => cause.limit("jsonDepthMax", limits.json_depth_max),
        _ => cause,
    }
}

fn violation(what: &'static str) -> Cause {
    Cause::because(Reason::ForcedClose, what)
}
