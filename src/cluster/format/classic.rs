//! The format of `@socket.io/redis-adapter` 8 without shards, which `@socket.io/redis-emitter` speaks too: channels, and what is in their
//! messages. Broadcasts are MessagePack of `[uid, packet, opts]`; requests and answers are JSON, or MessagePack if they hold attachments or
//! always have been. Readers take either.
//!
//! A broadcast that another server cannot read ends its process, so what is written here is whole: three elements, `opts` with both lists.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lists::{self, List};
use super::msgpack::{self, Malformed};
use super::{Channels, Format, Incoming, Local, Marks, Role, Written};
use crate::cluster::broker::{Heard, Subscription};
use crate::cluster::draft::{Answer, Body, Draft, ReturnAddress, Whom};
use crate::cluster::message::{Message, Opts, Room};
use crate::proto::json;

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

/// The format.
#[derive(Debug, Default)]
pub struct Classic {
    /// Prefix of the channels.
    pub key: String,
    /// Answers go to the channel of the server that asked.
    pub specific_responses: bool,
}

impl Format for Classic {
    fn spell_id(&self, random: [u8; 8]) -> String {
        // Six characters, as the official ones are.
        URL_SAFE_NO_PAD.encode(random.first_chunk::<4>().unwrap_or(&[0; 4]))
    }

    fn channels(&self, nsp: &str, uid: &str) -> Channels {
        let key = &self.key;
        let (broadcast, request) = (format!("{key}#{nsp}#"), format!("{key}-request#{nsp}#"));
        let response = format!("{key}-response#{nsp}#");
        let heard = vec![
            (Subscription::pattern(format!("{}*", literally(&broadcast))), Role::Broadcast),
            (Subscription::channel(request.clone()), Role::Request),
            (Subscription::channel(response.clone()), Role::Response),
            (Subscription::channel(format!("{response}{uid}#")), Role::Response),
        ];
        Channels { broadcast, request, response, heard }
    }

    fn marks(&self, _nsp: &str, uid: &str) -> Marks {
        // A list of three begins a broadcast.
        let mut packed = vec![0x93];
        // A `Vec` takes every write.
        drop(rmp::encode::write_str(&mut packed, uid));
        Marks { starts: vec![packed, text("{\"uid\":").string(uid).0], ends: Vec::new() }
    }

    fn room_of<'a>(&self, local: &Local, heard: &Heard<'a>) -> Option<&'a str> {
        let rest = heard.channel.strip_prefix(&local.channels.broadcast)?;
        Some(rest.strip_suffix('#').unwrap_or(rest)).filter(|room| !room.is_empty())
    }

    fn answered<'a>(&self, role: Role, bytes: &'a [u8]) -> Option<&'a str> {
        // On the channel of answers everybody hears those of all servers, this one included.
        if role == Role::Response { lists::request_of(bytes) } else { None }
    }

    fn write(&self, local: &Local, draft: &Draft<'_>) -> Result<Written, Malformed> {
        let (channels, uid) = (&local.channels, &*local.uid);
        let (channel, payload) = match draft {
            Draft::Broadcast { request: None, event, whom } => {
                let channel = match whom.rooms {
                    [room] => format!("{}{room}#", channels.broadcast),
                    _ => channels.broadcast.clone(),
                };
                (channel, broadcast(uid, &local.nsp, event, whom)?)
            }
            Draft::Answer { to, answer } => (self.response_to(local, to, answer), response(&to.request, answer)?),
            _ => (channels.request.clone(), request(uid, &local.nsp, draft)?),
        };
        Ok(Written { channel, payload, kind: 0, stored: false })
    }

    fn read<'a>(
        &self,
        local: &Local,
        role: Role,
        _heard: &Heard<'a>,
        text: &'a str,
    ) -> Result<Option<Incoming<'a>>, Malformed> {
        match role {
            Role::Broadcast => read_broadcast(text, &local.uid, &local.nsp),
            Role::Request => read_request(text, &local.uid),
            Role::Response => read_response(text).map(|message| Some(Incoming { from: None, message })),
        }
    }
}

