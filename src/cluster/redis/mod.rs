//! Redis (6 or newer) and Valkey as the broker: one connection for everything, since their third protocol lets messages come in between
//! answers. The crate `redis` speaks it: of the clients it is the one that the project of Redis keeps itself, and it knows clusters,
//! sentinels and TLS besides.
//!
//! A broker is at a `place`, or at the `nodes` of a Redis Cluster, whose `masters` have slots; `slots` has the channels of shards there. `streams` keeps
//! messages in `entries` of a `store`. `kinds` says which of these, in which format, each kind of adapter is.

mod entries;
pub mod kinds;
mod masters;
mod nodes;
mod options;
mod place;
mod slots;
mod store;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, PushInfo, PushKind, Value};

use crate::cluster::broker::{self, Heard, Lost, Medium, Member, Subscription};
use crate::cluster::outgoing::Publication;
use crate::cluster::subscriptions::Change;
use nodes::Nodes;
use place::{Place, Single};

/// A broker that does not answer for so long is lost.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Redis, with the commands that all nodes of a cluster obey alike, or with those of shards.
pub struct Broker {
    place: Place,
    commands: &'static Commands,
}

/// The names of the commands.
struct Commands {
    publish: &'static str,
    subscribe: &'static str,
    unsubscribe: &'static str,
    count: &'static str,
}

const PLAIN: Commands =
    Commands { publish: "PUBLISH", subscribe: "SUBSCRIBE", unsubscribe: "UNSUBSCRIBE", count: "NUMSUB" };
const SHARDED: Commands =
    Commands { publish: "SPUBLISH", subscribe: "SSUBSCRIBE", unsubscribe: "SUNSUBSCRIBE", count: "SHARDNUMSUB" };

/// A connection.
pub struct Link {
    connection: MultiplexedConnection,
    commands: &'static Commands,
    broken: Arc<AtomicBool>,
    /// If the connection is one to a node of many.
    nodes: Option<Nodes>,
}

impl Broker {
    /// With the commands that all nodes of a cluster obey alike.
    pub fn plain(place: Place) -> Broker {
        Broker { place, commands: &PLAIN }
    }

    /// With the commands of shards, which all are at this one place.
    pub fn sharded(place: Single) -> Broker {
        Broker { place: Place::Single(place), commands: &SHARDED }
    }

    /// Where it is.
    pub fn place(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl broker::Broker for Broker {
    type Link = Link;

    async fn connect(&mut self, member: &Arc<dyn Member>) -> Result<Link, String> {
        let broken = Arc::new(AtomicBool::new(false));
        let (member, is_broken) = (member.clone(), broken.clone());
        let config = config(move |info| {
            if info.kind == PushKind::Disconnection {
                is_broken.store(true, Ordering::Release);
                member.outgoing().wake.notify_one();
            } else {
                pushed(&*member, &info);
            }
        });
        let commands = self.commands;
        match &mut self.place {
            Place::Nodes(seeds) => {
                let (nodes, connection) = Nodes::connect(seeds, &config).await?;
                Ok(Link { connection, commands, broken, nodes: Some(nodes) })
            }
            Place::Single(place) => {
                let client = place.client().await?;
                let connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(text_of)?;
                Ok(Link { connection, commands, broken, nodes: None })
            }
        }
    }
}

/// How connections are made on which something comes between answers. They read on when `push` returns, so that a busy server holds the
/// broker back, and keeps nothing in between.
fn config(push: impl Fn(PushInfo) + Send + Sync + 'static) -> AsyncConnectionConfig {
    let push = move |info: PushInfo| -> Result<(), redis::aio::SendError> {
        push(info);
        Ok(())
    };
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT))
        .set_push_sender(push)
}

impl Link {
    /// The connection, for what is asked beside publishing.
    pub fn connection(&self) -> &MultiplexedConnection {
        &self.connection
    }

    /// Adds the commands of a publication: one that publishes it, if there is a message, and one that counts, if that is wanted. The payload is
    /// copied, and given up: with the copies that the client makes, a large answer would have memory thrice.
    fn add_to(&self, pipe: &mut Pipeline, publication: &mut Publication) {
        if let Some(message) = &mut publication.message {
            let payload = std::mem::take(&mut message.payload);
            pipe.cmd(self.commands.publish).arg(&message.channel).arg(&payload);
        }
        if publication.count_for.is_some() {
            pipe.cmd("PUBSUB").arg(self.commands.count).arg(&publication.local.channels.request);
        }
    }

