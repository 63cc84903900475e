//! Socket.IO packets of protocol revision 5 as text: `<type>[<attachments>-][<nsp>,][<id>][<JSON>]`.
//!
//! The decoder does what `socket.io-parser` 4.2.7 does, its oddities included (socket-io.md §1-4, server-behaviour.md
//! 2.22-2.25). It borrows everything from the text and checks the JSON, so a packet's payload can be passed on as it is.
//!
//! Not here: the encoders ([`super::socket_encode`]), attachments and placeholders ([`super::binary`]), revision 4, and
//! whether a packet is allowed at this point.

use std::fmt;

use super::ack_id::{AckId, is_space, parse_number};
use super::json::{self, ArgsSpan, Event};

pub use super::socket_encode::{AckParts, EventParts, write_connect, write_connect_error, write_disconnect};

/// The namespace that the wire leaves out.
pub const ROOT_NAMESPACE: &str = "/";

/// How many attachments the official decoder allows unless told otherwise.
pub const ATTACHMENTS_MAX_DEFAULT: u32 = 10;

/// Event names that belong to the library; a packet that carries one is invalid.
pub const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// What the decoder allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Attachments per packet.
    pub attachments_max: u32,
    /// Bytes of an event's name, as it is after decoding.
    pub event_name_max: usize,
    /// Depth of nested arrays and objects in a packet, the array of its arguments included.
    pub json_depth_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attachments_max: ATTACHMENTS_MAX_DEFAULT, event_name_max: usize::MAX, json_depth_max: u32::MAX }
    }
}

/// A decoded packet. Binary events and acks are events and acks with `attachments` above 0.
///
/// `json` is the checked payload without white space around it, and empty if the packet has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `auth` is an object.
    Connect {
        nsp: &'a str,
        auth: Option<&'a str>,
    },
    Disconnect {
        nsp: &'a str,
    },
    /// Without a payload there is no `event` either: a listener of all events hears of it, no other.
    Event {
        nsp: &'a str,
        id: Option<AckId>,
        event: Option<Event<'a>>,
        json: &'a str,
        attachments: u32,
    },
    /// `args` are in `json`, for [`json::write_args`]. Without an id the packet answers nothing.
    Ack {
        nsp: &'a str,
        id: Option<AckId>,
        args: ArgsSpan,
        json: &'a str,
        attachments: u32,
    },
    /// `data` is an object or a string. Only servers send this packet.
    ConnectError {
        nsp: &'a str,
        data: Option<&'a str>,
    },
}

/// Why a packet was refused; each closes the connection. The texts are the official ones, but for those of limits that are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The digit, or `None` for a character that is none, which JavaScript prints as NaN.
    UnknownType(Option<u8>),
    /// The attachment count is missing or not a positive integer.
    AttachmentCount,
    TooManyAttachments,
    InvalidPayload,
    /// An event's name is longer than allowed.
    EventNameTooLong,
    /// Arrays and objects are nested deeper than allowed.
    TooDeep,
    /// A placeholder that names no attachment.
    Placeholder,
    /// A text packet came where an attachment was due.
    TextWhilePending,
    /// An attachment came where none was due.
    BinaryWhileIdle,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownType(Some(digit)) => return write!(f, "unknown packet type {digit}"),
            Self::UnknownType(None) => "unknown packet type NaN",
            Self::AttachmentCount => "Illegal attachments",
            Self::TooManyAttachments => "too many attachments",
            Self::InvalidPayload => "invalid payload",
            Self::EventNameTooLong => "the event's name is too long",
            Self::TooDeep => "the payload is nested too deep",
            Self::Placeholder => "illegal attachments",
            Self::TextWhilePending => "got plaintext data when reconstructing a packet",
            Self::BinaryWhileIdle => "got binary data when not reconstructing a packet",
        })
    }
}

impl std::error::Error for DecodeError {}

impl From<json::JsonError> for DecodeError {
    fn from(error: json::JsonError) -> Self {
        if error == json::JsonError::TooDeep { Self::TooDeep } else { Self::InvalidPayload }
    }
}

