//! Properties of the wire, over inputs that proptest makes up and shrinks: what is encoded decodes to itself however it is cut up, and
//! nothing that a peer sends makes a decoder hold more than its bound.
//!
//! What no encoder would write is for the targets in `fuzz/`.

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;
use sockeye::proto::ack_id::AckId;
use sockeye::proto::binary::Reconstructor;
use sockeye::proto::engine_packet::{Packet as EnginePacket, PacketType, decode_text};
use sockeye::proto::json;
use sockeye::proto::payload::{self, SEPARATOR};
use sockeye::proto::socket_packet::{AckParts, EventParts, Limits, Packet, RESERVED_EVENTS, decode};
use sockeye::proto::websocket::{self, Assembler, Message, Opcode, Step};

#[path = "wire/memory.rs"]
mod memory;

// ---- Engine.IO ------------------------------------------------------------------------------------------------------------

/// A text packet, or a binary message.
#[derive(Clone, Debug)]
enum Sent {
    Text(PacketType, String),
    Binary(Vec<u8>),
}

impl Sent {
    fn packet(&self) -> EnginePacket<'_> {
        match self {
            Sent::Text(kind, data) => EnginePacket::Text { kind: *kind, data },
            Sent::Binary(data) => EnginePacket::Binary(Cow::Borrowed(data)),
        }
    }

    fn wire(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.packet().write_text(&mut out);
        out
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let kind = (b'0'..=b'6').prop_map(|digit| PacketType::from_byte(digit).expect("a type"));
    // The separator of payloads is the one character that a packet cannot carry over polling.
    let text = any::<String>().prop_map(|text| text.replace(char::from(SEPARATOR), ""));
    prop_oneof![
        (kind, text).prop_map(|(kind, text)| Sent::Text(kind, text)),
        vec(any::<u8>(), 0..200).prop_map(Sent::Binary)
    ]
}

proptest! {
    #[test]
    fn an_engine_packet_decodes_to_itself(sent in sent()) {
        let wire = String::from_utf8(sent.wire()).expect("packets are text");
        prop_assert_eq!(decode_text(&wire), Ok(sent.packet()));
    }

    #[test]
    fn a_payload_decodes_to_its_packets(packets in vec(sent(), 1..12)) {
        let body = packets.iter().map(Sent::wire).collect::<Vec<_>>().join(&SEPARATOR);
        let body = String::from_utf8(body).expect("payloads are text");
        let decoded: Result<Vec<_>, _> = payload::packets(&body).collect();
        prop_assert_eq!(decoded, Ok(packets.iter().map(Sent::packet).collect()));
    }
}

// ---- Socket.IO ------------------------------------------------------------------------------------------------------------

/// JSON values as text, as `JSON.stringify` would write them.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<String>().prop_map(|text| quoted(&text)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let member = (any::<String>(), inner.clone()).prop_map(|(name, value)| format!("{}:{value}", quoted(&name)));
        prop_oneof![
            vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    json::write_string(text, &mut out);
    String::from_utf8(out).expect("JSON is text")
}

fn namespace() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|name| format!("/{}", name.replace(',', "")))
}

fn id() -> impl Strategy<Value = AckId> {
    (0..1_u64 << 53).prop_map(AckId::from_u64)
}

fn name() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("reserved", |name| !RESERVED_EVENTS.contains(&name.as_str()))
}

/// Arguments as a JSON array, and what is attached: each attachment has its placeholder.
fn arguments() -> impl Strategy<Value = (String, Vec<Vec<u8>>)> {
    (vec(value(), 0..4), vec(vec(any::<u8>(), 0..100), 0..=10)).prop_map(|(mut values, attachments)| {
        let placeholder = |num| format!("{{\"_placeholder\":true,\"num\":{num}}}");
        values.extend((0..attachments.len()).map(placeholder));
        (format!("[{}]", values.join(",")), attachments)
    })
}

/// What a packet's text and its attachments, arriving one by one, come out as.
#[derive(Debug, PartialEq)]
struct Received {
    nsp: String,
    id: Option<AckId>,
    name: Option<String>,
    args: String,
    attachments: Vec<Vec<u8>>,
}

