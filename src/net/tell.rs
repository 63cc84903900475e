//! What a shard writes to the log: one function for each kind of line, so that all that is said of peers can be read in one place.
//!
//! Sessions go by their number and peers by their address; nothing that a peer sent is in a line, but for what is wrong with a request,
//! in our words.

use std::io;
use std::net::IpAddr;

use super::listener::Listener;
use super::refusal::Refusal;
use super::shard::Shard;
use super::table::Key;
use crate::proto::engine_packet::Packet;
use crate::server::log::{Fields, Level, Target};
use crate::server::{Cause, Client, Count, Reason};

/// A turn that took longer kept everybody waiting for a time that people notice.
const SLOW_TURN_US: u64 = 100_000;

impl Shard {
    fn tell(&self, level: Level, target: Target, message: &str, fields: impl FnOnce(&mut Fields) -> &mut Fields) {
        self.server.log(self.now_us, level, target, message, fields);
    }

    // ---- the engine -----------------------------------------------------------------------------------------------

    /// Connections are accepted here.
    pub fn tell_listening(&self, listener: &Listener) {
        self.tell(Level::Info, Target::Listen, "listening", |fields| fields.text("address", &listener.address()));
    }

    /// Accepting failed, and is tried again.
    pub fn tell_not_accepting(&self, error: &io::Error) {
        self.tell(Level::Error, Target::Listen, "accepting failed", |fields| fields.text("error", &error.to_string()));
    }

    /// Sessions end, at once or spread over a time.
    pub fn tell_ending(&self, message: &str, spread_ms: u64, grace_ms: u32) {
        self.tell(Level::Info, Target::Engine, message, |fields| {
            fields.number("shard", self.index as u64).number("sessions", self.sessions.len() as u64);
            fields.number("spread_ms", spread_ms).number("grace_ms", grace_ms.into())
        });
    }

    /// A panic was contained. Its text, which may quote what a peer sent, is for the FAULT event.
    pub fn tell_fault(&self) {
        self.tell(Level::Error, Target::Engine, "a panic was contained", |fields| {
            fields.number("shard", self.index as u64)
        });
    }

    /// A turn has ended.
    pub fn tell_turn(&self, us: u64) {
        if us > SLOW_TURN_US {
            self.tell(Level::Warn, Target::Loop, "a slow turn", |fields| {
                fields.number("shard", self.index as u64).number("us", us)
            });
        }
    }

    /// Reading stops because a queue is full; said of the first session for which it does.
    pub fn tell_stalled(&self) {
        if self.stalled.is_empty() {
            self.tell(Level::Warn, Target::Queue, "reading stops, a queue is full", |fields| {
                fields.number("shard", self.index as u64)
            });
        }
    }

    // ---- peers ----------------------------------------------------------------------------------------------------

    /// Counts that a limit was passed, and by whom if that is known.
    pub fn limited(&self, what: Count, address: Option<IpAddr>) {
        self.server.metrics.count(what);
        self.tell(Level::Warn, Target::Limit, "a limit was passed", |fields| {
            fields.text("what", what.label());
            match address {
                Some(address) => fields.text("address", &address.to_string()),
                None => fields,
            }
        });
    }

    /// The address of a connection's peer.
    pub fn address_of(&self, key: Key) -> Option<IpAddr> {
        self.connections.get(key).map(|connection| connection.permit.peer.address)
    }

    /// A handshake or request was refused.
    pub fn tell_refused(&self, key: Key, refusal: &Refusal) {
        self.tell(Level::Debug, Target::Handshake, "request refused", |fields| {
            fields.number("code", refusal.error.code().into()).text("error", refusal.error.message());
            match self.address_of(key) {
                Some(address) => fields.text("address", &address.to_string()),
                None => fields,
            }
        });
    }

    /// A session has opened.
    pub fn tell_opened(&self, client: &Client) {
        self.tell(Level::Debug, Target::Session, "opened", |fields| {
            fields.id("session", client.id).text("transport", client.transport().name());
            fields.text("address", &client.handshake.address.to_string())
        });
    }

    /// A session has moved to WebSocket.
    pub fn tell_upgraded(&self, client: &Client) {
        self.tell(Level::Debug, Target::Session, "upgraded", |fields| fields.id("session", client.id));
    }

    /// A session has ended.
    pub fn tell_ended(&self, client: &Client, cause: &Cause) {
        // That a client has gone silent is no more than the end of a session.
        if let Some((limit, value)) = cause.limit.filter(|_| cause.reason != Reason::PingTimeout) {
            self.tell(Level::Warn, Target::Limit, "a session passed a limit", |fields| {
                fields.id("session", client.id).text("limit", limit).number("value", value)
            });
        }
        self.tell(Level::Debug, Target::Session, "closed", |fields| {
            fields.id("session", client.id).text("reason", cause.reason.text())
        });
    }

    /// A packet came.
    pub fn tell_packet(&self, session: Key, packet: &Packet<'_>) {
        let Some(session) = self.sessions.get(session) else { return };
        self.tell(Level::Trace, Target::Packet, "in", |fields| {
            let (kind, bytes) = match packet {
                Packet::Text { kind, data } => (format!("{kind:?}").to_lowercase(), data.len()),
                Packet::Binary(data) => ("binary".to_owned(), data.len()),
            };
            fields.id("session", session.client.id).text("type", &kind).number("bytes", bytes as u64)
        });
    }
}
