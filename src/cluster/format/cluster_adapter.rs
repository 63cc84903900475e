//! The official protocol of the class `ClusterAdapter`: messages `{type, data, uid, nsp}`. Redis with shards, Redis Streams and PostgreSQL
//! share it, and differ in how a message travels: as JSON, as MessagePack, or in parts. Nothing here does that: it gives texts, and reads them.
//!
//! An official server that reads a broadcast or a request without `opts` ends, or reads it for ever, so none is written.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lists::List;
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

/// A message: its type, and what its data is as JSON text, with placeholders of the attachments.
pub struct Envelope<'a> {
    pub kind: u64,
    draft: &'a Draft<'a>,
    attachments: &'a [&'a [u8]],
}

impl<'a> Envelope<'a> {
    /// What a draft is in this protocol.
    pub fn of(draft: &'a Draft<'a>) -> Envelope<'a> {
        let (kind, attachments): (u64, &[&[u8]]) = match draft {
            Draft::Broadcast { event, .. } => (BROADCAST, event.attachments),
            Draft::Join { .. } => (SOCKETS_JOIN, &[]),
            Draft::Leave { .. } => (SOCKETS_LEAVE, &[]),
            Draft::Disconnect { .. } => (DISCONNECT_SOCKETS, &[]),
            Draft::Fetch { .. } => (FETCH_SOCKETS, &[]),
            Draft::ServerEmit { event, .. } => (SERVER_SIDE_EMIT, event.attachments),
            Draft::Answer { answer, .. } => match answer {
                Answer::List { .. } => (FETCH_SOCKETS_RESPONSE, &[]),
                Answer::ClientCount(_) => (BROADCAST_CLIENT_COUNT, &[]),
                Answer::ClientAck(body) => (BROADCAST_ACK, body.attachments),
                Answer::ServerReply(body) => (SERVER_SIDE_EMIT_RESPONSE, body.attachments),
            },
            Draft::Beat(Beat::First) => (INITIAL_HEARTBEAT, &[]),
            Draft::Beat(Beat::Again) => (HEARTBEAT, &[]),
            Draft::Beat(Beat::Last) => (ADAPTER_CLOSE, &[]),
        };
        Envelope { kind, draft, attachments }
    }

    /// Whether JSON cannot hold it.
    pub fn has_binary(&self) -> bool {
        !self.attachments.is_empty()
    }

    fn has_data(&self) -> bool {
        !matches!(self.draft, Draft::Beat(_))
    }

    /// Its data, if it has any.
    fn write_data(&self, out: &mut Vec<u8>) {
        let object = Object::new(out);
        let written = match self.draft {
            Draft::Broadcast { request, event, whom } => {
                let packet = |out: &mut Vec<u8>| Object::new(out).raw("type", "2").raw("data", event.json).end();
                object.with("packet", packet).string_if("requestId", *request).opts(whom)
            }
            Draft::Join { whom, rooms } | Draft::Leave { whom, rooms } => object.opts(whom).rooms(rooms),
            Draft::Disconnect { whom, close } => object.opts(whom).raw("close", if *close { "true" } else { "false" }),
            Draft::Fetch { request, whom } => object.opts(whom).string("requestId", request),
            Draft::ServerEmit { request, event } => object.string_if("requestId", *request).raw("packet", event.json),
            Draft::Answer { to, answer } => {
                let object = object.string("requestId", &to.request);
                match answer {
                    Answer::List { name, write } => object.with(name, write),
                    Answer::ClientCount(count) => object.raw("clientCount", &count.to_string()),
                    Answer::ClientAck(body) | Answer::ServerReply(body) => object.raw("packet", body.json),
                }
            }
            Draft::Beat(_) => object,
        };
        written.end();
    }

    /// Its data as JSON text, which is empty if it has none.
    pub fn data_json(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(256);
        if self.has_data() {
            self.write_data(&mut data);
        }
        data
    }

    /// Its data as MessagePack.
    pub fn data_packed(&self) -> Result<Option<Vec<u8>>, Malformed> {
        self.has_data().then(|| self.pack(&self.data_json())).transpose()
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
        let mut text = Vec::with_capacity(256);
        let object = Object::new(&mut text).raw("type", &self.kind.to_string());
        let object = match self.has_data() {
            true => object.with("data", |out| self.write_data(out)),
            false => object,
        };
        object.string("uid", uid).string("nsp", nsp).end();
        text
    }

    /// The whole message as MessagePack.
    pub fn packed(&self, uid: &str, nsp: &str) -> Result<Vec<u8>, Malformed> {
        self.pack(&self.json(uid, nsp))
    }

    /// JSON text that was written here as MessagePack.
    pub fn pack(&self, json: &[u8]) -> Result<Vec<u8>, Malformed> {
        let text = simdutf8::basic::from_utf8(json).map_err(|_| Malformed::Unexpected)?;
        let mut packed = Vec::with_capacity(text.len());
        msgpack::from_json(text, self.attachments, &mut packed)?;
        Ok(packed)
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

/// A JSON object that is written member by member.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// Comes before the next member.
    mark: u8,
}

impl<'o> Object<'o> {
    fn new(out: &'o mut Vec<u8>) -> Object<'o> {
        Object { out, mark: b'{' }
    }

    fn with(mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) -> Object<'o> {
        self.out.push(self.mark);
        self.mark = b',';
        json::write_string(key, self.out);
        self.out.push(b':');
        write(self.out);
        self
    }

    fn raw(self, key: &str, value: &str) -> Object<'o> {
        self.with(key, |out| out.extend_from_slice(value.as_bytes()))
    }

    fn string(self, key: &str, value: &str) -> Object<'o> {
        self.with(key, |out| json::write_string(value, out))
    }

    fn string_if(self, key: &str, value: Option<&str>) -> Object<'o> {
        match value {
            Some(value) => self.string(key, value),
            None => self,
        }
    }

    fn opts(self, whom: &Whom<'_>) -> Object<'o> {
        self.with("opts", |out| whom.write(true, out))
    }

    fn rooms(self, rooms: &[&str]) -> Object<'o> {
        self.with("rooms", |out| crate::server::write_strings(rooms.iter().copied(), out))
    }

    fn end(self) {
        if self.mark == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
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

/// Reads a message about a namespace if it is a list of sockets, which may be large: of another server, or (`None` inside) this server's own.
pub fn read_list<'a>(local: &Local, text: &'a str) -> Option<Option<Incoming<'a>>> {
    let (List { request, sockets }, uid) = List::of_message(text, &local.nsp)?;
    let message = Message::Sockets { request: request.into(), sockets };
    Some((uid != local.uid).then(|| Incoming { from: Some(uid.into()), message }))
}

/// Reads a message of another server about a namespace; `None` for this server's own.
pub fn read_whole<'a>(local: &Local, text: &'a str) -> Result<Option<Incoming<'a>>, Malformed> {
    if let Some(read) = read_list(local, text) {
        return Ok(read);
    }
    let head = Head::read(text)?;
    if *head.uid == *local.uid || head.nsp.as_deref() != Some(&*local.nsp) {
        return Ok(None);
    }
    Ok(head.message()?.map(|message| Incoming { from: Some(head.uid), message }))
}

/// How whole messages end, in both encodings.
pub fn marks(nsp: &str, uid: &str) -> Marks {
    let mut tail = Vec::new();
    Object::new(&mut tail).string("uid", uid).string("nsp", nsp).end();
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
