//! Sessions begin: a handshake is checked, the host may be asked, and the open packet is sent.

use super::connection::{Connection, Peer, Role};
use super::handshake_rate::Taken;
use super::http::response::{self, EngineError};
use super::http::{EngineQuery, Head, HeaderLines, query};
use super::jsonp;
use super::refusal::Refusal;
use super::request::Place;
use super::session::{Active, Session, gauge_of};
use super::shard::Shard;
use super::table::Key;
use crate::proto::json;
use crate::proto::session::Session as Machine;
use crate::proto::websocket::{self, Assembler, Opcode};
use crate::queue::Event;
use crate::server::event::EVENT_HTTP_REQUEST;
use crate::server::meter::{Meter, Tally};
use crate::server::{
    Client, Connection as Sockets, Context, Count, Decision, Handshake, Request, Sid, Transport, decided_too_late,
};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The revision of Engine.IO that is spoken.
const REVISION: &str = "4";
/// The version of the WebSocket protocol (RFC 6455 §4.1).
pub const WEBSOCKET_VERSION: &str = "13";

impl Shard {
    /// A request without a session: asks the host, if it wants to be asked, and opens one.
    pub fn handshake(&mut self, key: Key, head: Head) {
        if self.refuse_while_draining(key, &head) {
            return;
        }
        if let Err(refusal) = self.check_handshake(key, &head) {
            return self.refuse_request(key, &head, &refusal);
        }
        if !self.config.allow_request {
            return self.open(key, &head, &[]);
        }
        if !self.server.queue().has_room() {
            // The host does not come to it; one more question would only be one more that waits.
            return self.answer(key, &head, |out, envelope| response::empty(out, 503, envelope));
        }
        let request = Request::Handshake { shard: self.index, connection: key.index, generation: key.generation };
        let (mailbox, now_ms) = (self.mailbox.clone(), self.now_ms());
        let Some(token) = self.server.ask(request, &mailbox, now_ms) else {
            return self.refuse_request(
                key,
                &head,
                &Refusal::new(EngineError::Forbidden, "message", "too many decisions are open"),
            );
        };
        let Some(connection) = self.connections.get(key) else { return };
        let handshake = handshake_of(&head, self.client_of(connection, &head));
        let mut data = Vec::new();
        handshake.write_json(None, &mut data);
        let (name, data) = (head.target(), String::from_utf8_lossy(&data));
        let event =
            Event { kind: EVENT_HTTP_REQUEST, token, name, data: &data, time_us: self.now_us, ..Event::default() };
        let queue = self.server.queue().clone();
        self.out.push(&queue, &event);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.role = Role::Deciding { token, head: Box::new(head) };
        }
    }

    fn check_handshake(&self, key: Key, head: &Head) -> Result<(), Refusal> {
        let limits = &self.server.config.limits;
        if self.server.sessions.count() as u64 >= limits.connections_max {
            return Err(Refusal::of_count(limits.connections_max));
        }
        let Some(connection) = self.connections.get(key) else { return Ok(()) };
        let client = self.client_of(connection, head).address;
        match self.peers.gate.take_handshake(client, self.now_us) {
            Taken::Yes => Ok(()),
            Taken::Uncounted => {
                self.limited(Count::HandshakesUncounted, Some(client));
                Ok(())
            }
            Taken::RetryAfter(seconds) => Err(Refusal::of_rate(client, limits.handshakes_per_second, seconds)),
        }
    }

    /// Whose request it is, as far as that can be believed.
    pub fn client_of(&self, connection: &Connection, head: &Head) -> Peer {
        let peer = connection.permit.peer;
        Peer { address: self.peers.gate.trusted.client_of(peer.address, head), ..peer }
    }

    /// The host decided something.
    pub fn decided(&mut self, token: u64, request: Request, decision: Decision) {
        let client = match &request {
            Request::Handshake { connection, generation, .. } => {
                return self.handshake_decided(Key { index: *connection, generation: *generation }, decision);
            }
            Request::Http { connection, generation, .. } => {
                return self.answered_by_host(Key { index: *connection, generation: *generation }, &decision);
            }
            Request::Namespace { client, .. } => client.clone(),
            Request::Socket(socket) => socket.client.clone(),
            // Acknowledged, and by no shard.
            Request::Reply(_) => return,
        };
        let key = self.session_of(&client);
        // A session that the server has closed is over for its sockets, though it waits for a poll, or for the kernel.
        let is_open = |session: &&mut Session| session.closing.is_none();
        let mut cx = Context { server: &self.server, out: &mut self.out, atoms: &mut self.atoms, now_us: self.now_us };
        match key.and_then(|key| self.sessions.get_mut(key)).filter(is_open) {
            Some(session) => session.sockets.decided(&mut cx, token, request, decision),
            None => decided_too_late(&mut cx, &request, &decision),
        }
    }

    fn handshake_decided(&mut self, key: Key, decision: Decision) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Role::Deciding { head, .. } = std::mem::replace(&mut connection.role, Role::Head) else { return };
        match decision {
            // Draining began while the host thought about it.
            Decision::Accept { .. } if self.refuse_while_draining(key, &head) => {}
            Decision::Accept { data, .. } => {
                let lines = data.as_deref().map(initial_lines).unwrap_or_default();
                self.open(key, &head, lines.as_bytes());
            }
            Decision::Reject { message, .. } => {
                let message = message.unwrap_or_default().into_string();
                let refusal = Refusal {
                    error: EngineError::Forbidden,
                    context: ("message", message.clone()),
                    message: message.into(),
                    bound: None,
                };
                self.refuse_request(key, &head, &refusal);
            }
            Decision::Expired | Decision::Answer { .. } => {
                let refusal = Refusal::new(EngineError::Forbidden, "message", "the host did not decide in time");
                self.refuse_request(key, &head, &refusal);
            }
        }
        self.resume(key);
    }

    fn open(&mut self, key: Key, head: &Head, initial_lines: &[u8]) {
        let query = EngineQuery::parse(head.query_text());
        if query.eio.as_deref() != Some(REVISION) {
            let protocol = query.eio.as_deref().unwrap_or_default();
            return self.refuse_request(
                key,
                head,
                &Refusal::new(EngineError::UnsupportedProtocolVersion, "protocol", protocol),
            );
        }
        let websocket = head.is_websocket_upgrade();
        let mut answer = Vec::new();
        if websocket && !self.switch_protocols(key, head, initial_lines, &mut answer) {
            return;
        }
        let base64 = query.b64.as_deref().is_some_and(|b64| !b64.is_empty());
        let transport = if websocket { Transport::WebSocket } else { Transport::Polling };
        let jsonp = if websocket { None } else { jsonp::index_of(query.j.as_deref()) };
        let Some(session) = self.open_session(key, head, transport, base64, jsonp) else {
            return self.refuse_request(
                key,
                head,
                &Refusal::new(EngineError::BadRequest, "name", "ID_GENERATION_ERROR"),
            );
        };
        if websocket {
            let assembler = Assembler::new(self.config.message_max);
            if let Some(connection) = self.connections.get_mut(key) {
                connection.role = Role::WebSocket { session, candidate: false, assembler };
                connection.deadline_ms = u64::MAX;
            }
            // One write for both: a quarter of what a handshake costs is its system calls.
            let packet = self.open_packet(session);
            websocket::write_header(Opcode::Text, packet.len(), &mut answer);
            answer.extend_from_slice(packet.as_bytes());
            self.mailbox.meter.add(Tally::PacketsOut, 1);
            self.write(key, &answer);
            return self.flush(session);
        }
        let packet = self.open_packet(session);
        if let Some(session) = self.sessions.get(session) {
            session.client.send(|out| out.control(packet.as_bytes()));
        }
        self.answer_handshake(key, head, session, initial_lines);
    }

    fn answer_handshake(&mut self, key: Key, head: &Head, session: Key, initial_lines: &[u8]) {
        let Some(client) = self.sessions.get(session).map(|session| session.client.clone()) else { return };
        let mut lines = initial_lines.to_vec();
        if let Some(cookie) = &self.config.cookie {
            cookie.set_cookie_line(client.sid.as_str(), &mut lines);
        }
        self.answer_poll_with(key, head, client, &lines);
    }

    /// Makes a session; `None` if the system has no random bytes or the table is full.
    fn open_session(
        &mut self,
        key: Key,
        head: &Head,
        transport: Transport,
        base64: bool,
        jsonp: Option<Box<str>>,
    ) -> Option<Key> {
        let handshake = handshake_of(head, self.client_of(self.connections.get(key)?, head));
        let shard = (self.index, self.mailbox.clone());
        let budget = self.server.budget.clone();
        let client = self.server.sessions.try_insert(|id| {
            let sid = Sid::new(id as u32).ok()?;
            Some(Arc::new(Client::new(id, sid, shard, transport, base64, budget, handshake)))
        })?;
        let (now_ms, timing) = (self.now_ms(), self.config.timing);
        let session_key = self.sessions.next_key();
        client.set_index(session_key.index);
        let mut cx = Context { server: &self.server, out: &mut self.out, atoms: &mut self.atoms, now_us: self.now_us };
        let sockets = Sockets::new(&mut cx, client.clone());
        let session = Session {
            client,
            sockets,
            machine: Machine::new(now_ms, &timing, transport == Transport::Polling),
            active: match transport {
                Transport::WebSocket => Active::WebSocket(key),
                Transport::Polling => Active::Polling { get: None, post: None },
            },
            candidate: None,
            jsonp,
            closing: None,
            allowance: self.rates.map(|rates| Box::new(rates.allowance(self.now_us))),
            pinged_us: None,
            noted: false,
        };
        let inserted = self.sessions.insert(session);
        let meter = &self.mailbox.meter;
        meter.add(if transport == Transport::Polling { Tally::OpenedPolling } else { Tally::OpenedWebSocket }, 1);
        meter.add(gauge_of(transport), 1);
        if let Some(session) = self.sessions.get(inserted) {
            self.tell_opened(&session.client);
        }
        self.schedule_session(inserted);
        Some(inserted)
    }

    /// `0{"sid":…,"upgrades":…,"pingInterval":…,"pingTimeout":…,"maxPayload":…}`, keys in the official order.
    fn open_packet(&self, session: Key) -> String {
        let (config, session) = (&self.config, self.sessions.get(session));
        let polling = session.is_some_and(|session| session.client.transport() == Transport::Polling);
        format!(
            "0{{\"sid\":\"{}\",\"upgrades\":{},\"pingInterval\":{},\"pingTimeout\":{},\"maxPayload\":{}}}",
            session.map_or("", |session| session.client.sid.as_str()),
            if polling && config.allow_upgrades && config.websocket { "[\"websocket\"]" } else { "[]" },
            config.timing.ping_interval_ms,
            config.timing.ping_timeout_ms,
            config.message_max,
        )
    }

    /// A WebSocket upgrade on the engine's path: a new session, or a transport for one that exists.
    pub fn upgrade_request(&mut self, key: Key, head: Head, place: Place) {
        let query = EngineQuery::parse(head.query_text());
        self.settle_session(place);
        let session = match self.check_request(&head, &query, place) {
            Ok(session) => session,
            Err(refusal) => return self.refuse_request(key, &head, &refusal),
        };
        if query.transport.as_deref() != Some("websocket") {
            let refusal = Refusal::new(EngineError::BadRequest, "name", "TRANSPORT_MISMATCH");
            return self.refuse_request(key, &head, &refusal);
        }
        match session {
            None => self.handshake(key, head),
            Some(session) => self.begin_upgrade(key, &head, session),
        }
    }

    fn begin_upgrade(&mut self, key: Key, head: &Head, session_key: Key) {
        let mut answer = Vec::new();
        if !self.switch_protocols(key, head, &[], &mut answer) {
            return;
        }
        self.write(key, &answer);
        if self.connections.get(key).is_none() {
            return;
        }
        let (now_ms, timing, message_max) = (self.now_ms(), self.config.timing, self.config.message_max);
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let begun = session.closing.is_none() && session.machine.begin_upgrade(now_ms, &timing);
        if let Some(connection) = self.connections.get_mut(key) {
            let assembler = Assembler::new(message_max);
            connection.role = Role::WebSocket { session: session_key, candidate: true, assembler };
            connection.deadline_ms = u64::MAX;
        }
        if begun {
            session.candidate = Some(key);
            self.schedule_session(session_key);
        } else {
            self.limited(Count::UpgradesRefused, self.address_of(key));
            self.close_websocket(key, None);
        }
    }

    /// Puts 101 into `answer`, or refuses a request that is none of RFC 6455.
    fn switch_protocols(&mut self, key: Key, head: &Head, initial_lines: &[u8], answer: &mut Vec<u8>) -> bool {
        let version_fits = head.header("sec-websocket-version") == Some(WEBSOCKET_VERSION.as_bytes());
        let Some(accept) = head.header("sec-websocket-key").filter(|key| version_fits && is_websocket_key(key)) else {
            let refusal = Refusal::new(EngineError::BadRequest, "name", "TRANSPORT_HANDSHAKE_ERROR");
            self.refuse_request(key, head, &refusal);
            return false;
        };
        let mut lines = self.config.header_lines.clone();
        if let Some(cors) = &self.config.cors {
            cors.apply(head, &mut lines);
        }
        lines.extend_from_slice(initial_lines);
        Meter::count_in(&self.mailbox.meter.answers, 1);
        response::switching_protocols(answer, &derive_accept_key(accept), &lines);
        true
    }
}

