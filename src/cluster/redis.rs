//! Redis (6 or newer) and Valkey as the broker: one connection for everything, since their third protocol lets messages come in between
//! answers. The crate `redis` speaks it: of the clients it is the one that the project of Redis keeps itself, and it knows clusters,
//! sentinels and TLS besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, Value};

use super::node::{Local, Node};
use super::nodes::Nodes;
use super::options::Options;
use super::outgoing::Publication;
use super::place::Place;
use super::receive::receive;
use crate::server::{Error, Server};

/// A broker that does not answer for so long is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Redis, wherever it is.
pub struct Broker {
    place: Place,
}

/// A connection.
pub struct Link {
    connection: MultiplexedConnection,
    broken: Arc<AtomicBool>,
    /// If the connection is one to a node of many.
    nodes: Option<Nodes>,
}

impl Broker {
    /// Reads where it is.
    pub fn new(options: &Options) -> Result<Broker, Error> {
        Ok(Broker { place: Place::new(options)? })
    }

    /// Connects; messages are carried out as they come.
    pub async fn connect(&mut self, node: &Arc<Node>, server: &Arc<Server>) -> Result<Link, String> {
        let broken = Arc::new(AtomicBool::new(false));
        let (node, server, is_broken) = (node.clone(), server.clone(), broken.clone());
        // The connection reads on when this returns, so that a busy server holds the broker back, and keeps nothing in between.
        let push = move |info: PushInfo| -> Result<(), redis::aio::SendError> {
            if info.kind == PushKind::Disconnection {
                is_broken.store(true, Ordering::Release);
                node.outgoing.wake.notify_one();
            } else {
                pushed(&node, &server, &info);
            }
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_push_sender(push);
        let client = match &mut self.place {
            Place::Fixed(info) => Client::open((**info).clone()).map_err(text_of)?,
            // They are asked each time.
            Place::Master(sentinels) => {
                let asked = tokio::time::timeout(ANSWER_TIMEOUT, sentinels.async_get_client()).await;
                asked.map_err(|_| "the sentinels do not answer".to_owned())?.map_err(text_of)?
            }
            Place::Nodes(seeds) => {
                let (nodes, connection) = Nodes::connect(seeds, &config).await?;
                return Ok(Link { connection, broken, nodes: Some(nodes) });
            }
        };
        let connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(text_of)?;
        Ok(Link { connection, broken, nodes: None })
    }
}

impl Link {
    /// Whether the connection has ended.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Subscribes to a namespace's channels.
    pub async fn subscribe(&mut self, local: &Local) -> Result<(), String> {
        let channels = &local.channels;
        self.connection.psubscribe(&channels.pattern).await.map_err(text_of)?;
        let plain = [&channels.request, &channels.response, &channels.own_response];
        self.connection.subscribe(&plain[..]).await.map_err(text_of)
    }

    /// Publishes in order, in one go; the numbers of subscribers that were asked for, in order.
    pub async fn publish(&mut self, batch: &[Publication]) -> Result<Vec<usize>, String> {
        let mut pipe = redis::pipe();
        for publication in batch {
            if let Some(payload) = &publication.payload {
                pipe.cmd("PUBLISH").arg(&publication.channel).arg(payload).ignore();
            }
            if publication.count_for.is_some() {
                pipe.cmd("PUBSUB").arg("NUMSUB").arg(&publication.channel);
            }
        }
        let channels: Vec<String> =
            batch.iter().filter(|one| one.count_for.is_some()).map(|one| one.channel.clone()).collect();
        let asks_nodes = self.nodes.as_mut().filter(|_| !channels.is_empty());
        if asks_nodes.is_some() {
            pipe.cmd("CLUSTER").arg("SLOTS");
        }
        let answers: Vec<Value> = pipe.query_async(&mut self.connection).await.map_err(text_of)?;
        let mut counts: Vec<usize> = answers.iter().take(channels.len()).map(subscribers).collect();
        if let (Some(nodes), Some(slots)) = (asks_nodes, answers.last()) {
            nodes.add_counts(slots, &channels, &mut counts).await?;
        }
        Ok(counts)
    }

    /// Asks whether the broker is there.
    pub async fn ping(&mut self) -> Result<(), String> {
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
fn pushed(node: &Arc<Node>, server: &Arc<Server>, info: &PushInfo) {
    let (subscribed, channel, payload) = match (&info.kind, &info.data[..]) {
        (PushKind::Message, [Value::BulkString(channel), Value::BulkString(payload)]) => (channel, channel, payload),
        (PushKind::PMessage, [Value::BulkString(pattern), Value::BulkString(channel), Value::BulkString(payload)]) => {
            (pattern, channel, payload)
        }
        _ => return,
    };
    receive(node, server, &String::from_utf8_lossy(subscribed), &String::from_utf8_lossy(channel), payload);
}

/// What the host is told of an error. Redis's own texts name users, but no passwords.
pub fn text_of(error: redis::RedisError) -> String {
    error.to_string()
}
