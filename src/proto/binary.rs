//! Packets with binary attachments: the text header comes first, then one binary message for each attachment.
//!
//! Placeholders are checked and left in the JSON: a host gets the text, in which `{"_placeholder":true,"num":1}` stands
//! for attachment 1, and the attachments beside it. They are checked when the header comes, so that no attachment of a
//! packet that is going to be refused is ever held; the official decoder finds out with the last one.
//!
//! A [`Reconstructor`] holds at most the header and copies of all attachments but the last, as many as
//! [`Limits::attachments_max`] allows, each no larger than the transport lets a message be: `attachmentsMax` ×
//! `maxHttpBufferSize` in all, which is what the official server takes as well, so no less would do for its clients. For how
//! long, [`Reconstructor::set_deadline`] bounds. The last attachment is borrowed:
//! the usual packet, with one attachment, costs no copy of its data, and no allocation where the last packet's memory was
//! given back. Between packets a connection holds nothing, for most are idle most of the time.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use super::ack_id::AckId;
use super::json::{ArgsSpan, Event};
use super::placeholder::check_placeholders;
use super::socket_packet::{DecodeError, Limits, Packet, ROOT_NAMESPACE, decode};

/// The decoder of one connection: text and binary messages in, packets out.
#[derive(Debug, Default)]
pub struct Reconstructor {
    /// The packet whose attachments are still coming; boxed, since most connections never have one.
    pending: Option<Box<Pending>>,
}

/// A time that never comes.
pub const NO_DEADLINE: u64 = u64::MAX;

/// Text that a spare packet may keep room for: headers are short, and what is idle should be small.
const SPARE_TEXT_MAX: usize = 1024;

thread_local! {
    /// The memory of the last packet that this thread was done with.
    static SPARE: Cell<Option<Box<Pending>>> = const { Cell::new(None) };
}

#[derive(Debug)]
struct Pending {
    header: Header,
    attachments: u32,
    /// When the caller's patience with them ends.
    deadline_ms: u64,
    /// All attachments so far; the last one never gets here.
    kept: Vec<Box<[u8]>>,
}

/// A packet with all of its attachments, the last of them borrowed from the message that brought it.
#[derive(Debug)]
pub struct Complete<'a> {
    pending: Box<Pending>,
    last: &'a [u8],
}

/// A decoded header: its text, and where in the text its parts stand.
#[derive(Debug)]
struct Header {
    text: String,
    /// `None` for the root namespace, which the text may leave out.
    nsp: Option<Range<usize>>,
    id: Option<AckId>,
    json: Range<usize>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Event(Option<HeldEvent>),
    Ack(ArgsSpan),
}

#[derive(Debug)]
struct HeldEvent {
    name: Name,
    name_is_number: bool,
    args: ArgsSpan,
}

