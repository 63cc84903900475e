//! A broker of the host's own: functions that publish and subscribe, and messages that the host hands in. The servers on it speak the messages of
//! `cluster_adapter`, as JSON, or as MessagePack if they hold attachments, and know each other by heartbeats unless the broker counts.
//!
//! The functions are called by the cluster's task only, one at a time, and no lock is held. One that fails ends the connection: `link` tells the
//! host, and begins anew with all subscriptions.

use std::sync::Arc;

use serde::Deserialize;

use super::HostBroker;
use super::broker::{self, Heard, Lost, Member};
use super::connect;
use super::draft::Draft;
use super::format::cluster_adapter::{self, Envelope};
use super::format::msgpack::Malformed;
use super::format::{Channels, Format, Incoming, Local, Role, Written};
use super::node::Settings;
use super::options::{self, PUBLISH_QUEUE_BYTES, TIMEOUT_MAX_MS, check_bounds, check_name, check_range};
use super::outgoing::Publication;
use super::peers::Heartbeat;
use super::subscriptions::Change;
use crate::server::{Error, Server};

/// As adapters are named in events.
pub const KIND: &str = "broker";

/// Heartbeats that come faster than they travel say nothing.
const HEARTBEAT_MIN_MS: u64 = 50;

/// The options, by the names that official adapters give them.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    channel_prefix: String,
    heartbeat_interval: u32,
    heartbeat_timeout: u32,
    requests_timeout: u32,
    publish_queue_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            channel_prefix: "socket.io".to_owned(),
            heartbeat_interval: 5000,
            heartbeat_timeout: 10_000,
            requests_timeout: 5000,
            publish_queue_bytes: PUBLISH_QUEUE_BYTES,
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        let max = u64::from(TIMEOUT_MAX_MS);
        check_name("channelPrefix", &self.channel_prefix)?;
        check_range("heartbeatInterval", self.heartbeat_interval.into(), HEARTBEAT_MIN_MS, max)?;
        // Who is silent for less was not due yet.
        check_range("heartbeatTimeout", self.heartbeat_timeout.into(), u64::from(self.heartbeat_interval) + 1, max)?;
        check_bounds(self.requests_timeout, self.publish_queue_bytes)
    }
}

/// Joins a server to the cluster behind the broker that `make` gives, once nothing can fail any more.
pub fn start(
    server: &Arc<Server>,
    json: &str,
    counts: bool,
    make: impl FnOnce() -> Arc<dyn HostBroker> + Send + 'static,
) -> Result<(), Error> {
    let options: Options = options::parse(&options::members(json)?)?;
    options.check()?;
    let heartbeat = Heartbeat { interval_ms: options.heartbeat_interval, timeout_ms: options.heartbeat_timeout };
    let (requests_timeout_ms, publish_queue_bytes) = (options.requests_timeout, options.publish_queue_bytes as usize);
    let settings = Settings { kind: KIND, requests_timeout_ms, publish_queue_bytes };
    let format = Hosted { prefix: options.channel_prefix, heartbeat: (!counts).then_some(heartbeat) };
    connect::start_with(server, settings, Box::new(format), move || Broker(make()))
}

/// The format.
struct Hosted {
    prefix: String,
    heartbeat: Option<Heartbeat>,
}

impl Format for Hosted {
    fn spell_id(&self, random: [u8; 8]) -> String {
        cluster_adapter::spell_id(random)
    }

    fn channels(&self, nsp: &str, uid: &str) -> Channels {
        cluster_adapter::channels(&self.prefix, nsp, uid)
    }

    fn heartbeat(&self) -> Option<Heartbeat> {
        self.heartbeat
    }

    fn write(&self, local: &Local, draft: &Draft<'_>) -> Result<Written, Malformed> {
        let envelope = Envelope::of(draft);
        let channel = cluster_adapter::channel_of(local, draft);
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

/// The host's broker, to which the connection is the host's own matter.
struct Broker(Arc<dyn HostBroker>);

impl broker::Broker for Broker {
    type Link = Link;

    async fn connect(&mut self, _member: &Arc<dyn Member>) -> Result<Link, String> {
        Ok(Link(self.0.clone()))
    }
}

/// The host's functions, called by one task.
struct Link(Arc<dyn HostBroker>);

impl Link {
    /// Publishes one, and counts, if that is wanted.
    fn publish_one(&self, publication: &Publication) -> Result<Option<usize>, String> {
        if let Some(message) = &publication.message {
            self.0.publish(&message.channel, &message.payload)?;
        }
        let count = || self.0.count(&publication.local.channels.request);
        publication.count_for.as_ref().map(|_| count()).transpose()
    }
}

impl broker::Link for Link {
    /// A function that fails tells.
    fn is_broken(&self) -> bool {
        false
    }

    async fn change(&mut self, changes: Vec<Change>) -> Result<(), String> {
        changes.iter().try_for_each(|change| match change {
            Change::Subscribe(subscription) => self.0.change(&subscription.name, true),
            Change::Unsubscribe(subscription) => self.0.change(&subscription.name, false),
        })
    }

    async fn publish(&mut self, batch: Vec<Publication>) -> Result<Vec<usize>, Lost> {
        let mut counts = Vec::new();
        for (at, publication) in batch.iter().enumerate() {
            let count = self.publish_one(publication);
            counts.extend(count.map_err(|reason| Lost::in_batch(batch.get(at..).unwrap_or_default(), reason))?);
        }
        Ok(counts)
    }

    /// There is nothing to ask.
    async fn ping(&mut self) -> Result<(), String> {
        Ok(())
    }
}
