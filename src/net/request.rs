//! HTTP requests: read from a connection, and handed to whom they concern.

use super::connection::{Incoming, Role, Written};
use super::handshake::WEBSOCKET_VERSION;
use super::http::response::{self, EngineError, Envelope};
use super::http::{BodyDecoder, BodyKind, EngineQuery, Head, Method, cors, parse_head};
use super::refusal::Refusal;
use super::session::Active;
use super::shard::Shard;
use super::table::Key;
use crate::queue::Event;
use crate::server::event::EVENT_CONNECTION_ERROR;
use crate::server::meter::Meter;
use crate::server::{Count, Sid, exposition};

/// Whose a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Here(Key),
    Unknown,
    /// Another shard owns the session.
    Elsewhere(usize),
}

impl Shard {
    /// Reads a request head; how many bytes it took, 0 if it is not whole.
    pub fn read_head(&mut self, key: Key, bytes: &mut [u8]) -> usize {
        let (head, used) = match parse_head(bytes, &self.config.head_limits) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => {
                self.request_begins(key);
                return 0;
            }
            Err(error) => {
                self.refuse_and_close(key, error.status);
                return bytes.len();
            }
        };
        let place = self.place_of(&head);
        if let Place::Elsewhere(shard) = place {
            self.move_connection(key, shard, bytes);
            return 0;
        }
        if head.body_kind() == BodyKind::None {
            self.request(key, head, place, b"");
            return used;
        }
        let decoder = BodyDecoder::new(head.body_kind());
        let rest = bytes.get(used..).unwrap_or_default();
        if let Some(body) = decoder.whole(rest)
            && body.len() <= self.config.message_max
        {
            let len = body.len();
            self.request(key, head, place, body);
            return used + len;
        }
        if let (Place::Here(session), Method::Post) = (place, head.method())
            && !self.begin_post(key, &head, session)
        {
            // Its body will not be read.
            self.close_connection_when_sent(key);
            return bytes.len();
        }
        if head.expects_continue() {
            self.write(key, response::CONTINUE);
        }
        let is_wanted = self.wants_body(&head, place);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.role = Role::Body(Box::new(Incoming { head, decoder, body: Vec::new(), is_wanted }));
        }
        self.note_connection(key);
        self.request_begins(key);
        // A body of no bytes is whole already.
        self.read_body(key, &mut []);
        used
    }

    /// Whether someone will look at a request's body. Others are read and forgotten: who has no session holds no memory by them.
    fn wants_body(&self, head: &Head, place: Place) -> bool {
        match head.target().starts_with(self.config.path.as_str()) {
            true => matches!(place, Place::Here(_)) && head.method() == Method::Post,
            false => self.config.http_events,
        }
    }

    /// Reads on in a request's body.
    pub fn read_body(&mut self, key: Key, bytes: &mut [u8]) -> usize {
        let max = self.config.message_max;
        let Some(connection) = self.connections.get_mut(key) else { return 0 };
        let Role::Body(incoming) = &mut connection.role else { return 0 };
        let fed = incoming.decoder.feed(bytes, &mut incoming.body, max);
        if !incoming.is_wanted {
            incoming.body.clear();
        }
        match fed {
            Ok(progress) if progress.done => {
                if let Role::Body(incoming) = std::mem::replace(&mut connection.role, Role::Head) {
                    // It may be refused yet; a POST that is taken begins anew.
                    self.forget_post(key, &incoming.head);
                    let place = self.place_of(&incoming.head);
                    self.request(key, incoming.head, place, &incoming.body);
                }
                progress.consumed
            }
            Ok(progress) => progress.consumed,
            Err(error) => {
                if let Role::Body(incoming) = std::mem::replace(&mut connection.role, Role::Head) {
                    self.forget_post(key, &incoming.head);
                    self.answer(key, &incoming.head, |out, envelope| response::empty(out, error.status(), envelope));
                }
                // The rest of the body will not be read, so the connection cannot go on.
                self.close_connection_when_sent(key);
                bytes.len()
            }
        }
    }

    /// A POST that was refused does not stand in the way of the next.
    pub fn forget_post(&mut self, key: Key, head: &Head) -> Option<Key> {
        let Place::Here(session_key) = self.place_of(head) else { return None };
        match &mut self.sessions.get_mut(session_key)?.active {
            Active::Polling { post, .. } if *post == Some(key) => {
                *post = None;
                Some(session_key)
            }
            _ => None,
        }
    }

    /// A whole request, and where the session that it names is.
    pub fn request(&mut self, key: Key, head: Head, place: Place, body: &[u8]) {
        self.settle_connection(key);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.role = Role::Head;
        }
        if self.config.metrics_path.as_deref().is_some_and(|path| path == head.path()) {
            return self.answer_metrics(key, &head);
        }
        let is_engines = head.target().starts_with(self.config.path.as_str());
        if (!is_engines || self.config.client_files.is_some()) && self.answer_file(key, &head) {
            return;
        }
        if is_engines {
            return self.engine_request(key, head, place, body);
        }
        if self.config.http_events {
            return self.ask_for_answer(key, head, body);
        }
        self.answer(key, &head, |out, envelope| response::empty(out, 404, envelope));
    }

    /// The metrics as text.
    fn answer_metrics(&mut self, key: Key, head: &Head) {
        if !matches!(head.method(), Method::Get | Method::Head) {
            return self.answer(key, head, |out, envelope| response::empty(out, 405, envelope));
        }
        let text = exposition::text(&self.server.snapshot());
        self.answer(key, head, |out, envelope| {
            let headers = [("Content-Type", exposition::CONTENT_TYPE), ("Cache-Control", "no-store")];
            response::write_head(out, 200, &headers, Some(text.len()), envelope);
            out.extend_from_slice(text.as_bytes());
        });
    }

    /// The browser client, or a file of a mount.
    fn answer_file(&mut self, key: Key, head: &Head) -> bool {
        let config = self.config.clone();
        let is_engines = head.target().starts_with(config.path.as_str());
        let mount = || self.mounts.lock().clone();
        let answer = |out: &mut Vec<u8>, envelope: &Envelope<'_>| {
            if is_engines {
                return config.client_files.as_ref().is_some_and(|files| files.answer(head, envelope, out));
            }
            mount().iter().any(|mount| mount.answer(head, envelope, out))
        };
        let mut lines = config.header_lines.clone();
        if let (Some(cors), true) = (&config.cors, is_engines) {
            cors.apply(head, &mut lines);
        }
        let envelope = Envelope { extra_lines: &lines, keep_alive: self.keeps_alive(head), date: &self.date.1 };
        let mut out = Vec::new();
        let answered = answer(&mut out, &envelope);
        if answered {
            self.write_answer(key, &out, self.keeps_alive(head));
        }
        answered
    }

    fn engine_request(&mut self, key: Key, head: Head, place: Place, body: &[u8]) {
        if head.is_websocket_upgrade() {
            return self.upgrade_request(key, head, place);
        }
        if head.method() == Method::Options && self.answer_preflight(key, &head) {
            return;
        }
        let query = EngineQuery::parse(head.query_text());
        self.settle_session(place);
        let session = match self.check_request(&head, &query, place) {
            Ok(session) => session,
            Err(refusal) => return self.refuse_request(key, &head, &refusal),
        };
        match session {
            None => self.handshake(key, head),
            Some(session) => match head.method() {
                Method::Get => self.poll(key, head, session),
                Method::Post => self.post(key, &head, session, body),
                _ => self.answer(key, &head, |out, envelope| response::empty(out, 500, envelope)),
            },
        }
    }

    /// A question of CORS, if it is one.
    fn answer_preflight(&mut self, key: Key, head: &Head) -> bool {
        let Some(cors) = &self.config.cors else { return false };
        let envelope =
            Envelope { extra_lines: &self.config.header_lines, keep_alive: self.keeps_alive(head), date: &self.date.1 };
        let mut out = Vec::new();
        let answered = cors.preflight(head, &envelope, &mut out);
        if answered {
            self.write_answer(key, &out, self.keeps_alive(head));
        }
        answered
    }

    /// Where the session that a request names is.
    pub fn place_of(&self, head: &Head) -> Place {
        if !head.target().starts_with(self.config.path.as_str()) {
            return Place::Unknown;
        }
        let query = head.query_text();
        if query.contains('%') {
            return EngineQuery::parse(query).sid.map_or(Place::Unknown, |sid| self.find_session(&sid));
        }
        // Nothing to decode, as in all that clients send.
        let sid = query.rsplit('&').find_map(|pair| pair.strip_prefix("sid="));
        sid.map_or(Place::Unknown, |sid| self.find_session(sid))
    }

    /// Carries out what is due for the session that a request names: timers are coarser than requests.
    pub fn settle_session(&mut self, place: Place) {
        if let Place::Here(key) = place
            && self.sessions.get(key).is_some_and(|session| session.deadline() <= self.now_ms())
        {
            self.look_at_session(key);
        }
    }

    /// Where the session of an id is.
    fn find_session(&self, sid: &str) -> Place {
        let client = Sid::slot(sid).and_then(|slot| self.server.sessions.at(slot));
        match client.filter(|client| client.sid.as_str() == sid) {
            None => Place::Unknown,
            Some(client) if client.shard != self.index => Place::Elsewhere(client.shard),
            Some(client) => self.session_of(&client).map_or(Place::Unknown, Place::Here),
        }
    }

    /// The checks that the official server makes of every request on its path, in its order.
    pub fn check_request(&self, head: &Head, query: &EngineQuery<'_>, place: Place) -> Result<Option<Key>, Refusal> {
        let upgrade = head.is_websocket_upgrade();
        let transport = query.transport.as_deref().unwrap_or_default();
        let enabled = match transport {
            "polling" => self.config.polling,
            "websocket" => self.config.websocket,
            _ => false,
        };
        if !enabled {
            return Err(Refusal::new(EngineError::TransportUnknown, "transport", transport));
        }
        if head.header("origin").is_some_and(|origin| !origin.iter().all(|byte| is_field_byte(*byte))) {
            return Err(Refusal::new(EngineError::BadRequest, "name", "INVALID_ORIGIN"));
        }
        self.check_origin(head)?;
        if let Some(sid) = query.sid.as_deref().filter(|sid| !sid.is_empty()) {
            let key = self.check_session(place, transport, query, upgrade);
            return key.map(Some).map_err(|refusal| refusal.about(sid));
        }
        if head.method() != Method::Get {
            return Err(Refusal::new(EngineError::BadHandshakeMethod, "method", method_name(head)));
        }
        if transport == "websocket" && !upgrade {
            return Err(Refusal::new(EngineError::BadRequest, "name", "TRANSPORT_HANDSHAKE_ERROR"));
        }
        Ok(None)
    }

    fn check_session(
        &self,
        place: Place,
        transport: &str,
        query: &EngineQuery<'_>,
        upgrade: bool,
    ) -> Result<Key, Refusal> {
        let (key, session) = match place {
            Place::Here(key) => (key, self.sessions.get(key)),
            Place::Unknown | Place::Elsewhere(_) => return Err(Refusal::new(EngineError::SessionIdUnknown, "sid", "")),
        };
        let session = session.ok_or_else(|| Refusal::new(EngineError::SessionIdUnknown, "sid", ""))?;
        if !upgrade && session.client.transport().name() != transport {
            return Err(Refusal::new(EngineError::BadRequest, "name", "TRANSPORT_MISMATCH"));
        }
        if query.eio.as_deref() != Some("4") {
            return Err(Refusal::new(EngineError::BadRequest, "name", "PROTOCOL_MISMATCH"));
        }
        Ok(key)
    }

    /// Whether the page that a request comes from may talk to this server, if that is to be checked.
    fn check_origin(&self, head: &Head) -> Result<(), Refusal> {
        let origin = head.header("origin").filter(|origin| self.config.check_origin && !origin.is_empty());
        match origin {
            Some(origin) if !cors::allows(self.config.cors.as_ref(), origin, head) => Err(Refusal::of_origin(origin)),
            _ => Ok(()),
        }
    }

    /// Answers a refused request, and tells the host if it wants to know.
    pub fn refuse_request(&mut self, key: Key, head: &Head, refusal: &Refusal) {
        Meter::count_in(&self.mailbox.meter.errors, refusal.error.code().into());
        self.tell_refused(key, refusal);
        self.report(refusal);
        let (error, message) = (refusal.error, &*refusal.message);
        if let Some(bound) = &refusal.bound {
            self.limited(bound.count, self.address_of(key));
            let (status, retry_after_s) = (bound.status, bound.retry_after_s);
            return self.answer(key, head, |out, envelope| {
                response::bound_json(out, status, retry_after_s, error, message, envelope);
            });
        }
        if head.is_websocket_upgrade() {
            let mut out = Vec::new();
            let is_version = head.header("sec-websocket-version") == Some(WEBSOCKET_VERSION.as_bytes());
            // RFC 6455 §4.4.
            let line =
                if is_version { String::new() } else { format!("Sec-WebSocket-Version: {WEBSOCKET_VERSION}\r\n") };
            response::websocket_refusal(&mut out, error, message, line.as_bytes());
            return self.write_answer(key, &out, false);
        }
        self.answer(key, head, |out, envelope| response::error_json(out, error, message, envelope));
    }

    /// Tells the host of a refusal, if it wants to know.
    pub fn report(&mut self, refusal: &Refusal) {
        if !self.config.connection_errors {
            return;
        }
        let queue = self.server.queue().clone();
        if !queue.is_at_ease() {
            // Peers make these at will, and must not fill the queue, for which others would no longer be read.
            return self.server.metrics.count(Count::ConnectionErrorsUntold);
        }
        let data = refusal.describe();
        let (status, name) = (i32::from(refusal.error.code()), refusal.error.message());
        let event =
            Event { kind: EVENT_CONNECTION_ERROR, status, name, data: &data, time_us: self.now_us, ..Event::default() };
        self.out.push(&queue, &event);
    }

    // ---- answers --------------------------------------------------------------------------------------------------

    /// Answers a request with what `write` appends, under the lines that every answer carries.
    pub fn answer(&mut self, key: Key, head: &Head, write: impl FnOnce(&mut Vec<u8>, &Envelope<'_>)) {
        self.answer_with(key, head, &[], write);
    }

    /// As [`Shard::answer`], with more lines for this answer.
    pub fn answer_with(
        &mut self,
        key: Key,
        head: &Head,
        more_lines: &[u8],
        write: impl FnOnce(&mut Vec<u8>, &Envelope<'_>),
    ) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        lines.extend_from_slice(&self.config.header_lines);
        if let Some(cors) = &self.config.cors
            && head.target().starts_with(self.config.path.as_str())
        {
            cors.apply(head, &mut lines);
        }
        lines.extend_from_slice(more_lines);
        // What follows an upgrade that was not made are frames, if anything.
        let keep_alive = self.keeps_alive(head) && !head.is_websocket_upgrade();
        let envelope = Envelope { extra_lines: &lines, keep_alive, date: &self.date.1 };
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        write(&mut out, &envelope);
        if head.method() == Method::Head {
            response::drop_body(&mut out);
        }
        self.write_answer(key, &out, keep_alive);
        self.lines = lines;
        self.scratch = out;
    }

    /// Writes a whole answer; the connection then waits for the next request, or closes.
    pub fn write_answer(&mut self, key: Key, answer: &[u8], keep_alive: bool) {
        // `HTTP/1.1 200 OK`
        let class = answer.get(9).map_or(0, |digit| digit.wrapping_sub(b'0'));
        Meter::count_in(&self.mailbox.meter.answers, class.into());
        self.write(key, answer);
        if !keep_alive {
            return self.close_connection_when_sent(key);
        }
        let (idle_until, taken_until) = (self.idle_deadline(), self.request_deadline());
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.role = Role::Head;
        connection.deadline_ms = if connection.is_blocked() { taken_until } else { idle_until };
        self.schedule_connection(key);
    }

    /// Writes bytes; a peer that is gone is noticed.
    pub fn write(&mut self, key: Key, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.write(bytes, &self.mailbox.meter) {
            Written::All => {}
            Written::Blocked => self.note_connection(key),
            Written::Failed => self.peer_failed(key),
        }
    }

    /// Answers with a status, and closes: what follows on the connection cannot be understood.
    pub fn refuse_and_close(&mut self, key: Key, status: u16) {
        let mut out = Vec::new();
        let envelope = Envelope { extra_lines: &[], keep_alive: false, date: &self.date.1 };
        response::empty(&mut out, status, &envelope);
        self.write_answer(key, &out, false);
    }
}

fn method_name(head: &Head) -> String {
    format!("{:?}", head.method()).to_uppercase()
}

/// Bytes that Node accepts in a header's value.
fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
