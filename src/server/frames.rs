//! Packets found again in what waits: a run of a server's WebSocket frames, unmasked and unfragmented, which tell their lengths and
//! what they are. So the queue keeps no list beside them while it needs none.

use bytes::Bytes;

use super::encoded::Encoded;
use crate::proto::websocket::Opcode;

/// What may become of a packet while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Engine.IO's own packets: outside of every budget, and never dropped.
    Control,
    /// CONNECT, CONNECT_ERROR and DISCONNECT: never dropped, and no event may pass them.
    Barrier,
    /// An acknowledgement: somebody waits for it, so it is never dropped.
    Ack,
    /// An event that asks for one: it is not dropped once it waits.
    Asking,
    /// Any other event or message.
    Event,
}

/// Bytes of a frame with a payload of so many.
pub fn frame_len(payload_len: usize) -> usize {
    payload_len + 2 + 2 * usize::from(payload_len > 125) + 6 * usize::from(payload_len > 0xffff)
}

/// The payload of a whole frame.
pub fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.get(header..).unwrap_or_default()
}

/// Whether a frame is binary.
pub fn is_binary(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 0x0f == 2)
}

/// Bytes of the frame that `bytes` starts with.
fn extent(bytes: &[u8]) -> usize {
    match *bytes {
        [_, 126, a, b, ..] => 4 + usize::from(u16::from_be_bytes([a, b])),
        [_, 127, a, b, c, d, e, f, g, h, ..] => {
            10usize.saturating_add(u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize)
        }
        [_, len, ..] => 2 + usize::from(len),
        _ => bytes.len(),
    }
}

/// What a packet is, by the payload of its first frame, and how many attachments follow it. `raw` messages are the host's own, and
/// mean nothing here.
pub fn classify(payload: &[u8], is_binary: bool, raw: bool) -> (Class, usize) {
    if is_binary {
        return (Class::Event, 0);
    }
    match *payload {
        // A message, or a binary one for a client that takes no binary frames.
        [b'4' | b'b', ..] if raw => (Class::Event, 0),
        [b'4', b'0' | b'1' | b'4', ..] => (Class::Barrier, 0),
        [b'4', b'2', ref rest @ ..] => (event_class(rest), 0),
        [b'4', b'3', ..] => (Class::Ack, 0),
        [b'4', kind, ref rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (count, rest) = rest.split_at_checked(digits).unwrap_or_default();
            let count = count.iter().fold(0usize, |sum, digit| sum.saturating_mul(10) + usize::from(digit - b'0'));
            // After the number there is a dash.
            let is_event = kind == b'5';
            (if is_event { event_class(rest.get(1..).unwrap_or_default()) } else { Class::Ack }, count)
        }
        _ => (Class::Control, 0),
    }
}

/// An event by what follows its type and number of attachments: an id asks for an acknowledgement.
fn event_class(rest: &[u8]) -> Class {
    let after_namespace = match rest {
        [b'/', ..] => rest.iter().position(|byte| *byte == b',').and_then(|comma| rest.get(comma + 1..)),
        _ => Some(rest),
    };
    let asks = after_namespace.and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit);
    if asks { Class::Asking } else { Class::Event }
}

/// Calls `each` for the packets in a run of frames, with shared frames at their places.
pub fn each_in_run(bytes: &[u8], shared: &[(usize, Bytes)], raw: bool, mut each: impl FnMut(Class, Encoded)) {
    let mut frames = RunFrames { bytes, shared, at: 0 };
    while let Some(first) = frames.next() {
        let (class, attachments) = classify(payload(&first), is_binary(&first), raw);
        let attachments = frames.by_ref().take(attachments).collect();
        each(class, Encoded::new(first, attachments));
    }
}

/// The frames of a run, each of its own.
struct RunFrames<'a> {
    bytes: &'a [u8],
    shared: &'a [(usize, Bytes)],
    at: usize,
}

impl Iterator for RunFrames<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(((at, frame), rest)) = self.shared.split_first()
            && *at <= self.at
        {
            self.shared = rest;
            return Some(frame.clone());
        }
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let frame = rest.get(..extent(rest)).unwrap_or(rest);
        self.at += frame.len();
        Some(Bytes::copy_from_slice(frame))
    }
}

