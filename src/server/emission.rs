//! What the host emits: an event by its parts, or a message that was prepared for many emissions.

use std::sync::Arc;

use super::backlog::Special;
use super::budget::{KEY_MAX, PRIORITY_PACKET_MAX};
use super::encoded::Encoded;
use super::error::{Code, Error};
use super::frames;
use super::namespace::Namespace;
use crate::proto::ack_id::AckId;
use crate::proto::json;
use crate::proto::socket_packet::EventParts;

/// An event, encoded once, for one namespace.
pub struct Prepared {
    /// The namespace that it names on the wire.
    pub nsp: u32,
    pub encoded: Encoded,
}

/// The event.
#[derive(Clone, Copy)]
pub enum Payload<'a> {
    /// `name_json` is a JSON string, `args` a checked JSON array.
    Parts {
        name_json: &'a str,
        args: &'a str,
        attachments: &'a [&'a [u8]],
    },
    Prepared(&'a Prepared),
}

/// An event and how to emit it.
#[derive(Clone, Copy)]
pub struct Emission<'a> {
    pub payload: Payload<'a>,
    /// Drop it where it cannot be written at once.
    pub volatile: bool,
    /// It may be compressed.
    pub compress: bool,
    /// Wait for acknowledgements, for so many milliseconds; 0 is without end for one socket, and at once for a broadcast.
    pub ack_timeout_ms: Option<u32>,
    /// What it wants beyond being sent; mostly nothing.
    pub wish: Option<&'a Wish<'a>>,
}

/// What an emission can want beyond being sent.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// Not to be written after this time; 0 is without end.
    pub ttl_ms: u32,
    /// Under the policy `conflate` it supersedes packets with the same key, if one is given.
    pub key: &'a [u8],
    /// It passes ordinary events that wait.
    pub priority: bool,
}

impl Wish<'_> {
    /// Whether it may be wished for this payload in a namespace.
    pub fn check(&self, payload: &Payload<'_>, namespace: &Namespace) -> Result<(), Error> {
        if self.key.len() > KEY_MAX {
            let text = format!("the emission's key has {} bytes; the limit is {KEY_MAX}", self.key.len());
            return Err(Error::new(Code::TooBig, text));
        }
        let (len, attachments) = payload.size(&namespace.name);
        if self.priority && (attachments > 0 || len > PRIORITY_PACKET_MAX) {
            let text = format!(
                "the packet has {len} bytes and {attachments} attachments; with priority it may have {PRIORITY_PACKET_MAX} and none"
            );
            return Err(Error::new(Code::TooBig, text));
        }
        Ok(())
    }

    /// The wish in a namespace, at this time if it can expire. A key means something only where packets are conflated.
    pub fn special(&self, namespace: &Namespace, conflates: bool, now_us: u64) -> Option<Arc<Special>> {
        let key = (conflates && !self.key.is_empty()).then(|| [&namespace.id.to_le_bytes(), self.key].concat().into());
        let expires_us = (self.ttl_ms > 0).then(|| now_us + u64::from(self.ttl_ms) * 1000);
        let special = Special { expires_us, now_us, key, priority: self.priority };
        let wants = self.priority || special.key.is_some() || expires_us.is_some();
        wants.then(|| Arc::new(special))
    }
}

impl<'a> Payload<'a> {
    /// The packet's parts, unless it is encoded already.
    pub fn parts(&self, nsp: &'a str, id: Option<AckId>) -> Option<(EventParts<'a>, &'a [&'a [u8]])> {
        match *self {
            Payload::Parts { name_json, args, attachments } => {
                let count = attachments.len() as u32;
                Some((EventParts { nsp, id, name_json, args, attachments: count }, attachments))
            }
            Payload::Prepared(_) => None,
        }
    }

    /// The event's name and arguments as one JSON array, and the attachments that it has placeholders for.
    pub fn data(&self, nsp: &str) -> (String, Vec<&'a [u8]>) {
        match *self {
            Payload::Parts { name_json, args, attachments } => {
                let inner = json::trim(args.get(1..args.len().saturating_sub(1)).unwrap_or_default());
                let comma = if inner.is_empty() { "" } else { "," };
                (format!("[{name_json}{comma}{inner}]"), attachments.to_vec())
            }
            Payload::Prepared(prepared) => {
                let text = std::str::from_utf8(frames::payload(&prepared.encoded.first)).unwrap_or_default();
                // Engine.IO's type, Socket.IO's type and count, and the namespace, unless it is the first one.
                let packet = text.get(2..).unwrap_or_default();
                let packet = packet.trim_start_matches(|char: char| char.is_ascii_digit());
                let packet = packet.strip_prefix('-').unwrap_or(packet);
                let data = packet.strip_prefix(nsp).and_then(|rest| rest.strip_prefix(',')).unwrap_or(packet);
                (data.to_owned(), prepared.encoded.attachments.iter().map(|frame| frames::payload(frame)).collect())
            }
        }
    }

    /// Bytes of the packet's text, and how many attachments it has.
    fn size(&self, nsp: &str) -> (usize, usize) {
        match (self, self.parts(nsp, None)) {
            (Payload::Prepared(prepared), _) => (prepared.encoded.text_len(), prepared.encoded.attachments.len()),
            (_, parts) => parts.map_or((0, 0), |(parts, attachments)| (parts.len(), attachments.len())),
        }
    }
}
