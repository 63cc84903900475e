//! The seam between the cluster's protocol and how a cluster writes it: a format names channels, and turns drafts into bytes and bytes
//! into messages. It does no I/O and keeps no state beside its options.
//!
//! Of the official ones `classic` stands alone; `sharded` and `streams` are on `cluster_adapter`, as are PostgreSQL's and that of the host's own
//! brokers, which stand beside their brokers. All are on `msgpack`.

#[cfg(feature = "redis")]
pub mod classic;
pub mod cluster_adapter;
mod cluster_adapter_vectors;
mod lists;
pub mod msgpack;
#[cfg(feature = "redis")]
pub mod sharded;
#[cfg(feature = "redis")]
pub mod streams;
#[cfg(feature = "redis")]
mod vectors;

use std::borrow::Cow;

use parking_lot::Mutex;

use crate::cluster::broker::{Heard, Subscription};
use crate::cluster::draft::Draft;
use crate::cluster::message::Message;
use crate::cluster::peers::{Heartbeat, Peers};
use msgpack::Malformed;

/// What a channel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Broadcasts of a format that has channels of their own for them.
    Broadcast,
    /// Answers of such a format.
    Response,
    /// Requests; for other formats, everything.
    Request,
}

/// The channels of a namespace.
#[derive(Clone, Debug, Default)]
pub struct Channels {
    /// Broadcasts. Formats with channels for rooms append the room's name and `#`.
    pub broadcast: String,
    /// What concerns all servers. Who hears it is a server.
    pub request: String,
    /// Answers. Formats with channels for servers append the server's id and `#`.
    pub response: String,
    /// What this server subscribes to from the start, and what for. Channels and patterns are this namespace's alone.
    pub heard: Vec<(Subscription, Role)>,
}

/// How all messages of one server begin or end, so that its own, which come back to it, need not be read.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    pub starts: Vec<Vec<u8>>,
    pub ends: Vec<Vec<u8>>,
}

impl Marks {
    /// Whether a message is that server's.
    pub fn are_on(&self, bytes: &[u8]) -> bool {
        self.starts.iter().any(|mark| bytes.starts_with(mark)) || self.ends.iter().any(|mark| bytes.ends_with(mark))
    }
}

/// A namespace as this server serves it.
pub struct Local {
    pub nsp: Box<str>,
    /// Tells this server from the others.
    pub uid: String,
    pub channels: Channels,
    /// Those of its messages.
    pub marks: Marks,
    /// The other servers, if the format has heartbeats.
    pub peers: Mutex<Peers>,
}

impl Local {
    /// A namespace of this name.
    pub fn new(format: &dyn Format, nsp: &str, uid: String) -> Local {
        let (channels, marks) = (format.channels(nsp, &uid), format.marks(nsp, &uid));
        Local { nsp: nsp.into(), uid, channels, marks, peers: Mutex::default() }
    }
}

/// A message for the broker.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    pub channel: String,
    pub payload: Vec<u8>,
    /// Its type, in formats that number them.
    pub kind: u64,
    /// The broker is to keep it, and not only to pass it on.
    pub stored: bool,
}

/// A message that came, and what an answer to it needs.
pub struct Incoming<'a> {
    /// Who sent it, if that is told.
    pub from: Option<Cow<'a, str>>,
    pub message: Message<'a>,
}

/// How a cluster writes what its servers tell each other.
pub trait Format: Send + Sync {
    /// Random bytes of the ids of servers and requests, and how they are spelled.
    fn spell_id(&self, random: [u8; 8]) -> String;

    /// The channels of a namespace.
    fn channels(&self, nsp: &str, uid: &str) -> Channels;

    /// How this server's messages begin or end.
    fn marks(&self, _nsp: &str, _uid: &str) -> Marks {
        Marks::default()
    }

    /// Intervals, if servers know of each other by heartbeats; else the broker is asked how many hear the request channel.
    fn heartbeat(&self) -> Option<Heartbeat> {
        None
    }

    /// Whether rooms can have channels of their own.
    fn hears_rooms(&self) -> bool {
        false
    }

    /// The channel that this server subscribes to while one of its sockets is in a room, if there is one.
    fn room_channel(&self, _local: &Local, _room: &str) -> Option<String> {
        None
    }

    /// The one room that a message is for, if its channel tells: nobody has to read what is for a room without members.
    fn room_of<'a>(&self, _local: &Local, _heard: &Heard<'a>) -> Option<&'a str> {
        None
    }

    /// The request that a message answers, if its first bytes tell: what answers somebody else's nobody has to read.
    fn answered<'a>(&self, _role: Role, _bytes: &'a [u8]) -> Option<&'a str> {
        None
    }

    /// Writes a draft.
    fn write(&self, local: &Local, draft: &Draft<'_>) -> Result<Written, Malformed>;

    /// Reads a message whose bytes `open` has made text; `None` if it is this server's own, or does not concern it.
    fn read<'a>(
        &self,
        local: &Local,
        role: Role,
        heard: &Heard<'a>,
        text: &'a str,
    ) -> Result<Option<Incoming<'a>>, Malformed>;
}

/// A message as JSON text, whichever way it was written, and its attachments.
pub fn open(bytes: &[u8]) -> Result<(Cow<'_, str>, Vec<&[u8]>), Malformed> {
    match bytes.first() {
        Some(b'{') => {
            let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Malformed::Unexpected)?;
            Ok((Cow::Borrowed(text), Vec::new()))
        }
        _ => msgpack::to_json(bytes).map(|(text, attachments)| (Cow::Owned(text), attachments)),
    }
}
