//! Encoders for the Socket.IO packets that a server sends, of protocol revision 5.
//!
//! Each appends to a buffer of the caller's, in one pass and without memory of its own; the Engine.IO message type in
//! front is the caller's. Payloads are JSON text that has been checked where it entered the engine, so the encoders trust
//! it: they only join it. [`super::socket_packet`] is the decoder.

use super::ack_id::{AckId, decimal_len, write_decimal};
use super::json;
use super::socket_packet::ROOT_NAMESPACE;

/// An EVENT, or a BINARY_EVENT if it has attachments, ready to be written.
#[derive(Clone, Copy, Debug)]
pub struct EventParts<'a> {
    pub nsp: &'a str,
    pub id: Option<AckId>,
    /// The event name as JSON, quotes included.
    pub name_json: &'a str,
    /// The arguments as one JSON array, which [`json::array`] has checked; placeholders stand for attachments.
    pub args: &'a str,
    pub attachments: u32,
}

#[expect(clippy::len_without_is_empty, reason = "no packet is empty")]
impl EventParts<'_> {
    /// How many bytes [`EventParts::write`] appends.
    pub fn len(&self) -> usize {
        let args = elements(self.args);
        let comma = usize::from(!args.is_empty());
        self.head().len() + self.name_json.len() + comma + args.len() + "[]".len()
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let args = elements(self.args);
        self.head().write(out);
        out.push(b'[');
        out.extend_from_slice(self.name_json.as_bytes());
        if !args.is_empty() {
            out.push(b',');
            out.extend_from_slice(args.as_bytes());
        }
        out.push(b']');
    }

    fn head(&self) -> Head<'_> {
        let kind = if self.attachments == 0 { b'2' } else { b'5' };
        Head { kind, attachments: self.attachments, nsp: self.nsp, id: self.id }
    }
}

/// An ACK, or a BINARY_ACK if it has attachments, ready to be written.
#[derive(Clone, Copy, Debug)]
pub struct AckParts<'a> {
    pub nsp: &'a str,
    pub id: AckId,
    /// As in [`EventParts`].
    pub args: &'a str,
    pub attachments: u32,
}

#[expect(clippy::len_without_is_empty, reason = "no packet is empty")]
impl AckParts<'_> {
    /// How many bytes [`AckParts::write`] appends.
    pub fn len(&self) -> usize {
        self.head().len() + elements(self.args).len() + "[]".len()
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.head().write(out);
        out.push(b'[');
        out.extend_from_slice(elements(self.args).as_bytes());
        out.push(b']');
    }

    fn head(&self) -> Head<'_> {
        let kind = if self.attachments == 0 { b'3' } else { b'6' };
        Head { kind, attachments: self.attachments, nsp: self.nsp, id: Some(self.id) }
    }
}

/// What stands before the JSON.
struct Head<'a> {
    kind: u8,
    attachments: u32,
    nsp: &'a str,
    id: Option<AckId>,
}

impl<'a> Head<'a> {
    fn plain(kind: u8, nsp: &'a str) -> Self {
        Self { kind, attachments: 0, nsp, id: None }
    }

    fn len(&self) -> usize {
        let attachments = if self.attachments == 0 { 0 } else { decimal_len(self.attachments.into()) + 1 };
        let nsp = if is_root(self.nsp) { 0 } else { self.nsp.len() + 1 };
        1 + attachments + nsp + self.id.map_or(0, AckId::len)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind);
        if self.attachments > 0 {
            write_decimal(self.attachments.into(), out);
            out.push(b'-');
        }
        if !is_root(self.nsp) {
            out.extend_from_slice(self.nsp.as_bytes());
            out.push(b',');
        }
        if let Some(id) = self.id {
            id.write(out);
        }
    }
}

/// Appends a successful CONNECT answer; `pid` only under connection state recovery.
pub fn write_connect(nsp: &str, sid: &str, pid: Option<&str>, out: &mut Vec<u8>) {
    Head::plain(b'0', nsp).write(out);
    out.extend_from_slice(b"{\"sid\":");
    json::write_string(sid, out);
    if let Some(pid) = pid {
        out.extend_from_slice(b",\"pid\":");
        json::write_string(pid, out);
    }
    out.push(b'}');
}

/// Appends a DISCONNECT.
pub fn write_disconnect(nsp: &str, out: &mut Vec<u8>) {
    Head::plain(b'1', nsp).write(out);
}

/// Appends a CONNECT_ERROR. `data` is JSON text; a part that is `None` is left out (server-behaviour.md 1.12).
pub fn write_connect_error(nsp: &str, message: Option<&str>, data: Option<&str>, out: &mut Vec<u8>) {
    Head::plain(b'4', nsp).write(out);
    out.push(b'{');
    if let Some(message) = message {
        out.extend_from_slice(b"\"message\":");
        json::write_string(message, out);
    }
    if let Some(data) = data {
        out.extend_from_slice(if message.is_some() { b",\"data\":" } else { b"\"data\":" });
        out.extend_from_slice(data.as_bytes());
    }
    out.push(b'}');
}

fn is_root(nsp: &str) -> bool {
    // Not compared as text, which would be a call; a namespace's name starts with its slash.
    nsp.len() <= ROOT_NAMESPACE.len()
}

