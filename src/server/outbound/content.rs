//! A packet on its way into a queue: its parts, or its frames.

use crate::proto::socket_packet::{AckParts, EventParts};
use crate::proto::websocket::Opcode;
use crate::server::encoded::Encoded;
use crate::server::frames::{self, Class, frame_len};

/// What is to be queued.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Event(&'a EventParts<'a>, &'a [&'a [u8]]),
    Ack(&'a AckParts<'a>, &'a [&'a [u8]]),
    Encoded(&'a Encoded),
    /// A text message without Engine.IO's type.
    Message(&'a [u8]),
    /// One frame.
    Single(Opcode, &'a [u8]),
}

impl Content<'_> {
    /// Bytes of the text that is still to be encoded, Engine.IO's type included.
    #[inline(always)]
    pub(super) fn text_len(&self) -> usize {
        match self {
            Content::Event(parts, _) => 1 + parts.len(),
            Content::Ack(parts, _) => 1 + parts.len(),
            Content::Message(text) => 1 + text.len(),
            Content::Encoded(_) | Content::Single(..) => 0,
        }
    }

    /// Bytes of the packet's frames.
    #[inline(always)]
    pub(super) fn len(&self, text_len: usize) -> usize {
        let sum = |attachments: &[&[u8]]| attachments.iter().map(|data| frame_len(data.len())).sum::<usize>();
        match self {
            Content::Event(_, attachments) | Content::Ack(_, attachments) => frame_len(text_len) + sum(attachments),
            Content::Message(_) => frame_len(text_len),
            Content::Encoded(encoded) => encoded.len(),
            Content::Single(_, payload) => frame_len(payload.len()),
        }
    }

    /// What may become of it while it waits.
    pub(super) fn class(&self, raw: bool) -> Class {
        match self {
            Content::Event(parts, _) if parts.id.is_none() => Class::Event,
            Content::Event(..) => Class::Asking,
            Content::Ack(..) => Class::Ack,
            Content::Message(_) => Class::Event,
            Content::Encoded(encoded) => frames::classify(frames::payload(&encoded.first), false, raw).0,
            Content::Single(op, payload) => frames::classify(payload, *op == Opcode::Binary, raw).0,
        }
    }

    /// Its frames.
    pub(super) fn encode(&self) -> Encoded {
        match self {
            Content::Event(parts, attachments) => Encoded::event(parts, attachments),
            Content::Ack(parts, attachments) => Encoded::ack(parts, attachments),
            Content::Message(text) => Encoded::message(text),
            Content::Encoded(encoded) => (*encoded).clone(),
            Content::Single(op, payload) => Encoded::single(*op, payload),
        }
    }
}
