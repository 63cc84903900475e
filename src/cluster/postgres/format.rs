//! The format of `@socket.io/postgres-adapter` 0.5: the official cluster protocol on one channel for each namespace. A message with
//! attachments, or a long one, goes into a table as MessagePack; what is notified then is only its number.

use super::options::Options;
use super::table::IDENTIFIER_MAX;
use crate::cluster::broker::{Heard, Subscription};
use crate::cluster::draft::Draft;
use crate::cluster::format::cluster_adapter::{Envelope, Head, read_list};
use crate::cluster::format::msgpack::Malformed;
use crate::cluster::format::{Channels, Format, Incoming, Local, Role, Written};
use crate::cluster::peers::Heartbeat;

/// The format.
#[derive(Debug)]
pub struct Postgres {
    prefix: String,
    payload_threshold: usize,
    heartbeat: Heartbeat,
}

impl Postgres {
    /// With these options.
    pub fn new(options: &Options) -> Postgres {
        let (interval_ms, timeout_ms) = (options.heartbeat_interval, options.heartbeat_timeout);
        Postgres {
            prefix: options.channel_prefix.clone(),
            payload_threshold: options.payload_threshold as usize,
            heartbeat: Heartbeat { interval_ms, timeout_ms },
        }
    }
}

impl Format for Postgres {
    fn spell_id(&self, random: [u8; 8]) -> String {
        format!("{:016x}", u64::from_be_bytes(random))
    }

    fn channels(&self, nsp: &str, _uid: &str) -> Channels {
        let channel = format!("{}#{nsp}", self.prefix);
        let heard = match can_be_channel(&channel) {
            true => vec![(Subscription::channel(channel.clone()), Role::Request)],
            false => Vec::new(),
        };
        Channels { broadcast: channel.clone(), request: channel.clone(), response: channel, heard }
    }

    fn heartbeat(&self) -> Option<Heartbeat> {
        Some(self.heartbeat)
    }

    fn write(&self, local: &Local, draft: &Draft<'_>) -> Result<Written, Malformed> {
        let channel = local.channels.request.clone();
        if !can_be_channel(&channel) {
            return Err(Malformed::Channel);
        }
        let envelope = Envelope::of(draft);
        let (kind, json) = (envelope.kind, envelope.json(&local.uid, &local.nsp));
        if !envelope.has_binary() && json.len() < self.payload_threshold {
            return Ok(Written { channel, payload: json, kind, stored: false });
        }
        Ok(Written { channel, payload: envelope.pack(&json)?, kind, stored: true })
    }

    fn read<'a>(
        &self,
        local: &Local,
        _role: Role,
        _heard: &Heard<'a>,
        text: &'a str,
    ) -> Result<Option<Incoming<'a>>, Malformed> {
        if let Some(read) = read_list(local, text) {
            return Ok(read);
        }
        let head = Head::read(text)?;
        // The official emitter leaves the namespace out: it is the channel's then.
        if head.uid == local.uid || head.nsp.as_deref().is_some_and(|nsp| nsp != &*local.nsp) {
            return Ok(None);
        }
        Ok(head.message()?.map(|message| Incoming { from: Some(head.uid.clone()), message }))
    }
}

/// Whether there can be a channel of this name, which a client may have chosen. Of a longer one the server would listen to the beginning, and
/// notify none: the official adapter fails silently. A NUL stands in no statement.
fn can_be_channel(name: &str) -> bool {
    name.len() <= IDENTIFIER_MAX && !name.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::draft::{Body, Whom};
    use crate::cluster::format::open;
    use crate::cluster::message::Message;

    const ALL: Whom<'_> = Whom { rooms: &[], except: &[], volatile: false, compress: true, timeout_ms: None };

    fn here(prefix: &str, nsp: &str) -> (Postgres, Local) {
        let json = format!("{{\"url\":\"postgres://h\",\"channelPrefix\":\"{prefix}\"}}");
        let format = Postgres::new(&Options::from_json(&json).map_err(|error| error.text).unwrap());
        let local = Local::new(&format, nsp, format.spell_id([1; 8]));
        (format, local)
    }

    fn broadcast(json: &str, attachments: &[&[u8]]) -> Result<Written, Malformed> {
        let (format, local) = here("socket.io", "/");
        format.write(&local, &Draft::Broadcast { request: None, event: Body { json, attachments }, whom: ALL })
    }

    #[test]
    fn what_a_notification_cannot_hold_is_kept() {
        let frame = broadcast("[\"t\",\"\"]", &[]).unwrap().payload.len();
        // Of 8000 bytes on; characters do not count.
        for (text, stored) in [
            ("a".repeat(7999 - frame), false),
            ("a".repeat(8000 - frame), true),
            ("\u{e9}".repeat((7999 - frame) / 2), false),
            ("\u{e9}".repeat((8001 - frame) / 2), true),
        ] {
            let written = broadcast(&format!("[\"t\",\"{text}\"]"), &[]).unwrap();
            assert_eq!((written.stored, written.payload[0] == b'{'), (stored, !stored), "{}", text.len());
        }
        let written = broadcast(r#"["t",{"_placeholder":true,"num":0}]"#, &[b"bytes"]).unwrap();
        assert_eq!((written.stored, written.kind), (true, 3));
        let (text, attachments) = open(&written.payload).unwrap();
        assert_eq!(attachments, [b"bytes"]);
        assert!(Head::read(&text).unwrap().message().unwrap().is_some());
    }

    #[test]
    fn a_channel_is_named_after_its_namespace_and_can_neither_be_long_nor_hold_a_nul() {
        let (_, local) = here("app", "/admin");
        let [(subscription, _)] = &local.channels.heard[..] else { panic!("one channel") };
        assert_eq!(subscription.name, "app#/admin");
        let (format, local) = here("app", &format!("/{}", "n".repeat(58)));
        assert_eq!((local.channels.request.len(), local.channels.heard.len()), (63, 1));
        assert!(format.write(&local, &Draft::Fetch { request: "r", whom: ALL }).is_ok());
        for name in [&format!("/{}", "n".repeat(59)), "/n\0"] {
            let (format, local) = here("app", name);
            assert!(local.channels.heard.is_empty());
            assert_eq!(format.write(&local, &Draft::Fetch { request: "r", whom: ALL }), Err(Malformed::Channel));
        }
    }

    #[test]
    fn messages_without_a_namespace_are_the_channels() {
        let (format, local) = here("socket.io", "/admin");
        let heard = Heard { subscribed: "socket.io#/admin", channel: "socket.io#/admin", bytes: b"", entry: None };
        let read = |text: &str| {
            let incoming = format.read(&local, Role::Request, &heard, text).unwrap();
            incoming
                .map(|Incoming { from, message }| (from.unwrap().into_owned(), matches!(message, Message::Join { .. })))
        };
        let data = r#""type":4,"data":{"opts":{"rooms":["r"],"except":[]},"rooms":["x"]}"#;
        assert_eq!(read(&format!("{{{data},\"uid\":\"emitter\"}}")), Some(("emitter".to_owned(), true)));
        assert_eq!(read(&format!("{{{data},\"uid\":\"x\",\"nsp\":\"/admin\"}}")), Some(("x".to_owned(), true)));
        assert_eq!(read(&format!("{{{data},\"uid\":\"x\",\"nsp\":\"/\"}}")), None);
        assert_eq!(read(&format!("{{{data},\"uid\":\"{}\"}}", local.uid)), None);
        assert_eq!(local.uid, "0101010101010101");
    }
}
