//! Long-polling payloads of Engine.IO revision 4: text packets joined by the record separator, none at the end.
//!
//! The iterator holds nothing but a position, so a payload may have any number of packets: the least packet takes two
//! bytes with its separator, hence the bound on the body's size is the bound on their number.

use super::engine_packet::{Packet, ParseError, decode_text};

/// What stands between two packets of a payload: U+001E, which JSON text never holds unescaped.
pub const SEPARATOR: u8 = 0x1e;

/// The packets of a polling body, in order; the iterator ends after the first one that is bad.
///
/// An empty segment is bad, so an empty body and a separator at either end give an error (engine-io.md §3).
pub fn packets(body: &str) -> Packets<'_> {
    Packets { rest: Some(body) }
}

/// The packets of a body that are still to come.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: Option<&'a str>,
}

impl Packets<'_> {
    /// How many bytes are left: that much of the body's end, read as a body, gives the packets that are still to come. `None` if none are.
    pub fn left(&self) -> Option<usize> {
        self.rest.map(str::len)
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let body = self.rest?;
        let (segment, rest) = match body.split_once(char::from(SEPARATOR)) {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (body, None),
        };
        let packet = decode_text(segment);
        self.rest = if packet.is_ok() { rest } else { None };
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine_packet::PacketType;
    use super::super::testing::{Random, cases, unhex, vectors};
    use super::*;
    use serde_json::Value;
    use std::borrow::Cow;

    fn join(packets: &[Packet<'_>]) -> String {
        let mut out = Vec::new();
        for (index, packet) in packets.iter().enumerate() {
            if index > 0 {
                out.push(SEPARATOR);
            }
            packet.write_text(&mut out);
        }
        String::from_utf8(out).unwrap()
    }

    fn described(packet: &Value) -> Option<Packet<'_>> {
        if let Some(hex) = packet["data"]["$bin"].as_str() {
            return Some(Packet::Binary(Cow::Owned(unhex(hex))));
        }
        let kind = match packet["type"].as_str().unwrap() {
            "open" => PacketType::Open,
            "ping" => PacketType::Ping,
            "message" => PacketType::Message,
            "error" => return None,
            other => panic!("{other}"),
        };
        Some(Packet::Text { kind, data: packet["data"].as_str().unwrap_or_default() })
    }

    #[test]
    fn official_vectors_encode() {
        let file = vectors("engine-io-parser.json");
        for case in cases(&file, "/v4/encodePayload") {
            let packets: Vec<_> = case["packets"].as_array().unwrap().iter().filter_map(described).collect();
            assert_eq!(join(&packets), case["out"]["text"].as_str().unwrap());
        }
    }

    #[test]
    fn official_vectors_decode() {
        let file = vectors("engine-io-parser.json");
        for case in cases(&file, "/v4/decodePayload") {
            let decoded: Vec<_> = packets(case["text"].as_str().unwrap()).map(Result::ok).collect();
            let expected: Vec<_> = case["out"].as_array().unwrap().iter().map(described).collect();
            assert_eq!(decoded, expected, "{case}");
        }
    }

    #[test]
    fn nothing_is_read_after_a_bad_packet() {
        let mut packets = packets("9\u{1e}4a");
        assert_eq!(packets.next(), Some(Err(ParseError)));
        assert_eq!(packets.next(), None);
        assert_eq!(packets.next(), None);
    }

    #[test]
    fn every_payload_decodes_to_its_packets() {
        let mut random = Random::new(2);
        for _ in 0..500 {
            let texts: Vec<_> = (0..random.below(6) + 1).map(|_| random.text(8)).collect();
            let written: Vec<_> = texts
                .iter()
                .map(|text| match random.below(2) {
                    0 => Packet::Text { kind: PacketType::Message, data: text },
                    _ => Packet::Binary(Cow::Borrowed(text.as_bytes())),
                })
                .collect();
            let read: Vec<_> = packets(&join(&written)).map(|packet| format!("{packet:?}")).collect();
            assert_eq!(read, written.iter().map(|packet| format!("Ok({packet:?})")).collect::<Vec<_>>());
        }
    }
}