#[derive(Debug)]
enum Name {
    /// The name as the header's text spells it.
    Span(Range<usize>),
    /// The text spells the name with escapes, or as a number that JavaScript prints in another way.
    Decoded(String),
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
        let (nsp, id, json, body, attachments) = match decode(text, limits)? {
            Packet::Event { nsp, id, event, json, attachments } if attachments > 0 => {
                (nsp, id, json, Body::Event(event.map(|event| HeldEvent::new(text, event))), attachments)
            }
            Packet::Ack { nsp, id, args, json, attachments } if attachments > 0 => {
                (nsp, id, json, Body::Ack(args), attachments)
            }
            packet => return Ok(Some(packet)),
        };
        check_placeholders(json, attachments)?;
        // Parts that the text leaves out, which have no span, are the root namespace and an empty payload.
        let (nsp, json) = (span_of(text, nsp), span_of(text, json).unwrap_or_default());
        self.pending = Some(match SPARE.take() {
            Some(mut pending) => {
                pending.header.text.push_str(text);
                let text = std::mem::take(&mut pending.header.text);
                pending.header = Header { text, nsp, id, json, body };
                pending.attachments = attachments;
                pending.deadline_ms = NO_DEADLINE;
                pending
            }
            None => {
                let header = Header { text: text.to_owned(), nsp, id, json, body };
                Box::new(Pending { header, attachments, deadline_ms: NO_DEADLINE, kept: Vec::new() })
            }
        });
        Ok(None)
    }

    /// Notes when the attachments that are still to come are due; nothing without such.
    pub fn set_deadline(&mut self, at_ms: u64) {
        if let Some(pending) = &mut self.pending {
            pending.deadline_ms = at_ms;
        }
    }

    /// When attachments are due that are still to come; [`NO_DEADLINE`] if none are.
    pub fn deadline(&self) -> u64 {
        self.pending.as_ref().map_or(NO_DEADLINE, |pending| pending.deadline_ms)
    }

    /// Takes an attachment; the packet comes out with its last one. Only the attachments before that are copied.
    ///
    /// # Errors
    /// [`DecodeError::BinaryWhileIdle`] if no attachment was due.
    pub fn accept<'a>(&mut self, data: &'a [u8]) -> Result<Option<Complete<'a>>, DecodeError> {
        let pending = self.pending.as_mut().ok_or(DecodeError::BinaryWhileIdle)?;
        if pending.kept.len() + 1 < pending.attachments as usize {
            pending.kept.push(data.into());
            return Ok(None);
        }
        Ok(self.pending.take().map(|pending| Complete { pending, last: data }))
    }
}

impl Complete<'_> {
    /// Keeps the packet's memory for the next one on this thread.
    pub fn recycle(mut self) {
        if self.pending.header.text.capacity() <= SPARE_TEXT_MAX {
            self.pending.header.text.clear();
            self.pending.kept.clear();
            SPARE.set(Some(self.pending));
        }
    }

    /// The packet, as [`decode`] gives the header.
    pub fn packet(&self) -> Packet<'_> {
        let Pending { header, attachments, .. } = &*self.pending;
        let (id, attachments) = (header.id, *attachments);
        let nsp = header.nsp.as_ref().map_or(ROOT_NAMESPACE, |span| part(&header.text, span));
        let json = part(&header.text, &header.json);
        match &header.body {
            Body::Event(event) => {
                let event = event.as_ref().map(|event| event.in_text(&header.text));
                Packet::Event { nsp, id, event, json, attachments }
            }
            Body::Ack(args) => Packet::Ack { nsp, id, args: *args, json, attachments },
        }
    }

    /// The attachments, in the order that the placeholders number them in; never none.
    pub fn attachments(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        let kept = &self.pending.kept;
        (0..kept.len() + 1).map(|index| kept.get(index).map_or(self.last, |data| data))
    }
}

impl HeldEvent {
    fn new(text: &str, event: Event<'_>) -> Self {
        let Event { name, name_is_number, args } = event;
        let name = match span_of(text, &name) {
            Some(span) => Name::Span(span),
            None => Name::Decoded(name.into_owned()),
        };
        Self { name, name_is_number, args }
    }

    fn in_text<'a>(&'a self, text: &'a str) -> Event<'a> {
        let name = match &self.name {
            Name::Span(span) => part(text, span),
            Name::Decoded(name) => name,
        };
        Event { name: Cow::Borrowed(name), name_is_number: self.name_is_number, args: self.args }
    }
}

/// The offsets of `part` in `text`, or `None` if it is no slice of it.
fn span_of(text: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= text.len()).then_some(start..end)
}