fn receive(text: &[u8], sent: &[Vec<u8>]) -> Option<Received> {
    let text = std::str::from_utf8(text).expect("packets are text");
    let limits = Limits::default();
    let mut decoder = Reconstructor::default();
    if let Some(packet) = decoder.take_text(text, &limits).expect(text) {
        return received(&packet, &[]);
    }
    for (at, attachment) in sent.iter().enumerate() {
        if let Some(complete) = decoder.accept(attachment).expect(text) {
            assert_eq!(at + 1, sent.len(), "complete before its last attachment");
            let attachments: Vec<&[u8]> = complete.attachments().collect();
            return received(&complete.packet(), &attachments);
        }
    }
    None
}

fn received(packet: &Packet<'_>, attachments: &[&[u8]]) -> Option<Received> {
    let (nsp, id, name, span, json) = match packet {
        Packet::Event { nsp, id, event: Some(event), json, .. } => {
            (nsp, id, Some(event.name.to_string()), event.args, json)
        }
        Packet::Ack { nsp, id, args, json, .. } => (nsp, id, None, *args, json),
        _ => return None,
    };
    let mut args = Vec::new();
    json::write_args(json, span, &mut args);
    let args = String::from_utf8(args).expect("JSON is text");
    let attachments = attachments.iter().map(|data| data.to_vec()).collect();
    Some(Received { nsp: (*nsp).to_owned(), id: *id, name, args, attachments })
}

proptest! {
    #[test]
    fn an_event_decodes_to_its_parts(nsp in namespace(), id in proptest::option::of(id()), name in name(), args in arguments()) {
        let (args, attachments) = args;
        let count = attachments.len() as u32;
        let mut text = Vec::new();
        let parts = EventParts { nsp: &nsp, id, name_json: &quoted(&name), args: &args, attachments: count };
        parts.write(&mut text);
        prop_assert_eq!(parts.len(), text.len());
        let received = receive(&text, &attachments);
        prop_assert_eq!(received, Some(Received { nsp, id, name: Some(name), args, attachments }));
    }

    #[test]
    fn an_ack_decodes_to_its_parts(nsp in namespace(), id in id(), args in arguments()) {
        let (args, attachments) = args;
        let count = attachments.len() as u32;
        let mut text = Vec::new();
        let parts = AckParts { nsp: &nsp, id, args: &args, attachments: count };
        parts.write(&mut text);
        prop_assert_eq!(parts.len(), text.len());
        let received = receive(&text, &attachments);
        prop_assert_eq!(received, Some(Received { nsp, id: Some(id), name: None, args, attachments }));
    }

    #[test]
    fn a_packet_takes_no_more_memory_than_its_messages(texts in vec(any::<String>(), 1..8), binaries in vec(vec(any::<u8>(), 0..300), 0..12)) {
        let header = format!("5{}-[\"a\",{}]", binaries.len().clamp(1, 10), texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(","));
        let bytes = header.len() + binaries.iter().map(Vec::len).sum::<usize>();
        memory::bounded(2 * bytes + memory::SLACK, || {
            let mut decoder = Reconstructor::default();
            let _ = decoder.take_text(&header, &Limits::default());
            for binary in &binaries {
                let _ = decoder.accept(binary);
            }
            for text in &texts {
                let _ = decode(text, &Limits::default());
            }
        });
    }
}

// ---- WebSocket ------------------------------------------------------------------------------------------------------------

/// A client's message, where it is cut into frames, with pings between them.
#[derive(Clone, Debug)]
struct Fragmented {
    text: Option<String>,
    data: Vec<u8>,
    cuts: Vec<usize>,
    pings: bool,
    mask: [u8; 4],
}

fn fragmented() -> impl Strategy<Value = Fragmented> {
    let payload = prop_oneof![
        any::<String>().prop_map(|text| (Some(text.clone()), text.into_bytes())),
        vec(any::<u8>(), 0..700).prop_map(|data| (None, data)),
    ];
    (payload, vec(any::<prop::sample::Index>(), 0..5), any::<bool>(), any::<[u8; 4]>()).prop_map(
        |((text, data), cuts, pings, mask)| {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
            cuts.sort_unstable();
            Fragmented { text, data, cuts, pings, mask }
        },
    )
}

