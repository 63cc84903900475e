//! The format of `@socket.io/redis-streams-adapter` 0.3: what nobody answers is an entry of a stream, with the data of `cluster_adapter` as
//! JSON, or as MessagePack in base64 if it holds attachments; what is asked and answered is published as MessagePack.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cluster_adapter::{self, Envelope, read_data};
use super::msgpack::Malformed;
use super::{Channels, Format, Incoming, Local, Marks, Role, Written};
use crate::cluster::broker::{Heard, Subscription};
use crate::cluster::draft::Draft;
use crate::cluster::peers::EMITTER;

/// The format.
#[derive(Debug)]
pub struct Streams {
    /// Prefix of the channels.
    pub prefix: String,
    /// Name of the stream, or what the names of several begin with.
    pub stream: String,
    pub stream_count: u32,
    /// No MessagePack in entries.
    pub only_plaintext: bool,
}

impl Streams {
    /// The stream of a namespace. The official hash is signed, and so is its remainder: a stream with a negative number is one that official
    /// servers write to and do not read.
    fn stream_of(&self, nsp: &str) -> String {
        if self.stream_count == 1 {
            return self.stream.clone();
        }
        let hash = nsp.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
        format!("{}-{}", self.stream, i64::from(hash) % i64::from(self.stream_count))
    }
}

impl Format for Streams {
    fn spell_id(&self, random: [u8; 8]) -> String {
        cluster_adapter::spell_id(random)
    }

    fn channels(&self, nsp: &str, uid: &str) -> Channels {
        let mut channels = cluster_adapter::channels(&self.prefix, nsp, uid);
        channels.broadcast = self.stream_of(nsp);
        channels.heard.push((Subscription::stream(channels.broadcast.clone()), Role::Request));
        channels
    }

    fn marks(&self, nsp: &str, uid: &str) -> Marks {
        cluster_adapter::marks(nsp, uid)
    }

    fn write(&self, local: &Local, draft: &Draft<'_>) -> Result<Written, Malformed> {
        let envelope = Envelope::of(draft);
        let kind = envelope.kind;
        let is_entry = match draft {
            Draft::Broadcast { request, .. } => request.is_none(),
            Draft::Join { .. } | Draft::Leave { .. } | Draft::Disconnect { .. } => true,
            // Servers of version 0.2 ask in the stream, and hear nothing else.
            Draft::Answer { to, .. } => to.stored,
            // Emitters publish nothing: who reads the stream obeys all that is in it.
            Draft::ServerEmit { .. } => local.uid == EMITTER,
            Draft::Fetch { .. } | Draft::Beat(_) => false,
        };
        if is_entry {
            let data = match envelope.has_binary() {
                true if self.only_plaintext => envelope.data_plain()?.unwrap_or_default(),
                true => STANDARD.encode(envelope.data_packed()?.unwrap_or_default()).into_bytes(),
                false => envelope.data_json(),
            };
            return Ok(Written { channel: local.channels.broadcast.clone(), payload: data, kind, stored: true });
        }
        let channel = cluster_adapter::channel_of(local, draft);
        Ok(Written { channel, payload: envelope.packed(&local.uid, &local.nsp)?, kind, stored: false })
    }

    fn read<'a>(
        &self,
        local: &Local,
        _role: Role,
        heard: &Heard<'a>,
        text: &'a str,
    ) -> Result<Option<Incoming<'a>>, Malformed> {
        match heard.entry {
            Some(entry) if entry.uid == local.uid => Ok(None),
            Some(entry) => {
                let message = read_data(entry.kind, Some(text))?;
                Ok(message.map(|message| Incoming { from: Some(entry.uid.into()), message }))
            }
            None => cluster_adapter::read_whole(local, text),
        }
    }
}
