//! The format of `@socket.io/redis-adapter` 8 without shards, which `@socket.io/redis-emitter` speaks too: channels, and what is in their
//! messages. Broadcasts are MessagePack of `[uid, packet, opts]`; requests and answers are JSON, or MessagePack if they hold attachments or
//! always have been. Readers take either.
//!
//! A broadcast that another server cannot read ends its process, so what is written here is whole: three elements, `opts` with both lists.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{Message, Opts, Room};
use super::msgpack::{self, Malformed};
use crate::proto::json;

/// Bytes of a message for a channel.
pub type Bytes = Vec<u8>;

/// Request types.
const SOCKETS: u64 = 0;
const ALL_ROOMS: u64 = 1;
const REMOTE_JOIN: u64 = 2;
const REMOTE_LEAVE: u64 = 3;
const REMOTE_DISCONNECT: u64 = 4;
const REMOTE_FETCH: u64 = 5;
const SERVER_SIDE_EMIT: u64 = 6;
const BROADCAST: u64 = 7;
const BROADCAST_CLIENT_COUNT: u64 = 8;
const BROADCAST_ACK: u64 = 9;

/// The channels of a namespace.
#[derive(Debug)]
pub struct Channels {
    /// Broadcasts; a room's name and `#` are appended for those that concern one room.
    pub broadcast: String,
    /// All of these.
    pub pattern: String,
    pub request: String,
    pub response: String,
    /// Answers to this server, from servers that publish them so.
    pub own_response: String,
}

impl Channels {
    /// With the prefix of the option `key`.
    pub fn new(key: &str, nsp: &str, uid: &str) -> Channels {
        let broadcast = format!("{key}#{nsp}#");
        let response = format!("{key}-response#{nsp}#");
        Channels {
            pattern: format!("{broadcast}*"),
            request: format!("{key}-request#{nsp}#"),
            own_response: format!("{response}{uid}#"),
            broadcast,
            response,
        }
    }

    /// Where a broadcast to these rooms goes.
    pub fn for_rooms(&self, rooms: &[&str]) -> String {
        match rooms {
            [room] => format!("{}{room}#", self.broadcast),
            _ => self.broadcast.clone(),
        }
    }

    /// Where answers to a server go that wants them on a channel of its own; without a name, everybody's.
    pub fn response_of(&self, uid: Option<&str>) -> String {
        uid.map_or_else(|| self.response.clone(), |uid| format!("{}{uid}#", self.response))
    }

    /// The room that a channel of the pattern is for, "" for none or several.
    pub fn room_of<'a>(&self, channel: &'a str) -> Option<&'a str> {
        let rest = channel.strip_prefix(&self.broadcast)?;
        Some(rest.strip_suffix('#').unwrap_or(rest))
    }
}

// ---- writing ------------------------------------------------------------------------------------------------------

/// Whom and how, as it is written.
#[derive(Clone, Copy)]
pub struct Whom<'a> {
    pub rooms: &'a [&'a str],
    pub except: &'a [&'a str],
    pub volatile: bool,
    pub compress: bool,
    pub timeout_ms: Option<u32>,
}

impl Whom<'_> {
    /// `{"rooms":[…],"except":[…]}`, with the flags if they are wanted.
    fn write(&self, flags: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"rooms\":");
        crate::server::write_strings(self.rooms.iter().copied(), out);
        out.extend_from_slice(b",\"except\":");
        crate::server::write_strings(self.except.iter().copied(), out);
        if flags {
            let volatile = self.volatile.then(|| "\"volatile\":true".to_owned());
            let compress = (!self.compress).then(|| "\"compress\":false".to_owned());
            let timeout = self.timeout_ms.map(|ms| format!("\"timeout\":{ms}"));
            let flags: Vec<String> = volatile.into_iter().chain(compress).chain(timeout).collect();
            out.extend_from_slice(format!(",\"flags\":{{{}}}", flags.join(",")).as_bytes());
        }
        out.push(b'}');
    }
}

/// A text that is written piece by piece.
struct Text(Vec<u8>);

