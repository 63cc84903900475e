//! HTTP long-polling: polls that wait for packets, and requests that bring them.

use std::borrow::Cow;
use std::sync::Arc;

use super::connection::{Connection, Held, Role, Unread};
use super::http::response::{self, xss_protection_line};
use super::http::{Compressor, Encoding, Head};
use super::jsonp;
use super::session::{Active, End};
use super::shard::Shard;
use super::table::Key;
use crate::proto::engine_packet::{Packet, PacketType};
use crate::proto::payload;
use crate::proto::session::Received;
use crate::server::meter::Tally;
use crate::server::{Cause, Client, Context, Level, NEVER, Reason, Transport, log};

impl Shard {
    /// A GET of a session.
    pub fn poll(&mut self, key: Key, head: Head, session_key: Key) {
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let Active::Polling { get, .. } = &mut session.active else { return };
        if get.is_some() {
            return self.overlap(key, &head, session_key, "overlap from client");
        }
        *get = Some(key);
        let (closing, now_us) = (session.closing.is_some(), self.now_us);
        let waits = session.client.outbound(|out| {
            out.set_writable(true);
            !out.has_packets(now_us)
        });
        if let Some(connection) = self.connections.get_mut(key) {
            connection.role = Role::Poll { session: session_key, head: Box::new(head) };
        }
        if closing && waits {
            // As the official server ends a poll that it has nothing else for.
            self.send_control(session_key, b'6');
            self.send_control(session_key, b'1');
            self.answer_poll(session_key, key);
            self.forget_session(session_key);
        } else if !waits {
            self.answer_poll(session_key, key);
            self.see_to_outbound(session_key);
        }
    }

    /// Two requests of a kind at a time: the newer one gets 400, and the session ends.
    fn overlap(&mut self, key: Key, head: &Head, session: Key, what: &'static str) {
        self.answer(key, head, |out, envelope| response::empty(out, 400, envelope));
        self.end_session(session, &Cause::because(Reason::TransportError, what), End::Abrupt);
    }

    /// Answers the poll that waits with what is queued.
    pub fn answer_poll(&mut self, session_key: Key, key: Key) {
        let now_us = self.now_us;
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        if !session.client.outbound(|out| out.has_packets(now_us)) {
            return;
        }
        if let Active::Polling { get, .. } = &mut session.active {
            *get = None;
        }
        let client = session.client.clone();
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Role::Poll { head, .. } = std::mem::replace(&mut connection.role, Role::Head) else { return };
        self.answer_poll_with(key, &head, client, &[]);
        self.resume(key);
    }

    /// Answers a request with a session's queued packets.
    pub fn answer_poll_with(&mut self, key: Key, head: &Head, client: Arc<Client>, lines: &[u8]) {
        let now_us = self.now_us;
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        let (compress, taken, packets) = client.outbound(|out| {
            out.set_writable(false);
            let waiting = out.level().packets;
            let (compress, taken) = out.take_payload(now_us, &mut payload);
            (compress, taken, waiting - out.level().packets)
        });
        self.mailbox.meter.add(Tally::PacketsOut, taken.into());
        if let Some(index) = self.session_of(&client).and_then(|key| self.sessions.get(key)?.jsonp.as_deref()) {
            let mut script = Vec::with_capacity(payload.len() + 32);
            jsonp::wrap(index, &payload, &mut script);
            payload = script;
        }
        let encoding = match &self.config.compression {
            Some(compression) if compress => compression.choose(head.header("accept-encoding"), payload.len()),
            _ => Encoding::Identity,
        };
        let compressed = self.compress(encoding, &payload);
        let body = compressed.as_deref().unwrap_or(&payload);
        let xss = xss_protection_line(head);
        self.answer_with(key, head, lines, |out, envelope| {
            response::polling_payload(out, body, false, encoding, xss, envelope);
        });
        self.payload = payload;
        if let Some(session) = self.session_of(&client) {
            self.note_unread(key, session, packets);
        }
    }

