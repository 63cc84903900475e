//! A packet encoded once, for as many receivers as it has: WebSocket frames, which delimit themselves and carry everything that the
//! other transport needs too.

use bytes::Bytes;

use super::frames;
use crate::proto::socket_packet::{AckParts, EventParts};
use crate::proto::websocket::{self, Opcode};

/// The frames of one packet, nothing of which may come between them. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// The text frame, or the only one.
    pub first: Bytes,
    /// Its attachments, a frame each.
    pub attachments: Box<[Bytes]>,
    /// Bytes of all frames.
    len: usize,
}

impl Encoded {
    /// A packet of whole frames.
    pub fn new(first: Bytes, attachments: Box<[Bytes]>) -> Encoded {
        let len = first.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        Encoded { first, attachments, len }
    }

    /// Encodes an event.
    pub fn event(parts: &EventParts<'_>, attachments: &[&[u8]]) -> Encoded {
        let first = message(parts.len(), |out| parts.write(out));
        Encoded::new(first, attachments.iter().map(|data| binary(data)).collect())
    }

    /// Encodes an acknowledgement.
    pub fn ack(parts: &AckParts<'_>, attachments: &[&[u8]]) -> Encoded {
        let first = message(parts.len(), |out| parts.write(out));
        Encoded::new(first, attachments.iter().map(|data| binary(data)).collect())
    }

    /// Encodes a text message.
    pub fn message(text: &[u8]) -> Encoded {
        Encoded::new(message(text.len(), |out| out.extend_from_slice(text)), Box::default())
    }

    /// A packet of one frame: text with its Engine.IO type, or a binary message.
    pub fn single(op: Opcode, payload: &[u8]) -> Encoded {
        Encoded::new(frame(op, payload.len(), |out| out.extend_from_slice(payload)), Box::default())
    }

    /// Its frames in order.
    pub fn frames(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.attachments)
    }

    /// Its frames in order, given away.
    pub fn into_frames(self) -> impl Iterator<Item = Bytes> {
        std::iter::once(self.first).chain(self.attachments)
    }

    /// Bytes of all frames.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of an event's text, without Engine.IO's type.
    pub fn text_len(&self) -> usize {
        frames::payload(&self.first).len().saturating_sub(1)
    }
}

fn message(len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    frame(Opcode::Text, 1 + len, |out| {
        out.push(b'4');
        write(out);
    })
}

fn binary(data: &[u8]) -> Bytes {
    frame(Opcode::Binary, data.len(), |out| out.extend_from_slice(data))
}

fn frame(op: Opcode, payload_len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = Vec::with_capacity(frames::frame_len(payload_len));
    websocket::write_header(op, payload_len, &mut bytes);
    write(&mut bytes);
    bytes.into()
}