/// A pattern for this name alone. The official adapter does not care: a namespace with a `[` in its name, which a client may have chosen, hears no
/// broadcasts there, and one with many `*` is work for Redis.
fn literally(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len() + 1);
    for char in name.chars() {
        if matches!(char, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern
}

impl Classic {
    fn response_to(&self, local: &Local, to: &ReturnAddress, answer: &Answer<'_>) -> String {
        let common = &local.channels.response;
        // The official adapter sends the replies of servers on the common channel whatever the option says.
        match (&to.from, answer) {
            (Some(from), Answer::List { .. } | Answer::ClientCount(_) | Answer::ClientAck(_))
                if self.specific_responses =>
            {
                format!("{common}{from}#")
            }
            _ => common.clone(),
        }
    }
}

// ---- writing ------------------------------------------------------------------------------------------------------

/// A text that is written piece by piece.
struct Text(Vec<u8>);

impl Text {
    fn raw(mut self, text: &str) -> Text {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn with(mut self, write: impl Fn(&mut Vec<u8>)) -> Text {
        write(&mut self.0);
        self
    }

    fn string(mut self, text: &str) -> Text {
        json::write_string(text, &mut self.0);
        self
    }

    fn strings(mut self, texts: &[&str]) -> Text {
        crate::server::write_strings(texts.iter().copied(), &mut self.0);
        self
    }

    fn whom(mut self, whom: &Whom<'_>, flags: bool) -> Text {
        whom.write(flags, &mut self.0);
        self
    }

    /// As MessagePack.
    fn packed(self, attachments: &[&[u8]]) -> Result<Vec<u8>, Malformed> {
        let text = String::from_utf8(self.0).map_err(|_| Malformed::Unexpected)?;
        let mut packed = Vec::with_capacity(text.len());
        msgpack::from_json(&text, attachments, &mut packed)?;
        Ok(packed)
    }

    /// As JSON, or as MessagePack if there are attachments: JSON would make lists of numbers of them.
    fn json(self, attachments: &[&[u8]]) -> Result<Vec<u8>, Malformed> {
        if attachments.is_empty() { Ok(self.0) } else { self.packed(attachments) }
    }
}

fn text(text: &str) -> Text {
    Text(Vec::with_capacity(256)).raw(text)
}

fn broadcast(uid: &str, nsp: &str, event: &Body<'_>, whom: &Whom<'_>) -> Result<Vec<u8>, Malformed> {
    let packet = text("[").string(uid).raw(",{\"type\":2,\"data\":").raw(event.json).raw(",\"nsp\":").string(nsp);
    packet.raw("},").whom(whom, true).raw("]").packed(event.attachments)
}

fn request(uid: &str, nsp: &str, draft: &Draft<'_>) -> Result<Vec<u8>, Malformed> {
    let head = text("{\"uid\":").string(uid);
    let asking = |head: Text, request: &str| head.raw(",\"requestId\":").string(request);
    match draft {
        Draft::Broadcast { request, event, whom } => {
            let head = asking(head, request.unwrap_or_default()).raw(",\"type\":7,\"packet\":{\"type\":2,\"data\":");
            let packet = head.raw(event.json).raw(",\"nsp\":").string(nsp);
            packet.raw("},\"opts\":").whom(whom, true).raw("}").packed(event.attachments)
        }
        Draft::Join { whom, rooms } => {
            head.raw(",\"type\":2,\"opts\":").whom(whom, false).raw(",\"rooms\":").strings(rooms).raw("}").json(&[])
        }
        Draft::Leave { whom, rooms } => {
            head.raw(",\"type\":3,\"opts\":").whom(whom, false).raw(",\"rooms\":").strings(rooms).raw("}").json(&[])
        }
        Draft::Disconnect { whom, close } => {
            head.raw(",\"type\":4,\"opts\":").whom(whom, false).raw(&format!(",\"close\":{close}}}")).json(&[])
        }
        Draft::Fetch { request, whom } => {
            asking(head, request).raw(",\"type\":5,\"opts\":").whom(whom, false).raw("}").json(&[])
        }
        Draft::ServerEmit { request, event } => {
            let head = if let Some(request) = request { asking(head, request) } else { head };
            head.raw(",\"type\":6,\"data\":").raw(event.json).raw("}").json(event.attachments)
        }
        // Answers are no requests, and nobody sends heartbeats in this format.
        Draft::Answer { .. } | Draft::Beat(_) => Err(Malformed::Unexpected),
    }
}

fn response(request: &str, answer: &Answer<'_>) -> Result<Vec<u8>, Malformed> {
    let typed = |kind: u64| text(&format!("{{\"type\":{kind},\"requestId\":")).string(request);
    match answer {
        Answer::List { name, write } => {
            text("{\"requestId\":").string(request).raw(",").string(name).raw(":").with(*write).raw("}").json(&[])
        }
        Answer::ClientCount(count) => {
            typed(BROADCAST_CLIENT_COUNT).raw(&format!(",\"clientCount\":{count}}}")).json(&[])
        }
        Answer::ClientAck(body) => {
            typed(BROADCAST_ACK).raw(",\"packet\":").raw(body.json).raw("}").packed(body.attachments)
        }
        Answer::ServerReply(body) => {
            typed(SERVER_SIDE_EMIT).raw(",\"data\":").raw(body.json).raw("}").json(body.attachments)
        }
    }
}

// ---- reading ------------------------------------------------------------------------------------------------------

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
fn read_broadcast<'a>(text: &'a str, uid: &str, nsp: &str) -> Result<Option<Incoming<'a>>, Malformed> {
    let (from, packet, opts): (Cow<'a, str>, Packet<'a>, Opts) = parse(text)?;
    if from == uid || packet.nsp.as_deref().unwrap_or("/") != nsp {
        return Ok(None);
    }
    let message = Message::Broadcast { request: None, data: packet.data.get(), opts };
    Ok(Some(Incoming { from: Some(from), message }))
}

/// Reads a request; `None` if it is this server's own.
fn read_request<'a>(text: &'a str, uid: &str) -> Result<Option<Incoming<'a>>, Malformed> {
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
    Ok(Some(Incoming { from: uid, message }))
}

/// Reads an answer.
fn read_response(text: &str) -> Result<Message<'_>, Malformed> {
    if let Some(List { request, sockets }) = List::of_answer(text) {
        return Ok(Message::Sockets { request: request.into(), sockets });
    }
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
