//! A server as the member of a cluster that its broker knows, and the task that looks at its clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::broker::{Heard, Member};
use super::node::Node;
use super::outgoing::Outgoing;
use super::receive::receive;
use super::subscriptions::Subscriptions;
use crate::proto::json;
use crate::queue::{Event, Outbox};
use crate::server::event::{EVENT_ADAPTER_DOWN, EVENT_ADAPTER_UP};
use crate::server::log::{Level, Target};
use crate::server::{Count, Server};

/// A deadline that is farther away is looked at again.
const DEADLINE_FAR: Duration = Duration::from_secs(3600);

/// A server in its cluster.
pub struct ServerMember {
    pub node: Arc<Node>,
    pub server: Arc<Server>,
}

impl ServerMember {
    fn tell(&self, kind: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let (mut out, server) = (Outbox::default(), &self.server);
        let (name, time_us) = (self.node.settings.kind, server.now_us());
        out.push_with(server.queue(), &Event { kind, name, time_us, ..Event::default() }, write);
        out.deliver(false);
    }
}

impl Member for ServerMember {
    fn outgoing(&self) -> &Outgoing {
        &self.node.outgoing
    }

    fn subscriptions(&self) -> &Subscriptions {
        &self.node.subscriptions
    }

    fn received(&self, heard: &Heard<'_>) {
        receive(&self.node, &self.server, heard);
    }

    fn counted(&self, request: &str, subscribers: usize) {
        let mut out = Outbox::default();
        self.node.requests.counted(request, subscribers, &mut out, self.server.now_us());
        out.deliver(false);
    }

    fn up(&self) {
        let server = &self.server;
        server.log(server.now_us(), Level::Info, Target::Adapter, "the broker is reached", |fields| fields);
        self.node.set_up(server, true);
        self.tell(EVENT_ADAPTER_UP, |data| data.extend_from_slice(b"{}"));
    }

    fn down(&self, reason: &str) {
        let server = &self.server;
        self.node.set_up(server, false);
        server.metrics.count(Count::AdapterDowns);
        server.log(server.now_us(), Level::Error, Target::Adapter, "the broker is lost", |fields| {
            fields.text("reason", reason)
        });
        self.tell(EVENT_ADAPTER_DOWN, |data| {
            data.extend_from_slice(b"{\"reason\":");
            json::write_string(reason, data);
            data.push(b'}');
        });
    }

    fn unconfirmed(&self, messages: u64) {
        self.server.metrics.add(Count::AdapterUnconfirmed, messages);
    }

    fn refused(&self, messages: u64, reason: &str) {
        self.node.unsent(&self.server, messages, reason);
    }

    fn garbled(&self, channel: &str, reason: &str) {
        self.node.malformed(&self.server, channel, &reason);
    }

    fn warn(&self, what: &str, reason: &str) {
        self.node.warn(&self.server, what, reason);
    }
}

/// Ends requests whose time is over, and keeps heartbeats, until the adapter is closed.
pub async fn watch_clock(member: Arc<ServerMember>) {
    let (node, server) = (&member.node, &member.server);
    while !node.outgoing.is_closed() {
        let (mut out, now_us) = (Outbox::default(), server.now_us());
        let (expired, next) = node.requests.expire(&mut out, now_us);
        let next_beat = node.keep_peers(server, &mut out, now_us);
        // Who is told of it finds it counted.
        server.metrics.add(Count::AdapterTimeouts, expired);
        out.deliver(false);
        let next = next.into_iter().chain(next_beat).min();
        let pause = next.map_or(DEADLINE_FAR, |at| Duration::from_micros(at.saturating_sub(now_us)));
        // Either way it is looked at again.
        drop(timeout(pause, node.opened.notified()).await);
    }
}