fn elements(args: &str) -> &str {
    let elements = json::inside(args);
    debug_assert!(elements.is_some(), "arguments are a checked JSON array");
    elements.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::socket_packet::{Limits, Packet, decode};
    use super::super::testing::{Random, cases, vectors};
    use super::*;
    use serde_json::Value;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Writes a value of the vectors as JSON.stringify does once binaries are placeholders, numbered by `binaries`.
    fn stringify(value: &Value, binaries: &mut u32, out: &mut Vec<u8>) {
        match value {
            Value::Number(number) => super::super::ack_id::write_number(number.as_f64().unwrap(), out),
            Value::Array(list) => {
                out.push(b'[');
                for (index, value) in list.iter().enumerate() {
                    out.extend_from_slice(if index > 0 { b"," } else { b"" });
                    stringify(value, binaries, out);
                }
                out.push(b']');
            }
            Value::Object(map) if map.contains_key("$bin") || map.contains_key("$arraybuffer") => {
                out.extend_from_slice(format!("{{\"_placeholder\":true,\"num\":{binaries}}}").as_bytes());
                *binaries += 1;
            }
            Value::Object(map) if map.contains_key("$date") => json::write_string(map["$date"].as_str().unwrap(), out),
            Value::Object(map) if map.contains_key("$undefined") || map.contains_key("$number") => {
                out.extend_from_slice(b"null");
            }
            Value::Object(map) => {
                let defined = map.iter().filter(|(_, value)| value.get("$undefined").is_none());
                out.push(b'{');
                for (index, (key, value)) in defined.enumerate() {
                    out.extend_from_slice(if index > 0 { b"," } else { b"" });
                    json::write_string(key, out);
                    out.push(b':');
                    stringify(value, binaries, out);
                }
                out.push(b'}');
            }
            other => out.extend_from_slice(other.to_string().as_bytes()),
        }
    }

    fn stringified(value: &Value) -> (String, u32) {
        let mut binaries = 0;
        (written(|out| stringify(value, &mut binaries, out)), binaries)
    }

    fn encoded(packet: &Value) -> String {
        let (nsp, data) = (packet["nsp"].as_str().unwrap(), &packet["data"]);
        let id = packet["id"].as_u64().map(AckId::from_u64);
        match packet["type"].as_u64().unwrap() {
            // What a client sends: sockeye has no use for an encoder of its own here.
            0 if data["sid"].is_null() => written(|out| {
                Head::plain(b'0', nsp).write(out);
                out.extend_from_slice(data.as_object().map(|_| stringified(data).0).unwrap_or_default().as_bytes());
            }),
            0 => written(|out| write_connect(nsp, data["sid"].as_str().unwrap(), data["pid"].as_str(), out)),
            1 => written(|out| write_disconnect(nsp, out)),
            2 => {
                let list = data.as_array().unwrap();
                let (name_json, args) = (stringified(&list[0]).0, stringified(&list[1..].to_vec().into()));
                let parts = EventParts { nsp, id, name_json: &name_json, args: &args.0, attachments: args.1 };
                let text = written(|out| parts.write(out));
                assert_eq!(text.len(), parts.len());
                text
            }
            3 => {
                let (args, attachments) = stringified(data);
                let parts = AckParts { nsp, id: id.unwrap(), args: &args, attachments };
                let text = written(|out| parts.write(out));
                assert_eq!(text.len(), parts.len());
                text
            }
            _ => written(|out| write_connect_error(nsp, data["message"].as_str(), None, out)),
        }
    }

    #[test]
    fn official_vectors_encode() {
        let file = vectors("socket-io-parser.json");
        for case in cases(&file, "/v5/encode") {
            assert_eq!(encoded(&case["packet"]), case["frames"][0]["text"].as_str().unwrap(), "{case}");
        }
    }

    #[test]
    fn a_refusal_has_only_the_parts_it_is_given() {
        let refusal = |message, data| written(|out| write_connect_error("/a", message, data, out));
        assert_eq!(refusal(None, None), "4/a,{}");
        assert_eq!(refusal(None, Some("[1]")), "4/a,{\"data\":[1]}");
        assert_eq!(refusal(Some("\"no\""), Some("1")), "4/a,{\"message\":\"\\\"no\\\"\",\"data\":1}");
    }

    #[test]
    fn white_space_in_empty_arguments_leaves_no_comma() {
        let parts = EventParts { nsp: "", id: None, name_json: "\"a\"", args: " [ ] ", attachments: 0 };
        assert_eq!(written(|out| parts.write(out)), "2[\"a\"]");
        assert_eq!(parts.len(), 6);
    }

    #[test]
    fn every_packet_decodes_to_its_parts() {
        let mut random = Random::new(5);
        for _ in 0..3000 {
            let nsp = random.pick(&["/", "/admin", "/é x"]);
            let id = [None, Some(AckId::from_u64(random.below(1 << 60) as u64))][random.below(2)];
            let attachments = random.below(11) as u32;
            let name = format!("n{}", random.text(6));
            let (mut name_json, mut args) = (Vec::new(), b"[".to_vec());
            json::write_string(&name, &mut name_json);
            for index in 0..random.below(4) {
                args.extend_from_slice(if index > 0 { b"," } else { b"" });
                json::write_string(&random.text(9), &mut args);
            }
            args.push(b']');
            let (name_json, args) = (String::from_utf8(name_json).unwrap(), String::from_utf8(args).unwrap());
            let parts = EventParts { nsp, id, name_json: &name_json, args: &args, attachments };
            let text = written(|out| parts.write(out));
            assert_eq!(text.len(), parts.len());
            let Ok(Packet::Event { nsp: nsp2, id: id2, event: Some(event), json, attachments: attachments2 }) =
                decode(&text, &Limits::default())
            else {
                panic!("{text}");
            };
            assert_eq!((nsp2, id2, &*event.name, attachments2), (nsp, id, &*name, attachments));
            assert_eq!(written(|out| json::write_args(json, event.args, out)), args);
        }
    }
}