impl Fragmented {
    fn write(&self, out: &mut Vec<u8>) {
        let ends = self.cuts.iter().copied().chain([self.data.len()]);
        let mut start = 0;
        for (at, end) in ends.enumerate() {
            let opcode = match (at, &self.text) {
                (0, Some(_)) => 1,
                (0, None) => 2,
                _ => 0,
            };
            let fin = if at == self.cuts.len() { 0x80 } else { 0 };
            self.frame(fin | opcode, &self.data[start..end], out);
            start = end;
            if self.pings && fin == 0 {
                self.frame(0x89, b"there?", out);
            }
        }
    }

    fn frame(&self, first: u8, payload: &[u8], out: &mut Vec<u8>) {
        out.push(first);
        match payload.len() {
            len @ 0..=125 => out.push(0x80 | len as u8),
            len => out.extend([&[0xfe], &(len as u16).to_be_bytes()[..]].concat()),
        }
        out.extend(self.mask);
        out.extend(payload.iter().zip(self.mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
}

/// The messages in a stream that arrives in pieces, without pings.
fn hear(stream: &[u8], piece: usize, message_max: usize) -> Vec<Vec<u8>> {
    let mut assembler = Assembler::new(message_max);
    let (mut buffer, mut heard) = (Vec::new(), Vec::new());
    for bytes in stream.chunks(piece) {
        buffer.extend_from_slice(bytes);
        while let Step::Frame(frame) = websocket::decode(&mut buffer, assembler.room()).expect("a frame") {
            match assembler.accept(&frame, &buffer[frame.payload.clone()]).expect("a message") {
                Some(Message::Text(text)) => heard.push(text.as_bytes().to_vec()),
                Some(Message::Binary(data)) => heard.push(data.to_vec()),
                Some(Message::Ping(data)) => assert_eq!(data, b"there?"),
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            buffer.drain(..frame.consumed);
        }
    }
    assert!(buffer.is_empty(), "something was left over");
    heard
}

proptest! {
    #[test]
    fn messages_survive_any_fragmentation_and_any_pieces(messages in vec(fragmented(), 1..5), piece in 1..200_usize) {
        let mut stream = Vec::new();
        for message in &messages {
            message.write(&mut stream);
        }
        let data: Vec<_> = messages.iter().map(|message| message.data.clone()).collect();
        prop_assert_eq!(hear(&stream, piece, 5000), data);
    }

    #[test]
    fn our_headers_say_how_long_the_payload_is(len in prop_oneof![0..300_usize, 65_000..66_000_usize]) {
        let mut frame = Vec::new();
        websocket::write_header(Opcode::Binary, len, &mut frame);
        prop_assert_eq!(frame.len(), websocket::header_len(len));
        // As a client would send it, with a mask of zeros.
        frame[1] |= 0x80;
        let total = frame.len() + 4 + len;
        frame.resize(total, 0);
        let Ok(Step::Frame(decoded)) = websocket::decode(&mut frame, len) else { panic!("no frame") };
        prop_assert_eq!((decoded.opcode, decoded.fin, decoded.consumed), (Opcode::Binary, true, total));
        prop_assert_eq!(decoded.payload, total - len..total);
    }

    #[test]
    fn a_stream_of_frames_takes_no_more_memory_than_the_limit(stream in vec(any::<u8>(), 0..3000), message_max in 0..2000_usize) {
        let mut stream = stream;
        memory::bounded(3 * message_max + memory::SLACK, || {
            let mut assembler = Assembler::new(message_max);
            let mut used = 0;
            while let Ok(Step::Frame(frame)) = websocket::decode(&mut stream[used..], assembler.room()) {
                let payload = used + frame.payload.start..used + frame.payload.end;
                used += frame.consumed;
                if assembler.accept(&frame, &stream[payload]).is_err() {
                    break;
                }
            }
        });
    }
}