/// Calls `each` for the packets of a polling session, which are payloads, each with whether it is binary.
pub fn each_in_payloads<'a>(
    mut payloads: impl Iterator<Item = (&'a [u8], bool)>,
    raw: bool,
    mut each: impl FnMut(Class, Encoded),
) {
    let frame = |(data, binary): (&[u8], bool)| Encoded::single(opcode(binary), data).first;
    while let Some(first) = payloads.next() {
        let (class, attachments) = classify(first.0, first.1, raw);
        let attachments = payloads.by_ref().take(attachments).map(frame).collect();
        each(class, Encoded::new(frame(first), attachments));
    }
}

/// The opcode of a message.
pub fn opcode(binary: bool) -> Opcode {
    if binary { Opcode::Binary } else { Opcode::Text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::websocket::{header_len, write_header};

    #[test]
    fn packets_are_classified_by_what_they_are() {
        let cases: [(&str, Class, usize); 14] = [
            ("2", Class::Control, 0),
            ("6", Class::Control, 0),
            ("40{\"sid\":\"a\"}", Class::Barrier, 0),
            ("41/admin,", Class::Barrier, 0),
            ("44{\"message\":\"no\"}", Class::Barrier, 0),
            ("42[\"a\",1]", Class::Event, 0),
            ("42/admin,[\"a\"]", Class::Event, 0),
            ("4212[\"a\"]", Class::Asking, 0),
            ("42/admin,0[\"a\"]", Class::Asking, 0),
            ("430[]", Class::Ack, 0),
            ("452-[\"a\",{}]", Class::Event, 2),
            ("452-7[\"a\",{}]", Class::Asking, 2),
            ("4512-/b,[\"a\",{}]", Class::Event, 12),
            ("461-3[{}]", Class::Ack, 1),
        ];
        for (text, class, attachments) in cases {
            assert_eq!(classify(text.as_bytes(), false, false), (class, attachments), "{text}");
        }
        assert_eq!(classify(b"40", false, true), (Class::Event, 0));
        assert_eq!(classify(b"2", false, true), (Class::Control, 0));
        assert_eq!(classify(b"2", true, true), (Class::Event, 0));
    }

    #[test]
    fn frames_have_the_length_that_the_library_gives_them() {
        for len in [0, 125, 126, 0xffff, 0x10000] {
            assert_eq!(frame_len(len), header_len(len) + len);
            let mut frame = Vec::new();
            write_header(Opcode::Binary, len, &mut frame);
            frame.resize(frame.len() + len, 7);
            assert_eq!((payload(&frame).len(), extent(&frame), is_binary(&frame)), (len, frame.len(), true));
        }
    }

    #[test]
    fn packets_of_a_run_are_found_with_their_attachments_and_shared_frames() {
        let mut bytes = Vec::new();
        for text in ["42[\"a\"]", "2", "452-[\"b\"]"] {
            write_header(Opcode::Text, text.len(), &mut bytes);
            bytes.extend_from_slice(text.as_bytes());
        }
        let place = bytes.len();
        bytes.extend_from_slice(b"\x82\x01x\x81\x06430[\"]");
        let shared =
            [(0, Encoded::single(Opcode::Text, b"42[\"s\"]").first), (place, Bytes::from_static(b"\x82\x01s"))];
        let mut found = Vec::new();
        each_in_run(&bytes, &shared, false, |class, packet| {
            let text = String::from_utf8_lossy(payload(&packet.first)).into_owned();
            let attachments: Vec<u8> = packet.attachments.iter().map(|frame| payload(frame)[0]).collect();
            found.push((class, text, attachments));
        });
        let wanted = [
            (Class::Event, "42[\"s\"]", &b""[..]),
            (Class::Event, "42[\"a\"]", b""),
            (Class::Control, "2", b""),
            (Class::Event, "452-[\"b\"]", b"sx"),
            (Class::Ack, "430[\"]", b""),
        ];
        assert_eq!(found.len(), wanted.len());
        for (found, (class, text, attachments)) in found.iter().zip(wanted) {
            assert_eq!((found.0, found.1.as_str(), &found.2[..]), (class, text, attachments));
        }
    }

    #[test]
    fn packets_of_a_polling_session_become_frames() {
        let payloads = [(&b"451-[\"a\"]"[..], false), (b"\x01", true), (b"2", false)];
        let mut found = Vec::new();
        each_in_payloads(payloads.into_iter(), false, |class, packet| found.push((class, packet.frames().count())));
        assert_eq!(found, [(Class::Event, 2), (Class::Control, 1)]);
    }
}
