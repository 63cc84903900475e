//! The official protocol of the class `ClusterAdapter`: messages `{type, data, uid, nsp}`. Redis with shards, Redis Streams and PostgreSQL
//! share it, and differ in how a message travels: as JSON, as MessagePack, or in parts. Nothing here does that: it gives texts, and reads them.
//!
//! An official server that reads a broadcast or a request without `opts` ends, or reads it for ever, so none is written.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::msgpack::{self, Malformed};
use super::{Channels, Incoming, Local, Marks, Role};
use crate::cluster::broker::Subscription;
use crate::cluster::draft::{Answer, Beat, Draft, Whom};
use crate::cluster::message::{Message, Opts, Room};
use crate::proto::json;

/// Message types.
pub const INITIAL_HEARTBEAT: u64 = 1;
pub const HEARTBEAT: u64 = 2;
pub const BROADCAST: u64 = 3;
pub const SOCKETS_JOIN: u64 = 4;
pub const SOCKETS_LEAVE: u64 = 5;
pub const DISCONNECT_SOCKETS: u64 = 6;
pub const FETCH_SOCKETS: u64 = 7;
pub const FETCH_SOCKETS_RESPONSE: u64 = 8;
pub const SERVER_SIDE_EMIT: u64 = 9;
pub const SERVER_SIDE_EMIT_RESPONSE: u64 = 10;
pub const BROADCAST_CLIENT_COUNT: u64 = 11;
pub const BROADCAST_ACK: u64 = 12;
pub const ADAPTER_CLOSE: u64 = 13;

// ---- writing ------------------------------------------------------------------------------------------------------

/// A message: its type, and its data as JSON text with placeholders of the attachments.
pub struct Envelope<'a> {
    pub kind: u64,
    data: Option<Vec<u8>>,
    attachments: &'a [&'a [u8]],
}