/// A key is 16 bytes in base64 (RFC 6455 §4.1).
fn is_websocket_key(key: &[u8]) -> bool {
    use base64::Engine as _;
    let mut raw = [0u8; 18];
    base64::engine::general_purpose::STANDARD.decode_slice(key, &mut raw) == Ok(16)
}

fn handshake_of(head: &Head, peer: Peer) -> Handshake {
    let Peer { address, secure } = peer;
    Handshake::new(head.raw(), describe, address, secure)
}

/// What the host is told of a request head that was kept.
fn describe(head: &[u8], out: &mut Vec<u8>) {
    // It was parsed when it came, so it can be parsed again.
    let Ok(Some((head, _))) = super::http::parse_head(head, &super::http::HeadLimits::CEILING) else { return };
    let mut text = String::from("\"headers\":");
    head.headers_json(&mut text);
    text.push_str(",\"query\":");
    query::query_json(head.query_text(), &mut text);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b",\"url\":");
    json::write_string(head.target(), out);
    out.extend_from_slice(b",\"xdomain\":");
    out.extend_from_slice(if head.header("origin").is_some() { b"true" } else { b"false" });
}

/// The header lines of `{"headers":{"name":"value"}}`; `ffi` has checked them.
fn initial_lines(data: &str) -> HeaderLines {
    HeaderLines::from_json(json::get(data, "/headers").ok().flatten().unwrap_or("{}")).unwrap_or_default()
}
