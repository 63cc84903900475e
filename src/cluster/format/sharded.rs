//! The format of `@socket.io/redis-adapter`'s `createShardedAdapter`: the messages of `cluster_adapter` as JSON, or as MessagePack if they
//! hold attachments, on a channel for each namespace, one for each server, and, as the mode has it, one for each room.

use serde::Deserialize;

use super::cluster_adapter::{self, Envelope};
use super::msgpack::Malformed;
use super::{Channels, Format, Incoming, Local, Marks, Role, Written};
use crate::cluster::broker::Heard;
use crate::cluster::draft::Draft;

/// A room whose name is as long as this is taken for a socket's own. (Characters as JavaScript counts them.)
const SID_LEN: usize = 20;

/// Which rooms have channels of their own; the same on all servers, or some miss what others publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// None.
    Static,
    /// All but the sockets' own.
    #[default]
    Dynamic,
    /// All.
    DynamicPrivate,
}

/// The format.
#[derive(Debug)]
pub struct Sharded {
    pub prefix: String,
    pub mode: Mode,
}

impl Sharded {
    fn has_channel(&self, room: &str) -> bool {
        match self.mode {
            Mode::Static => false,
            Mode::Dynamic => room.encode_utf16().count() != SID_LEN,
            Mode::DynamicPrivate => true,
        }
    }
}

impl Format for Sharded {
    fn spell_id(&self, random: [u8; 8]) -> String {
        cluster_adapter::spell_id(random)
    }

    fn channels(&self, nsp: &str, uid: &str) -> Channels {
        cluster_adapter::channels(&self.prefix, nsp, uid)
    }

    fn marks(&self, nsp: &str, uid: &str) -> Marks {
        cluster_adapter::marks(nsp, uid)
    }

    fn hears_rooms(&self) -> bool {
        self.mode != Mode::Static
    }

    fn room_channel(&self, local: &Local, room: &str) -> Option<String> {
        self.has_channel(room).then(|| format!("{}{room}#", local.channels.broadcast))
    }

    fn write(&self, local: &Local, draft: &Draft<'_>) -> Result<Written, Malformed> {
        let envelope = Envelope::of(draft);
        let of_room = match draft {
            Draft::Broadcast { request: None, whom, .. } => match whom.rooms {
                [room] => self.room_channel(local, room),
                _ => None,
            },
            _ => None,
        };
        let channel = of_room.unwrap_or_else(|| cluster_adapter::channel_of(local, draft));
        Ok(Written { channel, payload: envelope.text_or_packed(local)?, kind: envelope.kind, stored: false })
    }

    fn read<'a>(
        &self,
        local: &Local,
        _role: Role,
        _heard: &Heard<'a>,
        text: &'a str,
    ) -> Result<Option<Incoming<'a>>, Malformed> {
        cluster_adapter::read_whole(local, text)
    }
}