impl Text {
    fn raw(mut self, text: &str) -> Text {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn string(mut self, text: &str) -> Text {
        json::write_string(text, &mut self.0);
        self
    }

    fn whom(mut self, whom: &Whom<'_>, flags: bool) -> Text {
        whom.write(flags, &mut self.0);
        self
    }

    /// As MessagePack.
    fn packed(self, attachments: &[&[u8]]) -> Result<Bytes, Malformed> {
        let text = String::from_utf8(self.0).map_err(|_| Malformed::Unexpected)?;
        let mut packed = Vec::with_capacity(text.len());
        msgpack::from_json(&text, attachments, &mut packed)?;
        Ok(packed)
    }

    /// As JSON, or as MessagePack if there are attachments: JSON would make lists of numbers of them.
    fn json(self, attachments: &[&[u8]]) -> Result<Bytes, Malformed> {
        if attachments.is_empty() { Ok(self.0) } else { self.packed(attachments) }
    }
}

fn text(text: &str) -> Text {
    Text(Vec::with_capacity(256)).raw(text)
}

/// A broadcast: `data` has the event's name and arguments.
pub fn broadcast(uid: &str, nsp: &str, data: &str, attachments: &[&[u8]], whom: &Whom<'_>) -> Result<Bytes, Malformed> {
    let packet = text("[").string(uid).raw(",{\"type\":2,\"data\":").raw(data).raw(",\"nsp\":").string(nsp);
    packet.raw("},").whom(whom, true).raw("]").packed(attachments)
}

/// A broadcast whose receivers acknowledge it.
pub fn broadcast_with_acks(
    uid: &str,
    request: &str,
    nsp: &str,
    data: &str,
    attachments: &[&[u8]],
    whom: &Whom<'_>,
) -> Result<Bytes, Malformed> {
    let head = text("{\"uid\":").string(uid).raw(",\"requestId\":").string(request).raw(",\"type\":7,\"packet\":");
    let packet = head.raw("{\"type\":2,\"data\":").raw(data).raw(",\"nsp\":").string(nsp);
    packet.raw("},\"opts\":").whom(whom, true).raw("}").packed(attachments)
}

/// Joining (or leaving) rooms.
pub fn change_rooms(uid: &str, join: bool, whom: &Whom<'_>, rooms: &[&str]) -> Result<Bytes, Malformed> {
    let kind = if join { REMOTE_JOIN } else { REMOTE_LEAVE };
    let head = text("{\"uid\":").string(uid).raw(&format!(",\"type\":{kind},\"opts\":")).whom(whom, false);
    let mut text = head.raw(",\"rooms\":");
    crate::server::write_strings(rooms.iter().copied(), &mut text.0);
    text.raw("}").json(&[])
}

/// Disconnecting.
pub fn disconnect(uid: &str, whom: &Whom<'_>, close: bool) -> Result<Bytes, Malformed> {
    let head = text("{\"uid\":").string(uid).raw(",\"type\":4,\"opts\":").whom(whom, false);
    head.raw(if close { ",\"close\":true}" } else { ",\"close\":false}" }).json(&[])
}

/// Asking for sockets.
pub fn fetch(uid: &str, request: &str, whom: &Whom<'_>) -> Result<Bytes, Malformed> {
    let head = text("{\"uid\":").string(uid).raw(",\"requestId\":").string(request);
    head.raw(",\"type\":5,\"opts\":").whom(whom, false).raw("}").json(&[])
}

/// An event for the other servers.
pub fn server_emit(uid: &str, request: Option<&str>, data: &str, attachments: &[&[u8]]) -> Result<Bytes, Malformed> {
    let mut head = text("{\"uid\":").string(uid);
    if let Some(request) = request {
        head = head.raw(",\"requestId\":").string(request);
    }
    head.raw(",\"type\":6,\"data\":").raw(data).raw("}").json(attachments)
}

/// A list that was asked for, `sockets` or `rooms`.
pub fn list(request: &str, name: &str, list: &str) -> Result<Bytes, Malformed> {
    text("{\"requestId\":").string(request).raw(",").string(name).raw(":").raw(list).raw("}").json(&[])
}

/// How many clients got a broadcast.
pub fn client_count(request: &str, count: usize) -> Result<Bytes, Malformed> {
    let head = text(&format!("{{\"type\":{BROADCAST_CLIENT_COUNT},\"requestId\":")).string(request);
    head.raw(&format!(",\"clientCount\":{count}}}")).json(&[])
}

/// A client's acknowledgement.
pub fn client_ack(request: &str, packet: &str, attachments: &[&[u8]]) -> Result<Bytes, Malformed> {
    let head = text(&format!("{{\"type\":{BROADCAST_ACK},\"requestId\":")).string(request);
    head.raw(",\"packet\":").raw(packet).raw("}").packed(attachments)
}

/// The reply to an event of another server.
pub fn server_reply(request: &str, data: &str, attachments: &[&[u8]]) -> Result<Bytes, Malformed> {
    let head = text(&format!("{{\"type\":{SERVER_SIDE_EMIT},\"requestId\":")).string(request);
    head.raw(",\"data\":").raw(data).raw("}").json(attachments)
}

// ---- reading ------------------------------------------------------------------------------------------------------

/// A message as JSON text, whichever way it was written, and its attachments.
pub fn open(bytes: &[u8]) -> Result<(Cow<'_, str>, Vec<&[u8]>), Malformed> {
    match bytes.first() {
        Some(b'{') => {
            let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Unexpected)?;
            Ok((Cow::Borrowed(text), Vec::new()))
        }
        _ => msgpack::to_json(bytes).map(|(text, attachments)| (Cow::Owned(text), attachments)),
    }
}

