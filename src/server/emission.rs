//! What the host emits: an event by its parts, or a message that was prepared for many emissions.

use super::outbound::Encoded;
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
}