/// Decodes one text packet. For one with attachments, this is the header alone.
pub fn decode<'a>(text: &'a str, limits: &Limits) -> Result<Packet<'a>, DecodeError> {
    let (kind, rest) = split_type(text)?;
    let (attachments, rest) = match kind {
        b'5' | b'6' => split_attachments(rest, limits)?,
        _ => (0, rest),
    };
    let (nsp, rest) = split_namespace(rest);
    let (id, rest) = AckId::split(rest);
    let json = json::trim(rest);
    let payload = (!rest.is_empty()).then_some(json);
    let depth_max = limits.json_depth_max;
    Ok(match kind {
        b'0' => Packet::Connect { nsp, auth: payload.map(|json| json::object_within(json, depth_max)).transpose()? },
        b'1' if payload.is_none() => Packet::Disconnect { nsp },
        b'2' | b'5' => {
            let event = payload.map(|json| split_event(json, limits)).transpose()?;
            Packet::Event { nsp, id, event, json, attachments }
        }
        b'3' | b'6' => {
            let args = payload.map(|json| json::split_args(json, depth_max)).transpose()?.unwrap_or_default();
            Packet::Ack { nsp, id, args, json, attachments }
        }
        b'4' => Packet::ConnectError { nsp, data: payload.map(|json| object_or_string(json, depth_max)).transpose()? },
        _ => return Err(DecodeError::InvalidPayload),
    })
}

/// The type digit. The official decoder takes it with `Number()`, for which nothing and white space are 0.
fn split_type(text: &str) -> Result<(u8, &str), DecodeError> {
    let Some(first) = text.chars().next() else { return Ok((b'0', "")) };
    let rest = text.get(first.len_utf8()..).unwrap_or_default();
    match first {
        '0'..='6' => Ok((first as u8, rest)),
        '7'..='9' => Err(DecodeError::UnknownType(Some(first as u8 - b'0'))),
        _ if is_space(first) => Ok((b'0', rest)),
        _ => Err(DecodeError::UnknownType(None)),
    }
}

/// The count before the first `-`, in any form that `Number()` reads.
fn split_attachments<'a>(text: &'a str, limits: &Limits) -> Result<(u32, &'a str), DecodeError> {
    let (count, rest) = match text.as_bytes() {
        // What all encoders write for a few.
        [digit @ b'1'..=b'9', b'-', ..] => (f64::from(digit - b'0'), text.get(2..).unwrap_or_default()),
        _ => {
            let (count, rest) = text.split_once('-').ok_or(DecodeError::AttachmentCount)?;
            (parse_number(count), rest)
        }
    };
    if !count.is_finite() || count.fract() != 0.0 || count < 1.0 {
        return Err(DecodeError::AttachmentCount);
    }
    if count > f64::from(limits.attachments_max) {
        return Err(DecodeError::TooManyAttachments);
    }
    Ok((count as u32, rest))
}

/// Everything from a `/` to the next comma or the end, the comma taken off. Nothing in it is interpreted.
fn split_namespace(text: &str) -> (&str, &str) {
    if text.starts_with('/') { text.split_once(',').unwrap_or((text, "")) } else { (ROOT_NAMESPACE, text) }
}

fn split_event<'a>(json: &'a str, limits: &Limits) -> Result<Event<'a>, DecodeError> {
    let event = json::split_event(json, limits.json_depth_max)?;
    if event.name.len() > limits.event_name_max {
        return Err(DecodeError::EventNameTooLong);
    }
    let reserved = !event.name_is_number && RESERVED_EVENTS.contains(&&*event.name);
    if reserved { Err(DecodeError::InvalidPayload) } else { Ok(event) }
}

