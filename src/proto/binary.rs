//! Packets with binary attachments: the text header comes first, then one binary message for each attachment.
//!
//! Placeholders are checked and left in the JSON: a host gets the text, in which `{"_placeholder":true,"num":1}` stands
//! for attachment 1, and the attachments beside it. They are checked when the header comes, so that no attachment of a
//! packet that is going to be refused is ever held; the official decoder finds out with the last one.
//!
//! A [`Reconstructor`] holds at most the header and as many messages as the header announced, which
//! [`Limits::attachments_max`] bounds; each message's size is bounded by the transport.

use std::borrow::Cow;

use bytes::Bytes;

use super::ack_id::{AckId, parse_number};
use super::json::{self, ArgsSpan, Event};
use super::socket_packet::{DecodeError, Limits, Packet, decode};

/// The decoder of one connection: text and binary messages in, packets out.
#[derive(Debug, Default)]
pub struct Reconstructor {
    /// The packet whose attachments are still coming; boxed, since most connections never have one.
    pending: Option<Box<Pending>>,
}

#[derive(Debug)]
struct Pending {
    packet: Complete,
    attachments: u32,
}

/// A packet with all of its attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complete {
    nsp: String,
    id: Option<AckId>,
    body: Body,
    json: String,
    /// In the order that the placeholders number them in.
    pub attachments: Vec<Bytes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    Event(Option<Event<'static>>),
    Ack(ArgsSpan),
}

impl Reconstructor {
    /// Decodes a text message. `None` means that it was the header of a packet whose attachments are to come.
    ///
    /// # Errors
    /// Those of [`decode`], [`DecodeError::Placeholder`], and [`DecodeError::TextWhilePending`].
    pub fn take_text<'a>(&mut self, text: &'a str, limits: &Limits) -> Result<Option<Packet<'a>>, DecodeError> {
        if self.pending.is_some() {
            return Err(DecodeError::TextWhilePending);
        }
        let (nsp, id, body, json, attachments) = match decode(text, limits)? {
            Packet::Event { nsp, id, event, json, attachments } if attachments > 0 => {
                (nsp, id, Body::Event(event.map(owned)), json, attachments)
            }
            Packet::Ack { nsp, id, args, json, attachments } if attachments > 0 => {
                (nsp, id, Body::Ack(args), json, attachments)
            }
            packet => return Ok(Some(packet)),
        };
        check_placeholders(json, attachments)?;
        let packet = Complete { nsp: nsp.to_owned(), id, body, json: json.to_owned(), attachments: Vec::new() };
        self.pending = Some(Box::new(Pending { packet, attachments }));
        Ok(None)
    }

    /// Adds an attachment; the packet comes out with its last one.
    ///
    /// # Errors
    /// [`DecodeError::BinaryWhileIdle`] if no attachment was due.
    pub fn add(&mut self, attachment: Bytes) -> Result<Option<Complete>, DecodeError> {
        let pending = self.pending.as_mut().ok_or(DecodeError::BinaryWhileIdle)?;
        pending.packet.attachments.push(attachment);
        if pending.packet.attachments.len() < pending.attachments as usize {
            return Ok(None);
        }
        Ok(self.pending.take().map(|pending| pending.packet))
    }

    /// Whether attachments are due.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// How many bytes of a packet that is not complete are held.
    pub fn bytes_held(&self) -> usize {
        let Some(pending) = &self.pending else { return 0 };
        pending.packet.json.len() + pending.packet.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

impl Complete {
    /// The packet, as [`decode`] gives one without attachments.
    pub fn packet(&self) -> Packet<'_> {
        let Self { nsp, id, json, .. } = self;
        let (id, attachments) = (*id, self.attachments.len() as u32);
        match &self.body {
            Body::Event(event) => {
                let event = event.as_ref().map(|event| Event { name: Cow::Borrowed(&*event.name), ..*event });
                Packet::Event { nsp, id, event, json, attachments }
            }
            Body::Ack(args) => Packet::Ack { nsp, id, args: *args, json, attachments },
        }
    }
}

