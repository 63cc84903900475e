//! The task that keeps the broker: connects and subscribes, publishes what waits, and begins anew when the connection is lost. What was
//! accepted meanwhile is published then; what was on its way is counted, and not sent twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::node::Node;
use super::redis::{Broker, Link};
use crate::proto::json;
use crate::queue::{Event, Outbox};
use crate::server::event::{EVENT_ADAPTER_DOWN, EVENT_ADAPTER_UP};
use crate::server::log::{Level, Target};
use crate::server::{Count, Server};

/// Messages that go to the broker at once.
const BATCH_MAX: usize = 512;
/// Pauses between attempts to reach the broker: doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(5);
/// An idle connection is tried so often.
const PING_EVERY: Duration = Duration::from_secs(10);
/// A deadline that is farther away is looked at again.
const DEADLINE_FAR: Duration = Duration::from_secs(3600);

/// Keeps the broker until the adapter is closed.
pub async fn keep(node: Arc<Node>, server: Arc<Server>, mut broker: Broker) {
    let (mut pause, mut told_down) = (PAUSE_FIRST, false);
    while !node.is_closed() {
        let (was_up, reason) = match broker.connect(&node, &server).await {
            Ok(mut link) => serve(&node, &server, &mut link).await,
            Err(reason) => (false, reason),
        };
        if node.is_closed() {
            return;
        }
        if was_up {
            (pause, told_down) = (PAUSE_FIRST, false);
        }
        if !std::mem::replace(&mut told_down, true) {
            server.metrics.count(Count::AdapterDowns);
            server.log(server.now_us(), Level::Error, Target::Adapter, "the broker is lost", |fields| {
                fields.text("reason", &reason)
            });
            tell(&server, EVENT_ADAPTER_DOWN, |data| {
                data.extend_from_slice(b"{\"reason\":");
                json::write_string(&reason, data);
                data.push(b'}');
            });
        }
        // Closing ends the pause.
        if timeout(pause, node.closing.notified()).await.is_ok() {
            node.closing.notify_one();
        }
        pause = (pause * 2).min(PAUSE_LAST);
    }
}

/// Works with a connection until it is lost; whether it was up, and why it is not any more.
async fn serve(node: &Arc<Node>, server: &Arc<Server>, link: &mut Link) -> (bool, String) {
    let (mut subscribed, mut is_up) = (0, false);
    loop {
        if link.is_broken() {
            return (is_up, "the connection was closed".to_owned());
        }
        for local in node.locals_after(subscribed) {
            if let Err(reason) = link.subscribe(&local).await {
                return (is_up, reason);
            }
            subscribed += 1;
        }
        if !std::mem::replace(&mut is_up, true) {
            server.log(server.now_us(), Level::Info, Target::Adapter, "the broker is reached", |fields| fields);
            tell(server, EVENT_ADAPTER_UP, |data| data.extend_from_slice(b"{}"));
        }
        if let Err(reason) = publish(node, server, link).await {
            return (is_up, reason);
        }
        if node.is_closed() && node.outgoing.is_empty() {
            return (is_up, String::new());
        }
        let idle = node.outgoing.is_empty() && timeout(PING_EVERY, node.outgoing.wake.notified()).await.is_err();
        if idle && let Err(reason) = link.ping().await {
            return (is_up, reason);
        }
    }
}

/// Publishes one batch of what waits.
async fn publish(node: &Arc<Node>, server: &Arc<Server>, link: &mut Link) -> Result<(), String> {
    let batch = node.outgoing.take(BATCH_MAX);
    if batch.is_empty() {
        return Ok(());
    }
    let counts = link.publish(&batch).await.inspect_err(|_| {
        let unconfirmed = batch.iter().filter(|publication| publication.payload.is_some()).count();
        server.metrics.add(Count::AdapterUnconfirmed, unconfirmed as u64);
    })?;
    let mut out = Outbox::default();
    let asked = batch.iter().filter_map(|publication| publication.count_for.as_deref());
    for (id, count) in asked.zip(counts) {
        node.requests.counted(id, count, &mut out, server.now_us());
    }
    out.deliver(false);
    Ok(())
}

fn tell(server: &Server, kind: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Outbox::default();
    out.push_with(server.queue(), &Event { kind, name: "redis", time_us: server.now_us(), ..Event::default() }, write);
    out.deliver(false);
}

/// Ends requests whose time is over, until the adapter is closed.
pub async fn expire(node: Arc<Node>, server: Arc<Server>) {
    while !node.is_closed() {
        let (mut out, now_us) = (Outbox::default(), server.now_us());
        let (expired, next) = node.requests.expire(&mut out, now_us);
        out.deliver(false);
        server.metrics.add(Count::AdapterTimeouts, expired);
        let pause = next.map_or(DEADLINE_FAR, |at| Duration::from_micros(at.saturating_sub(now_us)));
        // Either way it is looked at again.
        drop(timeout(pause, node.opened.notified()).await);
    }
}