impl<'a> Envelope<'a> {
    /// What a draft is in this protocol.
    pub fn of(draft: &Draft<'a>) -> Envelope<'a> {
        let mut attachments: &[&[u8]] = &[];
        let (kind, data) = match draft {
            Draft::Broadcast { request, event, whom } => {
                attachments = event.attachments;
                let text = Object::new().raw("packet", &format!("{{\"type\":2,\"data\":{}}}", event.json));
                (BROADCAST, text.string_if("requestId", *request).opts(whom))
            }
            Draft::Join { whom, rooms } => (SOCKETS_JOIN, Object::new().opts(whom).rooms(rooms)),
            Draft::Leave { whom, rooms } => (SOCKETS_LEAVE, Object::new().opts(whom).rooms(rooms)),
            Draft::Disconnect { whom, close } => {
                (DISCONNECT_SOCKETS, Object::new().opts(whom).raw("close", if *close { "true" } else { "false" }))
            }
            Draft::Fetch { request, whom } => (FETCH_SOCKETS, Object::new().opts(whom).string("requestId", request)),
            Draft::ServerEmit { request, event } => {
                attachments = event.attachments;
                (SERVER_SIDE_EMIT, Object::new().string_if("requestId", *request).raw("packet", event.json))
            }
            Draft::Answer { to, answer } => {
                let text = Object::new().string("requestId", &to.request);
                match answer {
                    Answer::List { name, list } => (FETCH_SOCKETS_RESPONSE, text.raw(name, list)),
                    Answer::ClientCount(count) => (BROADCAST_CLIENT_COUNT, text.raw("clientCount", &count.to_string())),
                    Answer::ClientAck(body) => {
                        attachments = body.attachments;
                        (BROADCAST_ACK, text.raw("packet", body.json))
                    }
                    Answer::ServerReply(body) => {
                        attachments = body.attachments;
                        (SERVER_SIDE_EMIT_RESPONSE, text.raw("packet", body.json))
                    }
                }
            }
            Draft::Beat(beat) => {
                let kind = match beat {
                    Beat::First => INITIAL_HEARTBEAT,
                    Beat::Again => HEARTBEAT,
                    Beat::Last => ADAPTER_CLOSE,
                };
                return Envelope { kind, data: None, attachments };
            }
        };
        Envelope { kind, data: Some(data.end()), attachments }
    }

    /// Whether JSON cannot hold it.
    pub fn has_binary(&self) -> bool {
        !self.attachments.is_empty()
    }

    /// Its data as JSON text, if it has any.
    pub fn data_json(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    /// Its data as MessagePack.
    pub fn data_packed(&self) -> Result<Option<Vec<u8>>, Malformed> {
        self.data.as_ref().map(|data| pack(data, self.attachments)).transpose()
    }

    /// Its data as JSON text, with attachments as JavaScript's JSON has buffers.
    pub fn data_plain(&self) -> Result<Option<Vec<u8>>, Malformed> {
        let packed = self.data_packed()?;
        packed.map(|packed| msgpack::to_plain_json(&packed).map(String::into_bytes)).transpose()
    }

    /// The whole message as JSON text, or as MessagePack if it holds attachments.
    pub fn text_or_packed(&self, local: &Local) -> Result<Vec<u8>, Malformed> {
        match self.has_binary() {
            true => self.packed(&local.uid, &local.nsp),
            false => Ok(self.json(&local.uid, &local.nsp)),
        }
    }

    /// The whole message as JSON text.
    pub fn json(&self, uid: &str, nsp: &str) -> Vec<u8> {
        let text = Object::new().raw("type", &self.kind.to_string());
        let text = match &self.data {
            Some(data) => text.bytes("data", data),
            None => text,
        };
        text.string("uid", uid).string("nsp", nsp).end()
    }

    /// The whole message as MessagePack.
    pub fn packed(&self, uid: &str, nsp: &str) -> Result<Vec<u8>, Malformed> {
        pack(&self.json(uid, nsp), self.attachments)
    }
}

/// The channel of a draft where servers have channels of their own: an answer's is that of the server that asked.
pub fn channel_of(local: &Local, draft: &Draft<'_>) -> String {
    match draft {
        Draft::Answer { to, .. } => to.from.as_ref().map(|from| format!("{}{from}#", local.channels.response)),
        _ => None,
    }
    .unwrap_or_else(|| local.channels.request.clone())
}

fn pack(json: &[u8], attachments: &[&[u8]]) -> Result<Vec<u8>, Malformed> {
    let text = std::str::from_utf8(json).map_err(|_| Malformed::Unexpected)?;
    let mut packed = Vec::with_capacity(text.len());
    msgpack::from_json(text, attachments, &mut packed)?;
    Ok(packed)
}

/// A JSON object that is written member by member.
struct Object(Vec<u8>);

impl Object {
    fn new() -> Object {
        Object(Vec::with_capacity(256))
    }

    fn key(&mut self, key: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        json::write_string(key, &mut self.0);
        self.0.push(b':');
    }

    fn bytes(mut self, key: &str, value: &[u8]) -> Object {
        self.key(key);
        self.0.extend_from_slice(value);
        self
    }

    fn raw(self, key: &str, value: &str) -> Object {
        self.bytes(key, value.as_bytes())
    }

    fn string(mut self, key: &str, value: &str) -> Object {
        self.key(key);
        json::write_string(value, &mut self.0);
        self
    }

    fn string_if(self, key: &str, value: Option<&str>) -> Object {
        match value {
            Some(value) => self.string(key, value),
            None => self,
        }
    }

    fn opts(mut self, whom: &Whom<'_>) -> Object {
        self.key("opts");
        whom.write(true, &mut self.0);
        self
    }

    fn rooms(mut self, rooms: &[&str]) -> Object {
        self.key("rooms");
        crate::server::write_strings(rooms.iter().copied(), &mut self.0);
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(if self.0.is_empty() { b"{}" } else { b"}" });
        self.0
    }
}

// ---- reading ------------------------------------------------------------------------------------------------------

/// A whole message, whose data is still text.
#[derive(Deserialize)]
pub struct Head<'a> {
    pub r#type: u64,
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    #[serde(borrow)]
    pub nsp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> Head<'a> {
    /// Reads a message's JSON text.
    pub fn read(text: &'a str) -> Result<Head<'a>, Malformed> {
        parse(text)
    }

    /// What it says; `None` for types of later versions.
    pub fn message(&self) -> Result<Option<Message<'a>>, Malformed> {
        read_data(self.r#type, self.data.map(RawValue::get))
    }
}

#[derive(Deserialize)]
struct Packet<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "requestId")]
    request: Option<Cow<'a, str>>,
    opts: Option<Opts>,
    rooms: Option<Vec<Room>>,
    close: Option<bool>,
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