fn owned(event: Event<'_>) -> Event<'static> {
    Event { name: Cow::Owned(event.name.into_owned()), name_is_number: event.name_is_number, args: event.args }
}

/// Checks that each placeholder in `json` names one of `count` attachments (socket-io.md §2).
///
/// An object is a placeholder iff its `_placeholder` is `true`; what else such an object holds is not looked at. Of
/// duplicate keys the last counts; the values of the others are looked at all the same, which no encoder can notice.
/// Expects JSON that is known to be valid, or nothing; it keeps its own stack, so depth is bounded by the text alone.
///
/// # Errors
/// [`DecodeError::Placeholder`] if a placeholder's `num` is missing or no integer from 0 to below `count`.
pub fn check_placeholders(json: &str, count: u32) -> Result<(), DecodeError> {
    let mut open = vec![Container::default()];
    let mut rest = json;
    while let Some(&byte) = rest.as_bytes().first() {
        let token_len = token_len(rest.as_bytes());
        let (token, after) = rest.split_at_checked(token_len).unwrap_or((rest, ""));
        rest = after;
        let Some(top) = open.last_mut() else { break };
        match byte {
            b'{' => open.push(Container { awaits_key: true, is_object: true, ..Container::default() }),
            b'[' => open.push(Container::default()),
            b'}' | b']' => {
                let illegal = top.is_illegal();
                open.pop();
                if let Some(parent) = open.last_mut() {
                    parent.value("", count);
                    parent.holds_illegal |= illegal;
                }
            }
            b',' => top.awaits_key = top.is_object,
            b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
            _ if top.awaits_key => top.key(token),
            _ => top.value(token, count),
        }
    }
    let illegal = open.first().is_some_and(|root| root.holds_illegal);
    if illegal { Err(DecodeError::Placeholder) } else { Ok(()) }
}

/// What is known of an array or object that is still open.
#[derive(Default)]
struct Container {
    is_object: bool,
    awaits_key: bool,
    key: Key,
    is_placeholder: bool,
    num_is_good: bool,
    /// A placeholder somewhere inside names no attachment.
    holds_illegal: bool,
}

/// The keys that matter.
#[derive(Default)]
enum Key {
    Placeholder,
    Num,
    #[default]
    Other,
}

impl Container {
    fn is_illegal(&self) -> bool {
        if self.is_placeholder { !self.num_is_good } else { self.holds_illegal }
    }

    fn key(&mut self, token: &str) {
        self.awaits_key = false;
        let decoded = if token.contains('\\') { json::string(token).ok() } else { None };
        self.key = match decoded.as_deref().unwrap_or(token.trim_matches('"')) {
            "_placeholder" => Key::Placeholder,
            "num" => Key::Num,
            _ => Key::Other,
        };
    }

    /// Takes note of the value that follows the last key: a scalar's text, or nothing for an array or object.
    fn value(&mut self, token: &str, count: u32) {
        match self.key {
            Key::Placeholder => self.is_placeholder = token == "true",
            Key::Num => {
                let starts_a_number = token.starts_with(|c: char| c == '-' || c.is_ascii_digit());
                let num = if starts_a_number { parse_number(token) } else { f64::NAN };
                self.num_is_good = num >= 0.0 && num < f64::from(count) && num.fract() == 0.0;
            }
            Key::Other => {}
        }
    }
}

/// The length of the token at the start of valid JSON: a string, a literal or number, or else one byte.
fn token_len(bytes: &[u8]) -> usize {
    match bytes.split_first() {
        Some((b'"', string)) => json::string_end(string).0 + 2,
        Some((b'-' | b'0'..=b'9' | b'a'..=b'z', _)) => {
            bytes.iter().take_while(|b| matches!(b, b'-' | b'+' | b'.' | b'E' | b'0'..=b'9' | b'a'..=b'z')).count()
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, cases, unhex, vectors};
    use super::*;
    use serde_json::{Value, json};

    /// The packet as the vectors describe packets, attachments in their places.
    fn described(packet: &Packet<'_>, attachments: &[Bytes]) -> Value {
        let parse = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        let (kind, nsp, id, data) = match packet {
            Packet::Connect { nsp, auth } => (0, nsp, &None, auth.map(parse)),
            Packet::Disconnect { nsp } => (1, nsp, &None, None),
            Packet::Event { nsp, id, json, .. } => (2, nsp, id, (!json.is_empty()).then(|| parse(json))),
            Packet::Ack { nsp, id, json, .. } => (3, nsp, id, (!json.is_empty()).then(|| parse(json))),
            Packet::ConnectError { nsp, data } => (4, nsp, &None, data.map(parse)),
        };
        let mut value = json!({"type": kind, "nsp": nsp});
        if let Some(id) = id {
            let mut text = Vec::new();
            id.write(&mut text);
            value["id"] = Value::String(String::from_utf8(text).unwrap());
        }
        if let Some(mut data) = data {
            fill(&mut data, attachments);
            value["data"] = data;
        }
        value
    }

    fn fill(value: &mut Value, attachments: &[Bytes]) {
        match value {
            Value::Object(map) if map.get("_placeholder") == Some(&Value::Bool(true)) => {
                let bytes = &attachments[map["num"].as_u64().unwrap() as usize];
                *value = json!({"$bin": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()});
            }
            Value::Object(map) => map.values_mut().for_each(|value| fill(value, attachments)),
            Value::Array(list) => list.iter_mut().for_each(|value| fill(value, attachments)),
            _ => {}
        }
    }

    fn decode_all(frames: &[Value]) -> (Vec<Value>, Option<DecodeError>) {
        let (mut reconstructor, mut packets) = (Reconstructor::default(), Vec::new());
        for frame in frames {
            let packet = match frame["text"].as_str() {
                Some(text) => reconstructor
                    .take_text(text, &Limits::default())
                    .map(|packet| packet.map(|packet| described(&packet, &[]))),
                None => {
                    let attachment = unhex(frame["binary_hex"].as_str().unwrap()).into();
                    reconstructor
                        .add(attachment)
                        .map(|complete| complete.map(|c| described(&c.packet(), &c.attachments)))
                }
            };
            match packet {
                Ok(packet) => packets.extend(packet),
                Err(error) => return (packets, Some(error)),
            }
        }
        (packets, None)
    }

    #[test]
    fn official_vectors_decode() {
        let file = vectors("socket-io-parser.json");
        for case in cases(&file, "/v5/decode") {
            let (packets, error) = decode_all(case["frames"].as_array().unwrap());
            assert_eq!(error.map(|error| error.to_string()).as_deref(), case["error"].as_str(), "{case}");
            let mut expected = case.get("decoded").unwrap_or(&case["decodedBefore"]).clone();
            for packet in expected.as_array_mut().unwrap() {
                if let Some(id) = packet.get_mut("id") {
                    *id = Value::String(format!("{}", id.as_f64().unwrap()));
                }
            }
            assert_eq!(Value::Array(packets), expected, "{case}");
        }
    }

    #[test]
    fn placeholders_must_name_an_attachment() {
        let good = [
            "",
            r#"[{"_placeholder":true,"num":1}]"#,
            r#"[{"num":0.0,"_placeholder":true},{"_placeholder":true,"num":-0}]"#,
            r#"[{"_placeholder":false,"num":9},{"_placeholder":"true"},{"x":{"_placeholder":[true]}}]"#,
            r#"["_placeholder",true,{"a":"_placeholder","b":true,"true":true}]"#,
            r#"[{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":9}}]"#,
            r#"[{"x":{"_placeholder":true,"num":9},"_placeholder":true,"num":0}]"#,
            r#"[{"_placeholder":true,"_placeholder":1,"num":9}]"#,
            r#"[{"_placeholder":true,"num":9,"num":1e0}]"#,
            r#"["\ud800\"{",1e999,{"\udc00":-1.5E+3}]"#,
        ];
        for json in good {
            assert_eq!(check_placeholders(json, 2), Ok(()), "{json}");
        }
        let bad = [
            r#"[{"_placeholder":true}]"#,
            r#"[{"_placeholder":true,"num":2}]"#,
            r#"[{"_placeholder":true,"num":0.5}]"#,
            r#"[{"_placeholder":true,"num":-1}]"#,
            r#"[{"_placeholder":true,"num":"0"}]"#,
            r#"[{"_placeholder":true,"num":[0]}]"#,
            r#"[{"_placeholder":true,"num":null}]"#,
            r#"[{"\u005fplaceholder" : true , "num" : 9}]"#,
            r#"[1,[{"a":{"b":[{"_placeholder":true,"num":2},1]},"c":1}],{}]"#,
            r#"[{"_placeholder":1,"_placeholder":true}]"#,
        ];
        for json in bad {
            assert_eq!(check_placeholders(json, 2), Err(DecodeError::Placeholder), "{json}");
        }
    }

    #[test]
    fn a_placeholder_is_found_at_any_depth() {
        let deep = |num: u32| {
            let (open, close) = ("[{\"a\":".repeat(50_000), "}]".repeat(50_000));
            format!("{open}{{\"_placeholder\":true,\"num\":{num}}}{close}")
        };
        assert_eq!(check_placeholders(&deep(0), 1), Ok(()));
        assert_eq!(check_placeholders(&deep(1), 1), Err(DecodeError::Placeholder));
    }

    #[test]
    fn text_that_is_no_json_does_not_panic() {
        let mut random = Random::new(7);
        for _ in 0..20_000 {
            let pieces = ["{", "}", "[", "]", "\"", "\\", ",", ":", "true", "1", "é", "\"_placeholder\"", "\"num\""];
            let text: String = (0..random.below(12)).map(|_| random.pick(&pieces)).collect();
            let _ = check_placeholders(&text, 1);
        }
    }

    #[test]
    fn a_packet_is_complete_with_its_last_attachment() {
        let mut reconstructor = Reconstructor::default();
        let header = "52-/a,3[\"e\",{\"_placeholder\":true,\"num\":1}]";
        assert_eq!(reconstructor.take_text(header, &Limits::default()), Ok(None));
        assert_eq!(reconstructor.add(Bytes::from_static(b"x")), Ok(None));
        assert!(reconstructor.is_pending());
        assert_eq!(reconstructor.bytes_held(), 36);
        let complete = reconstructor.add(Bytes::from_static(b"yz")).unwrap().unwrap();
        assert_eq!(complete.attachments, ["x", "yz"]);
        assert_eq!(complete.packet(), decode(header, &Limits::default()).unwrap());
        assert!(!reconstructor.is_pending());
        assert_eq!(reconstructor.bytes_held(), 0);
    }

    #[test]
    fn an_ack_with_attachments_keeps_its_arguments() {
        let mut reconstructor = Reconstructor::default();
        let header = "61-15[1, {\"_placeholder\":true,\"num\":0}]";
        assert_eq!(reconstructor.take_text(header, &Limits::default()), Ok(None));
        let complete = reconstructor.add(Bytes::new()).unwrap().unwrap();
        assert_eq!(complete.packet(), decode(header, &Limits::default()).unwrap());
    }

    #[test]
    fn a_bad_placeholder_is_found_before_any_attachment_is_held() {
        let mut reconstructor = Reconstructor::default();
        let refused = reconstructor.take_text("51-[\"e\",{\"_placeholder\":true,\"num\":1}]", &Limits::default());
        assert_eq!(refused, Err(DecodeError::Placeholder));
        assert!(!reconstructor.is_pending());
    }
}
