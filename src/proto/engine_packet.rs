//! Engine.IO revision 4 packets in their text form: a type character, then the data; or `b` and base64 for a binary message.
//!
//! Binary WebSocket frames carry no type and need no decoding: they are [`Packet::Binary`] as they stand. Framing is
//! [`super::payload`]'s and [`super::websocket`]'s, revision 3 is not handled here, and which packet a peer may send in
//! which state is the session's to decide.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The type of a text packet, in the order of its wire digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketType {
    Open,
    Close,
    Ping,
    Pong,
    Message,
    Upgrade,
    Noop,
}

impl PacketType {
    /// The type whose wire character is `byte`, `0` to `6`.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            b'0' => Self::Open,
            b'1' => Self::Close,
            b'2' => Self::Ping,
            b'3' => Self::Pong,
            b'4' => Self::Message,
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            _ => return None,
        })
    }

    /// The wire character.
    pub fn as_byte(self) -> u8 {
        b'0' + self as u8
    }
}

/// One Engine.IO packet. Only messages can be binary, so [`Packet::Binary`] has no type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Data is empty both for `4` and for a packet that has none: the wire does not tell them apart.
    Text { kind: PacketType, data: &'a str },
    /// Borrowed from a binary frame, owned when it came as base64.
    Binary(Cow<'a, [u8]>),
}

impl Packet<'_> {
    /// Appends the packet as text, a binary one as `b` and base64: the form for polling and for `b64` sessions.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Packet::Text { kind, data } => {
                out.push(kind.as_byte());
                out.extend_from_slice(data.as_bytes());
            }
            Packet::Binary(data) => encode_base64(data, out),
        }
    }
}

/// The text is no Engine.IO packet: it is empty, or its type is unknown. The session ends with reason `parse error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError;

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parser error")
    }
}

impl std::error::Error for ParseError {}

/// Decodes one text packet (engine-io.md §1): a WebSocket text frame or one segment of a polling payload.
pub fn decode_text(frame: &str) -> Result<Packet<'_>, ParseError> {
    let byte = *frame.as_bytes().first().ok_or(ParseError)?;
    // A byte that is a type or `b` is ASCII, so what follows it starts at a character.
    let data = frame.get(1..).unwrap_or_default();
    if byte == b'b' {
        return Ok(Packet::Binary(Cow::Owned(decode_base64(data))));
    }
    let kind = PacketType::from_byte(byte).ok_or(ParseError)?;
    Ok(Packet::Text { kind, data })
}

/// Appends `b` and `data` in standard base64 with padding.
pub fn encode_base64(data: &[u8], out: &mut Vec<u8>) {
    out.push(b'b');
    let start = out.len();
    out.resize(start + data.len().div_ceil(3) * 4, b'=');
    if let Some(target) = out.get_mut(start..) {
        let written = STANDARD.encode_slice(data, target);
        debug_assert!(written.is_ok(), "the room was made for exactly this text");
    }
}

/// Decodes as Node's `Buffer.from(text, "base64")`, which never fails: see [`decode_lenient`].
fn decode_base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_else(|_| decode_lenient(text))
}

/// Both alphabets, padding optional, other characters skipped, nothing read after a `=`; bits that fill no byte are dropped.
fn decode_lenient(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut bits_len) = (0u32, 0);
    for byte in text.bytes().take_while(|&byte| byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        bits_len += 6;
        if bits_len >= 8 {
            bits_len -= 8;
            out.push((bits >> bits_len) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, cases, unhex, vectors};
    use super::*;
    use serde_json::Value;

    fn binary(bytes: &[u8]) -> Packet<'_> {
        Packet::Binary(Cow::Borrowed(bytes))
    }

    fn kind_of(name: &str) -> PacketType {
        const NAMES: [&str; 7] = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];
        let digit = NAMES.iter().position(|known| *known == name).expect(name);
        PacketType::from_byte(b'0' + digit as u8).unwrap()
    }

    #[test]
    fn official_vectors_encode() {
        let file = vectors("engine-io-parser.json");
        for case in cases(&file, "/v4/encodePacket") {
            let packet = &case["packet"];
            let bytes = match &packet["data"] {
                Value::Object(data) if data.contains_key("$bin") => unhex(data["$bin"].as_str().unwrap()),
                // A typed array of 16-bit units, which the recorder wrote as its elements: two little-endian bytes each.
                Value::Object(data) => data.values().flat_map(|v| (v.as_u64().unwrap() as u16).to_le_bytes()).collect(),
                data => {
                    let kind = kind_of(packet["type"].as_str().unwrap());
                    let mut out = Vec::new();
                    Packet::Text { kind, data: data.as_str().unwrap_or_default() }.write_text(&mut out);
                    assert_eq!(std::str::from_utf8(&out).unwrap(), case["out"]["text"], "{case}");
                    continue;
                }
            };
            if case["supportsBinary"] == true {
                assert_eq!(bytes, unhex(case["out"]["binary_hex"].as_str().unwrap()), "{case}");
                continue;
            }
            let mut out = Vec::new();
            binary(&bytes).write_text(&mut out);
            assert_eq!(std::str::from_utf8(&out).unwrap(), case["out"]["text"], "{case}");
        }
    }

    #[test]
    fn official_vectors_decode() {
        let file = vectors("engine-io-parser.json");
        for case in cases(&file, "/v4/decodePacket") {
            let Some(text) = case["text"].as_str() else { continue };
            let (decoded, expected) = (decode_text(text), &case["out"]);
            if expected["type"] == "error" {
                assert_eq!(decoded, Err(ParseError), "{case}");
            } else if let Some(hex) = expected["data"]["$bin"].as_str() {
                assert_eq!(decoded, Ok(binary(&unhex(hex))), "{case}");
            } else {
                let kind = kind_of(expected["type"].as_str().unwrap());
                let data = expected["data"].as_str().unwrap_or_default();
                assert_eq!(decoded, Ok(Packet::Text { kind, data }), "{case}");
            }
        }
    }

    #[test]
    fn a_type_that_is_no_ascii_character_is_an_error() {
        assert_eq!(decode_text("é"), Err(ParseError));
    }

    #[test]
    fn base64_is_read_as_leniently_as_node_reads_it() {
        // Each answer is what Buffer.from(text, "base64") gives.
        let cases: [(&str, &[u8]); 9] = [
            ("AQIDBA", &[1, 2, 3, 4]),
            ("A Q\nI!D", &[1, 2, 3]),
            ("-_-_", &[0xfb, 0xff, 0xbf]),
            ("+/+/", &[0xfb, 0xff, 0xbf]),
            ("YQ==YQ==", b"a"),
            ("YQ=", b"a"),
            ("Y", b""),
            ("YR==", b"a"),
            ("é€YQ", b"a"),
        ];
        for (text, bytes) in cases {
            assert_eq!(decode_base64(text), bytes, "{text}");
        }
    }

    #[test]
    fn every_packet_decodes_to_itself() {
        let mut random = Random::new(1);
        for round in 0..2000 {
            let (text, bytes) = (random.text(20), random.bytes(round % 70));
            let kind = PacketType::from_byte(b'0' + random.below(7) as u8).unwrap();
            for packet in [Packet::Text { kind, data: &text }, binary(&bytes)] {
                let mut out = Vec::new();
                packet.write_text(&mut out);
                assert_eq!(decode_text(std::str::from_utf8(&out).unwrap()), Ok(packet));
            }
        }
    }
}