/// Reads the data of a message of a type; `None` for types of later versions.
pub fn read_data<'a>(kind: u64, data: Option<&'a str>) -> Result<Option<Message<'a>>, Malformed> {
    match kind {
        INITIAL_HEARTBEAT => return Ok(Some(Message::Beat(Beat::First))),
        HEARTBEAT => return Ok(Some(Message::Beat(Beat::Again))),
        ADAPTER_CLOSE => return Ok(Some(Message::Beat(Beat::Last))),
        BROADCAST..=BROADCAST_ACK => {}
        _ => return Ok(None),
    }
    let missing = Malformed::Unexpected;
    let Fields { request, opts, rooms, close, packet, sockets, client_count }: Fields<'a> =
        parse(data.ok_or(missing)?)?;
    let (opts, packet) = (opts.ok_or(missing), packet.map(RawValue::get));
    // What is undefined is left out by JSON.
    let answer = || packet.unwrap_or("null");
    if kind == BROADCAST {
        let packet: Packet<'a> = parse(packet.ok_or(missing)?)?;
        return Ok(Some(Message::Broadcast { request, data: packet.data.get(), opts: opts? }));
    }
    if kind == SERVER_SIDE_EMIT {
        return Ok(Some(Message::ServerEmit { request, data: packet.ok_or(missing)? }));
    }
    match kind {
        SOCKETS_JOIN => return Ok(Some(Message::Join { opts: opts?, rooms: rooms.ok_or(missing)? })),
        SOCKETS_LEAVE => return Ok(Some(Message::Leave { opts: opts?, rooms: rooms.ok_or(missing)? })),
        DISCONNECT_SOCKETS => return Ok(Some(Message::Disconnect { opts: opts?, close: close.unwrap_or(false) })),
        _ => {}
    }
    let request = request.ok_or(missing)?;
    Ok(Some(match kind {
        FETCH_SOCKETS => Message::Fetch { request, opts: opts? },
        FETCH_SOCKETS_RESPONSE => Message::Sockets { request, sockets: sockets.ok_or(missing)?.get() },
        SERVER_SIDE_EMIT_RESPONSE => Message::ServerReply { request, data: answer() },
        BROADCAST_CLIENT_COUNT => Message::ClientCount { request, count: client_count.ok_or(missing)? },
        _ => Message::ClientAck { request, packet: answer() },
    }))
}

/// Reads a message of another server about a namespace; `None` for this server's own.
pub fn read_whole<'a>(local: &Local, text: &'a str) -> Result<Option<Incoming<'a>>, Malformed> {
    let head = Head::read(text)?;
    if *head.uid == *local.uid || head.nsp.as_deref() != Some(&*local.nsp) {
        return Ok(None);
    }
    Ok(head.message()?.map(|message| Incoming { from: Some(head.uid), message }))
}

/// How whole messages end, in both encodings.
pub fn marks(nsp: &str, uid: &str) -> Marks {
    let tail = Object::new().string("uid", uid).string("nsp", nsp).end();
    let mut packed = Vec::new();
    for text in ["uid", uid, "nsp", nsp] {
        // A `Vec` takes every write.
        drop(rmp::encode::write_str(&mut packed, text));
    }
    let json = [b",", tail.get(1..).unwrap_or_default()].concat();
    Marks { starts: Vec::new(), ends: vec![json, packed] }
}

/// An id of a server or request: sixteen digits, as the official ones are.
pub fn spell_id(random: [u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(random))
}

/// The channels `<prefix>#<namespace>#`, and the same with a server's id and `#` for answers to it.
pub fn channels(prefix: &str, nsp: &str, uid: &str) -> Channels {
    let all = format!("{prefix}#{nsp}#");
    let own = Subscription::channel(format!("{all}{uid}#"));
    let heard = vec![(Subscription::channel(all.clone()), Role::Request), (own, Role::Request)];
    Channels { broadcast: all.clone(), request: all.clone(), response: all, heard }
}
