//! WebSocket: frames in, and the move of a session from polling.

use super::connection::{Connection, Role, Written};
use super::session::{Active, End};
use super::shard::Shard;
use super::table::Key;
use crate::proto::engine_packet::{self, Packet};
use crate::proto::session::Probed;
use crate::proto::websocket::{self, FrameError, Message, Opcode, Step};
use crate::server::meter::Tally;
use crate::server::{Cause, Context, Reason};

impl Shard {
    /// Uses whole frames; how many bytes they took.
    pub fn read_frames(&mut self, key: Key, bytes: &mut [u8]) -> usize {
        let (mut used, has_rate) = (0, self.rates.is_some());
        while let Some(rest) = bytes.get_mut(used..).filter(|rest| !rest.is_empty()) {
            if has_rate && self.connection_must_wait(key) {
                break;
            }
            let Some(connection) = self.connections.get_mut(key) else { break };
            let Role::WebSocket { session, candidate, assembler } = &mut connection.role else { break };
            let (session, candidate) = (*session, *candidate);
            let frame = match websocket::decode(rest, assembler.room()) {
                Ok(Step::Frame(frame)) => frame,
                Ok(Step::NeedMore { total }) => {
                    // Room for the rest of a large frame is made once; its length was checked.
                    let missing = total.unwrap_or(0).saturating_sub(rest.len());
                    connection.input.reserve(missing);
                    break;
                }
                Err(error) => {
                    self.frame_error(key, session, candidate, error);
                    break;
                }
            };
            used += frame.consumed;
            let payload = rest.get(frame.payload.clone()).unwrap_or_default();
            let message = assembler.accept(&frame, payload);
            if has_rate && !self.charge(session, payload.len()) {
                break;
            }
            match message {
                Ok(Some(message)) => self.message(key, session, candidate, message),
                Ok(None) => {}
                Err(error) => {
                    self.frame_error(key, session, candidate, error);
                    break;
                }
            }
        }
        used
    }

    fn message(&mut self, key: Key, session: Key, candidate: bool, message: Message<'_>) {
        match message {
            Message::Text(text) => match engine_packet::decode_text(&text) {
                Ok(packet) if candidate => self.probe(key, session, &packet),
                Ok(packet) => self.packet(session, &packet),
                Err(_) if candidate => self.reject_candidate(key, session),
                Err(_) => self.end_session(session, &Cause::new(Reason::ParseError), End::Abrupt),
            },
            Message::Binary(_) if candidate => self.reject_candidate(key, session),
            Message::Binary(data) => self.packet(session, &Packet::Binary(data)),
            Message::Ping(data) => {
                let mut pong = Vec::with_capacity(2 + data.len());
                websocket::write_header(Opcode::Pong, data.len(), &mut pong);
                pong.extend_from_slice(data);
                if self
                    .connections
                    .get_mut(key)
                    .is_some_and(|connection| connection.write_pong(&pong, &self.mailbox.meter) == Written::Failed)
                {
                    self.peer_failed(key);
                }
            }
            Message::Pong(_) => {}
            Message::Close(close) => self.close_answered(key, session, candidate, close.code),
        }
    }

    /// The peer closes: its code is echoed, as RFC 6455 §5.5.1 asks, and the session is over.
    fn close_answered(&mut self, key: Key, session: Key, candidate: bool, code: Option<u16>) {
        self.close_websocket(key, code);
        self.close_connection_when_sent(key);
        if candidate {
            self.candidate_lost(session, key);
        } else {
            let description = code.map_or(String::new(), |code| format!("the client closed with code {code}"));
            self.end_session(session, &Cause::because(Reason::TransportClose, description), End::Abrupt);
        }
    }

    fn frame_error(&mut self, key: Key, session: Key, candidate: bool, error: FrameError) {
        self.close_websocket(key, Some(error.close_code()));
        if candidate {
            return self.candidate_lost(session, key);
        }
        let mut cause = Cause::because(Reason::TransportError, error.to_string());
        if error == FrameError::TooBig {
            cause = cause.limit("maxHttpBufferSize", self.config.message_max as u64);
        }
        self.end_session(session, &cause, End::Abrupt);
    }

    // ---- upgrade --------------------------------------------------------------------------------------------------

    fn probe(&mut self, key: Key, session_key: Key, packet: &Packet<'_>) {
        let (now_ms, timing) = (self.now_ms(), self.config.timing);
        self.mailbox.meter.add(Tally::PacketsIn, 1);
        let Packet::Text { kind, data } = packet else { return self.reject_candidate(key, session_key) };
        if self.connections.get(key).is_some_and(Connection::is_blocked) {
            // It probes and does not read the answers.
            return self.reject_candidate(key, session_key);
        }
        let Some(session) = self.sessions.get_mut(session_key) else { return self.close_websocket(key, None) };
        match session.machine.probe(*kind, data, now_ms, &timing) {
            Probed::Pong => {
                let mut frame = Vec::new();
                websocket::write_header(Opcode::Text, 6, &mut frame);
                frame.extend_from_slice(b"3probe");
                self.mailbox.meter.add(Tally::PacketsOut, 1);
                self.write(key, &frame);
                self.schedule_session(session_key);
            }
            Probed::Upgrade => self.upgrade(key, session_key),
            Probed::Reject => self.reject_candidate(key, session_key),
        }
    }

    /// The session moves: what is queued goes out on the WebSocket, a poll that still waits is released.
    fn upgrade(&mut self, key: Key, session_key: Key) {
        self.release_poll(session_key);
        if let Some(connection) = self.connections.get_mut(key)
            && let Role::WebSocket { candidate, .. } = &mut connection.role
        {
            *candidate = false;
        }
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        session.candidate = None;
        session.active = Active::WebSocket(key);
        session.client.upgrade();
        let meter = &self.mailbox.meter;
        meter.add(Tally::Upgrades, 1);
        meter.take(Tally::Polling, 1);
        meter.add(Tally::WebSocket, 1);
        let mut cx = Context { server: &self.server, out: &mut self.out, atoms: &mut self.atoms, now_us: self.now_us };
        session.sockets.upgraded(&mut cx);
        if let Some(session) = self.sessions.get(session_key) {
            self.tell_upgraded(&session.client);
        }
        self.flush(session_key);
        self.schedule_session(session_key);
    }

    fn reject_candidate(&mut self, key: Key, session: Key) {
        self.close_websocket(key, None);
        self.candidate_lost(session, key);
    }

    /// A WebSocket that probed is gone; the session stays on polling.
    pub fn candidate_lost(&mut self, session: Key, key: Key) {
        if let Some(session) = self.sessions.get_mut(session)
            && session.candidate == Some(key)
        {
            session.candidate = None;
            session.machine.abandon_upgrade();
        }
    }
}