fn part<'a>(text: &'a str, span: &Range<usize>) -> &'a str {
    text.get(span.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cases, unhex, vectors};
    use super::*;
    use serde_json::{Value, json};

    /// The packet as the vectors describe packets, attachments in their places.
    fn described(packet: &Packet<'_>, attachments: &[&[u8]]) -> Value {
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

    fn fill(value: &mut Value, attachments: &[&[u8]]) {
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
                    let attachment = unhex(frame["binary_hex"].as_str().unwrap());
                    let described = |c: Complete<'_>| described(&c.packet(), &c.attachments().collect::<Vec<_>>());
                    reconstructor.accept(&attachment).map(|complete| complete.map(described))
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
    fn a_packet_is_complete_with_its_last_attachment() {
        let mut reconstructor = Reconstructor::default();
        let header = "53-/a,3[\"e\",{\"_placeholder\":true,\"num\":1}]";
        assert_eq!(reconstructor.take_text(header, &Limits::default()), Ok(None));
        assert!(matches!(reconstructor.accept(b"x"), Ok(None)));
        assert!(matches!(reconstructor.accept(b""), Ok(None)));
        let complete = reconstructor.accept(b"yz").unwrap().unwrap();
        assert!(complete.attachments().eq([&b"x"[..], b"", b"yz"]));
        assert_eq!(complete.attachments().len(), 3);
        assert_eq!(complete.packet(), decode(header, &Limits::default()).unwrap());
        assert_eq!(reconstructor.accept(b"").unwrap_err(), DecodeError::BinaryWhileIdle);
    }

    #[test]
    fn attachments_are_due_only_while_some_are_to_come() {
        let mut reconstructor = Reconstructor::default();
        for _ in 0..2 {
            reconstructor.set_deadline(5);
            assert_eq!(reconstructor.deadline(), NO_DEADLINE);
            assert_eq!(reconstructor.take_text("51-[\"e\"]", &Limits::default()), Ok(None));
            assert_eq!(reconstructor.deadline(), NO_DEADLINE);
            reconstructor.set_deadline(5);
            assert_eq!(reconstructor.deadline(), 5);
            reconstructor.accept(b"x").unwrap().unwrap().recycle();
        }
        assert_eq!(reconstructor.deadline(), NO_DEADLINE);
    }

    #[test]
    fn the_last_attachment_is_not_copied() {
        let mut reconstructor = Reconstructor::default();
        assert_eq!(reconstructor.take_text("51-[\"e\"]", &Limits::default()), Ok(None));
        let data = [1, 2, 3];
        let complete = reconstructor.accept(&data).unwrap().unwrap();
        assert!(complete.attachments().all(|attachment| std::ptr::eq(attachment, &data)));
    }

    #[test]
    fn text_between_attachments_is_refused() {
        let mut reconstructor = Reconstructor::default();
        assert_eq!(reconstructor.take_text("52-[\"e\"]", &Limits::default()), Ok(None));
        assert!(matches!(reconstructor.accept(b"x"), Ok(None)));
        assert_eq!(reconstructor.take_text("2[\"e\"]", &Limits::default()), Err(DecodeError::TextWhilePending));
    }

    #[test]
    fn a_held_packet_is_the_decoded_header() {
        let headers = [
            "51-",
            "51-/",
            "51-/é",
            "51-/,[\"e\"]",
            "51-/a,[7,1]",
            "51-[1e3, 1]",
            "51- [ \"\" ]\n",
            "51-/é,12[\"\\u0061\\ud800\",{\"_placeholder\":true,\"num\":0}]",
            "61-15[1, {\"_placeholder\":true,\"num\":0}]",
            "61-/a,[]",
            "61-",
        ];
        for header in headers {
            let mut reconstructor = Reconstructor::default();
            assert_eq!(reconstructor.take_text(header, &Limits::default()), Ok(None), "{header}");
            let complete = reconstructor.accept(b"").unwrap().unwrap();
            assert_eq!(complete.packet(), decode(header, &Limits::default()).unwrap(), "{header}");
        }
    }

    #[test]
    fn a_bad_placeholder_is_found_before_any_attachment_is_held() {
        let mut reconstructor = Reconstructor::default();
        let refused = reconstructor.take_text("51-[\"e\",{\"_placeholder\":true,\"num\":1}]", &Limits::default());
        assert_eq!(refused, Err(DecodeError::Placeholder));
        assert_eq!(reconstructor.accept(b"x").unwrap_err(), DecodeError::BinaryWhileIdle);
    }
}