    /// What an answer's peer does not take still waits for the session, as far as its budget is concerned.
    fn note_unread(&mut self, key: Key, session: Key, packets: u32) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.set_answer(session, packets);
        if let (Some(unread), Some(session)) = (connection.unread(), self.sessions.get(session)) {
            session.client.outbound(|out| out.add_unread(unread.left));
        }
    }

    /// Of the answer to a poll so much is `left`; `None` if its peer took all, or is gone.
    pub fn settle_unread(&mut self, before: Unread, left: Option<Unread>) {
        let left = left.map_or(Level::default(), |unread| unread.left);
        let taken = Level { bytes: before.left.bytes - left.bytes, packets: before.left.packets - left.packets };
        let Some(session) = self.sessions.get(before.session) else { return };
        // What was left of polling at an upgrade is counted no more.
        if session.client.transport() == Transport::Polling {
            session.client.outbound(|out| out.take_unread(taken));
            self.see_to_outbound(before.session);
        }
    }

    fn compress(&mut self, encoding: Encoding, payload: &[u8]) -> Option<Vec<u8>> {
        if encoding == Encoding::Identity {
            return None;
        }
        let level = self.config.compression.as_ref()?.level;
        let mut out = Vec::new();
        self.compressor.get_or_insert_with(|| Compressor::new(level)).compress(encoding, payload, &mut out);
        Some(out)
    }

    /// A POST of a session.
    pub fn post(&mut self, key: Key, head: &Head, session_key: Key, body: &[u8]) {
        let is_binary = head.header("content-type") == Some(b"application/octet-stream");
        if is_binary {
            // Revision 3 alone sends payloads of bytes.
            self.answer(key, head, |out, envelope| response::empty(out, 400, envelope));
            let cause = Cause::because(Reason::TransportError, "invalid content");
            return self.end_session(session_key, &cause, End::Abrupt);
        }
        if !self.begin_post(key, head, session_key) {
            return;
        }
        let Some(session) = self.sessions.get(session_key) else { return };
        let text = String::from_utf8_lossy(body);
        let text = if session.jsonp.is_some() { jsonp::unwrap(&text).map(Cow::Owned) } else { Some(text) };
        let left = match &text {
            Some(text) => self.take_packets(key, session_key, text),
            None => None,
        };
        match (left, text) {
            (Some(left), Some(text)) => {
                let held = Held { head: head.clone(), session: session_key, body: text.into_owned(), left };
                self.hold_post(key, Box::new(held));
            }
            _ => self.end_post(key, head, session_key),
        }
    }

    /// Takes the packets of a body; how many bytes of its end have to wait, if any.
    fn take_packets(&mut self, key: Key, session_key: Key, body: &str) -> Option<usize> {
        let mut packets = payload::packets(body);
        let queue = self.server.queue();
        if self.sessions.get(session_key).is_some_and(|session| session.is_stalled(queue)) {
            self.stalled.push(key);
            return packets.left();
        }
        let has_rate = self.rates.is_some();
        while let Some(left) = packets.left() {
            if has_rate && self.must_wait(session_key) {
                return Some(left);
            }
            let packet = packets.next()?;
            if has_rate && !self.charge(session_key, left - packets.left().unwrap_or(0)) {
                break;
            }
            match packet {
                Ok(packet) => self.packet(session_key, &packet),
                Err(_) => self.end_session(session_key, &Cause::new(Reason::ParseError), End::Abrupt),
            }
            if self.sessions.get(session_key).is_none_or(|session| session.closing.is_some()) {
                break;
            }
        }
        None
    }

    /// Lets a request wait, for as long as its session knows of it: what the session goes on with, or ends, then finds it.
    fn hold_post(&mut self, key: Key, held: Box<Held>) {
        let active = self.sessions.get(held.session).map(|session| session.active);
        if !matches!(active, Some(Active::Polling { post, .. }) if post == Some(key)) {
            return self.end_post(key, &held.head, held.session);
        }
        if let Some(connection) = self.connections.get_mut(key) {
            connection.role = Role::Stalled(held);
        }
    }

    /// All packets of a POST were taken, or its session is over.
    fn end_post(&mut self, key: Key, head: &Head, session_key: Key) {
        if let Some(session) = self.sessions.get_mut(session_key)
            && let Active::Polling { post, .. } = &mut session.active
        {
            *post = None;
        }
        // A host that carries the answer hears first of what the request brought, so that its decisions come before the next request.
        if self.connections.get(key).is_some_and(Connection::is_fed) {
            self.out.deliver(true);
        }
        let xss = xss_protection_line(head);
        self.answer(key, head, |out, envelope| response::post_ok(out, xss, envelope));
    }

    /// The host has taken events, or the session may send more: this request's packets may be taken.
    pub fn go_on_with_post(&mut self, key: Key) {
        let Some(mut held) = self.take_held(key) else { return };
        let at = held.body.len().saturating_sub(held.left);
        match self.take_packets(key, held.session, held.body.get(at..).unwrap_or_default()) {
            Some(left) => {
                held.left = left;
                self.hold_post(key, held);
            }
            None => {
                self.end_post(key, &held.head, held.session);
                self.resume(key);
            }
        }
    }

    /// The session is over, and with it the wait of a request of its.
    pub fn answer_held_post(&mut self, session_key: Key) {
        let Some(session) = self.sessions.get(session_key) else { return };
        let Active::Polling { post: Some(key), .. } = session.active else { return };
        if let Some(held) = self.take_held(key) {
            self.end_post(key, &held.head, session_key);
        }
    }

    fn take_held(&mut self, key: Key) -> Option<Box<Held>> {
        let connection = self.connections.get_mut(key)?;
        match std::mem::replace(&mut connection.role, Role::Head) {
            Role::Stalled(held) => Some(held),
            role => {
                connection.role = role;
                None
            }
        }
    }

    /// A POST of a session is there, its body perhaps still to come; false if another one has not ended.
    pub fn begin_post(&mut self, key: Key, head: &Head, session_key: Key) -> bool {
        let Some(session) = self.sessions.get_mut(session_key) else { return true };
        let Active::Polling { post, .. } = &mut session.active else { return true };
        if post.is_some_and(|other| other != key) {
            self.overlap(key, head, session_key, "data request overlap from client");
            return false;
        }
        *post = Some(key);
        true
    }

    /// Queues a packet of one character.
    fn send_control(&mut self, session_key: Key, packet: u8) {
        if let Some(session) = self.sessions.get(session_key) {
            session.client.send(|out| out.control(&[packet]));
        }
    }

    /// A packet on the session's own transport; nothing is heard from a client after the server closed its session.
    pub fn packet(&mut self, session_key: Key, packet: &Packet<'_>) {
        if self.server.log.wants(log::Level::Trace) {
            self.tell_packet(session_key, packet);
        }
        let (now_ms, timing) = (self.now_us / 1000, self.config.timing);
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let kind = match packet {
            Packet::Text { kind, .. } => *kind,
            Packet::Binary(_) => PacketType::Message,
        };
        if session.closing.is_some() {
            // It does not come for the close packet any more.
            if kind == PacketType::Close && matches!(session.active, Active::Polling { .. }) {
                self.forget_session(session_key);
            }
            return;
        }
        self.mailbox.meter.add(Tally::PacketsIn, 1);
        match session.machine.receive(kind, now_ms, &timing) {
            Received::Message => {
                let mut cx =
                    Context { server: &self.server, out: &mut self.out, atoms: &mut self.atoms, now_us: self.now_us };
                let taken = match packet {
                    Packet::Text { data, .. } => session.sockets.text(&mut cx, data),
                    Packet::Binary(data) => session.sockets.binary(&mut cx, data),
                };
                match taken {
                    Ok(()) => {
                        // Attachments may have to come before the session is looked at anyway.
                        let due_ms = session.sockets.attachments_deadline_ms();
                        if due_ms != NEVER && !self.session_looks.comes_by(session_key.index, due_ms) {
                            self.schedule_session(session_key);
                        }
                    }
                    Err(cause) => self.end_session(session_key, &cause, End::Orderly),
                }
            }
            Received::Ignored => {
                if kind == PacketType::Pong
                    && let Some(us) = session.pong(self.now_us)
                {
                    self.mailbox.meter.rtt.record(us);
                }
                // The next ping may be earlier than what the wheel waits for.
                self.schedule_session(session_key);
            }
            Received::Close => self.closed_by_client(session_key),
            Received::InvalidHeartbeatDirection => {
                let cause = Cause::because(Reason::TransportError, "invalid heartbeat direction");
                self.end_session(session_key, &cause, End::Abrupt);
            }
        }
    }

    /// A close packet: on polling the client's way to leave; a poll that waits is released with a noop. On WebSocket it means nothing.
    fn closed_by_client(&mut self, session_key: Key) {
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let Active::Polling { get, .. } = session.active else { return };
        if let Some(poll) = get {
            session.client.send(|out| out.control(b"6"));
            self.answer_poll(session_key, poll);
        }
        self.end_session(session_key, &Cause::new(Reason::TransportClose), End::Abrupt);
    }

    /// The transport that a request asks for must be the session's: after an upgrade, polling is over.
    pub fn release_poll(&mut self, session_key: Key) {
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        if let Active::Polling { get: Some(poll), .. } = session.active {
            session.client.send(|out| out.control(b"6"));
            self.answer_poll(session_key, poll);
        }
    }
}
