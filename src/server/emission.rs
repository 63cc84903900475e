//! What the host emits: an event by its parts, or a message that was prepared for many emissions.

use std::sync::Arc;

use super::backlog::Special;
use super::budget::{KEY_MAX, PRIORITY_PACKET_MAX};
use super::encoded::Encoded;
use super::error::{Code, Error};
use super::namespace::Namespace;
use crate::proto::ack_id::AckId;
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
    /// Not to be written after this time; 0 is without end.
    pub ttl_ms: u32,
    /// Under the policy `conflate` it supersedes packets with the same key, if one is given.
    pub key: &'a [u8],
    /// It passes ordinary events that wait.
    pub priority: bool,
}

impl Emission<'_> {
    /// What it wants beyond being sent in a namespace, if anything; the time is asked for only if it can expire. A key means something
    /// only where packets are conflated.
    pub fn special(
        &self,
        namespace: &Namespace,
        conflates: bool,
        now_ms: impl FnOnce() -> u64,
    ) -> Result<Option<Arc<Special>>, Error> {
        if self.ttl_ms == 0 && self.key.is_empty() && !self.priority {
            return Ok(None);
        }
        if self.key.len() > KEY_MAX {
            let text = format!("the emission's key has {} bytes; the limit is {KEY_MAX}", self.key.len());
            return Err(Error::new(Code::TooBig, text));
        }
        let (len, attachments) = self.payload.size(&namespace.name);
        if self.priority && (attachments > 0 || len > PRIORITY_PACKET_MAX) {
            let text = format!(
                "the packet has {len} bytes and {attachments} attachments; with priority it may have {PRIORITY_PACKET_MAX} and none"
            );
            return Err(Error::new(Code::TooBig, text));
        }
        let key = conflates && !self.key.is_empty();
        if self.ttl_ms == 0 && !key && !self.priority {
            return Ok(None);
        }
        let mut special = Special { priority: self.priority, ..Special::default() };
        if self.ttl_ms > 0 {
            special.now_ms = now_ms();
            special.expires_ms = Some(special.now_ms + u64::from(self.ttl_ms));
        }
        if key {
            special.key = Some([&namespace.id.to_le_bytes(), self.key].concat().into());
        }
        Ok(Some(Arc::new(special)))
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

    /// Bytes of the packet's text, and how many attachments it has.
    fn size(&self, nsp: &str) -> (usize, usize) {
        match (self, self.parts(nsp, None)) {
            (Payload::Prepared(prepared), _) => (prepared.encoded.text_len(), prepared.encoded.attachments.len()),
            (_, parts) => parts.map_or((0, 0), |(parts, attachments)| (parts.len(), attachments.len())),
        }
    }
}
