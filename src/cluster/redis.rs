//! Redis (6 or newer) and Valkey as the broker: one connection for everything, since their third protocol lets messages come in between
//! answers. The crate `redis` speaks it: of the clients it is the one that the project of Redis keeps itself, and it knows clusters,
//! sentinels and TLS besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, PushInfo,
    PushKind, Value,
};

use super::node::{Local, Node};
use super::outgoing::Publication;
use super::receive::receive;
use crate::server::{Code, Error, Server};

/// A broker that does not answer for so long is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where Redis is.
pub enum Broker {
    /// At an address.
    Fixed(Client),
    /// Where sentinels say.
    Master(Box<SentinelClient>),
}

/// A connection.
pub struct Link {
    connection: MultiplexedConnection,
    broken: Arc<AtomicBool>,
}

impl Broker {
    /// Reads the URLs; errors do not show them, because they may hold passwords.
    pub fn new(url: &str, sentinels: &[String]) -> Result<Broker, Error> {
        let info = read_url(url, "url")?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let unusable = |_| Error::new(Code::Invalid, "adapter.url cannot be used");
        if sentinels.is_empty() {
            return Client::open(info.set_redis_settings(settings)).map(Broker::Fixed).map_err(unusable);
        }
        let ConnectionAddr::Tcp(master, _) = info.addr() else {
            return Err(Error::new(Code::Invalid, "adapter.url must have the master's name as its host"));
        };
        let addresses = sentinels.iter().map(|url| read_url(url, "sentinels")).collect::<Result<Vec<_>, Error>>()?;
        let node = SentinelNodeConnectionInfo::default().set_redis_connection_info(settings);
        let client = SentinelClient::build(addresses, master.clone(), Some(node), SentinelServerType::Master);
        client.map(|client| Broker::Master(Box::new(client))).map_err(unusable)
    }

    /// A client of the broker, which sentinels are asked for each time.
    async fn client(&mut self) -> Result<Client, String> {
        match self {
            Broker::Fixed(client) => Ok(client.clone()),
            Broker::Master(sentinels) => {
                let asked = tokio::time::timeout(ANSWER_TIMEOUT, sentinels.async_get_client()).await;
                asked.map_err(|_| "the sentinels do not answer".to_owned())?.map_err(text_of)
            }
        }
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
        let client = self.client().await?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(text_of)?;
        Ok(Link { connection, broken })
    }
}

fn read_url(url: &str, option: &str) -> Result<ConnectionInfo, Error> {
    if url.starts_with("rediss:") || url.starts_with("valkeys:") {
        let text = format!("adapter.{option} asks for TLS, which this build does not have");
        return Err(Error::new(Code::Unsupported, text));
    }
    let no_url = |_| Error::new(Code::Invalid, format!("adapter.{option}: not a URL of Redis"));
    url.into_connection_info().map_err(no_url)
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
        let answers: Vec<Value> = pipe.query_async(&mut self.connection).await.map_err(text_of)?;
        Ok(answers.iter().map(subscribers).collect())
    }

    /// Asks whether the broker is there.
    pub async fn ping(&mut self) -> Result<(), String> {
        redis::cmd("PING").query_async(&mut self.connection).await.map_err(text_of)
    }
}

/// The number in the answer of NUMSUB for one channel: a list, or a map.
fn subscribers(answer: &Value) -> usize {
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
fn text_of(error: redis::RedisError) -> String {
    error.to_string()
}