fn object_or_string(json: &str, depth_max: u32) -> Result<&str, DecodeError> {
    json::validate_within(json, depth_max)?;
    json.starts_with(['{', '"']).then_some(json).ok_or(DecodeError::InvalidPayload)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, cases, vectors};
    use super::*;

    fn decoded(text: &str) -> Result<Packet<'_>, DecodeError> {
        decode(text, &Limits::default())
    }

    #[test]
    fn the_attachment_limit_is_an_option() {
        let file = vectors("socket-io-parser.json");
        for case in cases(&file, "/v5/decodeMaxAttachments") {
            let attachments_max = case["maxAttachments"].as_u64().unwrap() as u32;
            let limits = Limits { attachments_max, ..Limits::default() };
            let error = decode("511-[\"x\"]", &limits).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), case["error"].as_str(), "{case}");
        }
    }

    #[test]
    fn names_and_depth_have_limits_in_every_packet() {
        let limits = Limits { event_name_max: 3, json_depth_max: 2, ..Limits::default() };
        let within = [
            "2[\"abc\",[1]]",
            "2[\"\\u0061bc\"]",
            "2[\"é1\"]",
            "2[123]",
            "3[[]]",
            "0{\"a\":[]}",
            "4{\"a\":{}}",
            "61-1[[]]",
        ];
        for text in within {
            assert!(decode(text, &limits).is_ok(), "{text}");
        }
        for text in ["2[\"abcd\"]", "2[\"\\u0061bcd\"]", "2[\"éé\"]", "2[1234]", "51-[\"abcd\"]"] {
            assert_eq!(decode(text, &limits), Err(DecodeError::EventNameTooLong), "{text}");
        }
        for text in [
            "2[\"a\",[[]]]",
            "3[[{}]]",
            "0{\"a\":[[1]]}",
            "4{\"a\":{\"b\":[]}}",
            "51-[\"a\",[{\"b\":1}]]",
            "61-1[[[]]]",
        ] {
            assert_eq!(decode(text, &limits), Err(DecodeError::TooDeep), "{text}");
        }
    }

    #[test]
    fn nothing_and_white_space_are_a_connect() {
        let connect = |auth| Ok(Packet::Connect { nsp: "/", auth });
        assert_eq!(decoded(""), connect(None));
        assert_eq!(decoded(" {}"), connect(Some("{}")));
        assert_eq!(decoded("\u{feff}"), connect(None));
    }

    #[test]
    fn an_event_may_have_no_payload() {
        let event = Packet::Event { nsp: "/", id: None, event: None, json: "", attachments: 0 };
        assert_eq!(decoded("2"), Ok(event));
        assert!(matches!(decoded("51-"), Ok(Packet::Event { event: None, attachments: 1, .. })));
    }

    #[test]
    fn reserved_names_are_refused_escaped_ones_too() {
        for name in RESERVED_EVENTS.iter().chain(&["\\u0063onnect"]) {
            assert_eq!(decoded(&format!("2[\"{name}\"]")), Err(DecodeError::InvalidPayload), "{name}");
        }
        assert!(decoded("2[\"connection\"]").is_ok());
    }

    #[test]
    fn the_namespace_ends_at_the_next_comma() {
        let nsp = |text: &'static str| match decoded(text) {
            Ok(Packet::Event { nsp, .. }) => nsp,
            other => panic!("{other:?}"),
        };
        assert_eq!(nsp("2/é,[\"x\"]"), "/é");
        assert_eq!(nsp("2/nsp[\"x\"]"), "/nsp[\"x\"]");
        assert_eq!(nsp("2/,[\"x\"]"), "/");
    }

    #[test]
    fn payloads_come_without_white_space_around_them() {
        assert_eq!(decoded("0/a,{ } "), Ok(Packet::Connect { nsp: "/a", auth: Some("{ }") }));
        assert_eq!(decoded("4\"e\"\n"), Ok(Packet::ConnectError { nsp: "/", data: Some("\"e\"") }));
        assert!(matches!(decoded("2 [\"a\"]\t"), Ok(Packet::Event { json: "[\"a\"]", .. })));
    }

    #[test]
    fn attachment_counts_are_read_as_javascript_reads_numbers() {
        for (text, count) in [("50x2-", 2), ("5+1-", 1), ("5 1 -", 1), ("51e0-", 1), ("51.0-", 1), ("510-", 10)] {
            assert!(matches!(decoded(text), Ok(Packet::Event { attachments, .. }) if attachments == count), "{text}");
        }
        for text in ["5", "5-", "50-", "5--1-", "5Infinity-", "51.5-", "51x-", "6 -", "5inf-"] {
            assert_eq!(decoded(text), Err(DecodeError::AttachmentCount), "{text}");
        }
        assert_eq!(decoded("51e300-"), Err(DecodeError::TooManyAttachments));
    }

    #[test]
    fn unknown_types_are_named_as_officially() {
        for (text, error) in
            [("9", "unknown packet type 9"), ("a", "unknown packet type NaN"), ("😀", "unknown packet type NaN")]
        {
            assert_eq!(decoded(text).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn no_mutation_of_a_packet_panics() {
        let mut random = Random::new(6);
        let seeds = [
            "51-/admin,12[\"bin\",{\"_placeholder\":true,\"num\":0}]",
            "2/é,7[\"a\\ud83d\",1e5]",
            "0{\"sid\":\"x\"}",
            "4\"e\"",
        ];
        for _ in 0..20_000 {
            let mut text: Vec<char> = random.pick(&seeds).chars().collect();
            for _ in 0..random.below(4) {
                let (at, with) = (
                    random.below(text.len()),
                    random.pick(&["\"", "\\", "[", "]", "{", " ", "é", "-", ",", "/", "9", "\u{2028}"]),
                );
                text[at] = with.chars().next().unwrap();
            }
            let _ = decoded(&text[random.below(3).min(text.len())..].iter().collect::<String>());
        }
    }
}