    async fn publish_all(&mut self, batch: &mut [Publication]) -> Result<Vec<usize>, String> {
        let mut pipe = redis::pipe();
        batch.iter_mut().for_each(|publication| self.add_to(&mut pipe, publication));
        let asking = batch.iter().filter(|one| one.count_for.is_some());
        let channels: Vec<String> = asking.map(|one| one.local.channels.request.clone()).collect();
        let asks_nodes = self.nodes.is_some() && !channels.is_empty();
        if asks_nodes {
            pipe.cmd("CLUSTER").arg("SLOTS");
        }
        let answers = self.exchange(&pipe).await?;
        let (mut rest, mut counts) = (answers.iter(), Vec::new());
        for publication in batch {
            // How many heard a message is no matter.
            publication.message.as_ref().and_then(|_| rest.next());
            if publication.count_for.is_some() {
                counts.push(rest.next().map_or(0, subscribers));
            }
        }
        if let (Some(nodes), Some(slots)) = (self.nodes.as_mut().filter(|_| asks_nodes), rest.next()) {
            nodes.add_counts(slots, &channels, &mut counts).await?;
        }
        Ok(counts)
    }

    /// The answers to commands.
    async fn exchange(&mut self, pipe: &Pipeline) -> Result<Vec<Value>, String> {
        pipe.query_async(&mut self.connection).await.map_err(text_of)
    }
}

impl broker::Link for Link {
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    async fn change(&mut self, changes: Vec<Change>) -> Result<(), String> {
        let mut pipe = redis::pipe();
        for change in changes {
            let (plain, pattern, subscription) = match change {
                Change::Subscribe(subscription) => (self.commands.subscribe, "PSUBSCRIBE", subscription),
                Change::Unsubscribe(subscription) => (self.commands.unsubscribe, "PUNSUBSCRIBE", subscription),
            };
            let Subscription { name, medium } = subscription;
            match medium {
                Medium::Channel => pipe.cmd(plain).arg(name),
                Medium::Pattern => pipe.cmd(pattern).arg(name),
                // Who keeps messages reads them by itself.
                Medium::Stream => continue,
            };
        }
        pipe.query_async(&mut self.connection).await.map_err(text_of)
    }

    async fn publish(&mut self, mut batch: Vec<Publication>) -> Result<Vec<usize>, Lost> {
        self.publish_all(&mut batch).await.map_err(|reason| Lost::in_batch(&batch, reason))
    }

    async fn ping(&mut self) -> Result<(), String> {
        match &self.nodes {
            Some(nodes) => nodes.check(&mut self.connection).await,
            None => redis::cmd("PING").query_async(&mut self.connection).await.map_err(text_of),
        }
    }
}

/// The number in the answer of NUMSUB for one channel: a list, or a map.
pub fn subscribers(answer: &Value) -> usize {
    let number = match answer {
        Value::Array(list) => list.get(1),
        Value::Map(pairs) => pairs.first().map(|(_, number)| number),
        _ => None,
    };
    match number {
        Some(Value::Int(number)) => usize::try_from(*number).unwrap_or(0),
        _ => 0,
    }
}

/// What came between answers.
pub fn pushed(member: &dyn Member, info: &PushInfo) {
    let (subscribed, channel, payload) = match (&info.kind, &info.data[..]) {
        (PushKind::Message | PushKind::SMessage, [Value::BulkString(channel), Value::BulkString(payload)]) => {
            (channel, channel, payload)
        }
        (PushKind::PMessage, [Value::BulkString(pattern), Value::BulkString(channel), Value::BulkString(payload)]) => {
            (pattern, channel, payload)
        }
        _ => return,
    };
    let (subscribed, channel) = (String::from_utf8_lossy(subscribed), String::from_utf8_lossy(channel));
    member.received(&Heard { subscribed: &subscribed, channel: &channel, bytes: payload, entry: None });
}

/// What the host is told of an error. Redis's own texts name users, but no passwords.
pub fn text_of(error: redis::RedisError) -> String {
    error.to_string()
}