#[derive(Deserialize)]
struct Packet<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    nsp: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    r#type: Option<u64>,
    #[serde(borrow)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "requestId")]
    request: Option<Cow<'a, str>>,
    rooms: Option<Vec<Room>>,
    opts: Option<Opts>,
    sid: Option<Room>,
    room: Option<Room>,
    close: Option<bool>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    packet: Option<&'a RawValue>,
    #[serde(borrow)]
    sockets: Option<&'a RawValue>,
    #[serde(rename = "clientCount")]
    client_count: Option<usize>,
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|_| Malformed::Unexpected)
}

/// Reads a broadcast; `None` if it is this server's own, or another namespace's.
pub fn read_broadcast<'a>(text: &'a str, uid: &str, nsp: &str) -> Result<Option<Message<'a>>, Malformed> {
    let (from, packet, opts): (Cow<'a, str>, Packet<'a>, Opts) = parse(text)?;
    if from == uid || packet.nsp.as_deref().unwrap_or("/") != nsp {
        return Ok(None);
    }
    Ok(Some(Message::Broadcast { request: None, data: packet.data.get(), opts }))
}

/// Who asks, if that is told, and what.
pub type Asked<'a> = (Option<Cow<'a, str>>, Message<'a>);

/// Reads a request; `None` if it is this server's own.
pub fn read_request<'a>(text: &'a str, uid: &str) -> Result<Option<Asked<'a>>, Malformed> {
    let fields: Fields<'a> = parse(text)?;
    if fields.uid.as_deref() == Some(uid) {
        return Ok(None);
    }
    let Fields { uid, request, rooms, opts, .. } = fields;
    let need_request = |request: Option<Cow<'a, str>>| request.ok_or(Malformed::Unexpected);
    let message = match fields.r#type {
        Some(SOCKETS) => Message::Ids { request: need_request(request)?, rooms: rooms.unwrap_or_default() },
        Some(ALL_ROOMS) => Message::Rooms { request: need_request(request)? },
        Some(kind @ (REMOTE_JOIN | REMOTE_LEAVE)) => {
            let rooms = rooms.or(fields.room.map(|room| vec![room])).ok_or(Malformed::Unexpected)?;
            let opts = opts.or(fields.sid.map(Opts::of_socket)).ok_or(Malformed::Unexpected)?;
            match kind {
                REMOTE_JOIN => Message::Join { opts, rooms },
                _ => Message::Leave { opts, rooms },
            }
        }
        Some(REMOTE_DISCONNECT) => {
            let opts = opts.or(fields.sid.map(Opts::of_socket)).ok_or(Malformed::Unexpected)?;
            Message::Disconnect { opts, close: fields.close.unwrap_or(false) }
        }
        Some(REMOTE_FETCH) => {
            Message::Fetch { request: need_request(request)?, opts: opts.ok_or(Malformed::Unexpected)? }
        }
        Some(SERVER_SIDE_EMIT) => {
            Message::ServerEmit { request, data: fields.data.ok_or(Malformed::Unexpected)?.get() }
        }
        Some(BROADCAST) => {
            let packet: Packet<'a> = parse(fields.packet.ok_or(Malformed::Unexpected)?.get())?;
            let request = Some(need_request(request)?);
            Message::Broadcast { request, data: packet.data.get(), opts: opts.ok_or(Malformed::Unexpected)? }
        }
        // Later versions may ask what this one cannot answer.
        _ => return Ok(None),
    };
    Ok(Some((uid, message)))
}

/// Reads an answer.
pub fn read_response(text: &str) -> Result<Message<'_>, Malformed> {
    let fields: Fields<'_> = parse(text)?;
    let request = fields.request.ok_or(Malformed::Unexpected)?;
    // What is undefined is left out by JSON.
    Ok(match (fields.r#type, fields.sockets, fields.client_count) {
        (Some(BROADCAST_CLIENT_COUNT), _, Some(count)) => Message::ClientCount { request, count },
        (Some(BROADCAST_ACK), ..) => {
            Message::ClientAck { request, packet: fields.packet.map_or("null", RawValue::get) }
        }
        (Some(SERVER_SIDE_EMIT), ..) => {
            Message::ServerReply { request, data: fields.data.map_or("null", RawValue::get) }
        }
        (_, Some(sockets), _) => Message::Sockets { request, sockets: sockets.get() },
        _ => Message::Other { request },
    })
}
