//! A packet on its way into a queue: its parts, or its frames.

use super::FRAME_HEADER_MAX;
use crate::proto::socket_packet::{AckParts, EventParts};
use crate::proto::websocket::Opcode;
use crate::server::encoded::Encoded;
use crate::server::frames::{self, Class};

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

    /// What the bytes of the packet's frames do not exceed.
    #[inline(always)]
    pub(super) fn len_max(&self, text_len: usize) -> usize {
        let sum = |attachments: &[&[u8]]| attachments.iter().map(|data| data.len() + FRAME_HEADER_MAX).sum::<usize>();
        match self {
            Content::Event(_, attachments) | Content::Ack(_, attachments) => {
                text_len + FRAME_HEADER_MAX + sum(attachments)
            }
            Content::Message(_) => text_len + FRAME_HEADER_MAX,
            Content::Encoded(encoded) => encoded.len(),
            Content::Single(_, payload) => payload.len() + FRAME_HEADER_MAX,
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
