//! The channels of shards of a Redis Cluster: each belongs to a slot, and each slot to a master, where it is subscribed to and published. What goes to
//! one channel keeps its order; what goes to several may not.
//!
//! Whenever a slot has moved away from where a channel was subscribed to, the connection is given up as a whole: a new one asks where everything is now.
//! What is published is published again where its slot has moved to, because the node that refused it has not published it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crc::{CRC_16_XMODEM, Crc};
use hashbrown::HashMap;
use indexmap::IndexMap;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionInfo, ErrorKind, Pipeline, PushInfo, PushKind, RedisResult, ServerErrorKind, Value,
};
use tokio::task::JoinSet;

use super::nodes::{self, Master, Range, Seeds};
use super::place;
use super::{ANSWER_TIMEOUT, pushed, subscribers, text_of};
use crate::cluster::broker::{self, Lost, Member};
use crate::cluster::outgoing::Publication;
use crate::cluster::subscriptions::Change;

/// The number of slots is a part of the protocol.
const SLOTS: u16 = 16_384;
const HASH: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// While slots move, a batch goes out so often at most.
const ATTEMPTS: usize = 3;
/// Nodes tell each other of a move in much less.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);

/// The slot of a channel: of what is between its first braces, if that is something, else of all.
fn slot(channel: &str) -> u16 {
    let tag = channel.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    HASH.checksum(tag.filter(|tag| !tag.is_empty()).unwrap_or(channel).as_bytes()) % SLOTS
}

/// A Redis Cluster whose channels of shards are used.
pub struct Broker(pub Seeds);

/// Connections to the masters, made when they are needed.
pub struct Link {
    /// How nodes are spoken to.
    info: ConnectionInfo,
    config: AsyncConnectionConfig,
    ranges: Vec<Range>,
    /// By the ids of masters.
    connections: HashMap<String, MultiplexedConnection>,
    state: Arc<State>,
}

/// What the connections tell.
#[derive(Default)]
struct State {
    is_broken: AtomicBool,
    /// Channels whose end was asked for. A node ends others by itself, when their slots have moved.
    leaving: AtomicUsize,
}

impl State {
    fn take(&self, member: &dyn Member, info: &PushInfo) {
        let is_end = match info.kind {
            PushKind::Disconnection => true,
            PushKind::SUnsubscribe => {
                let asked =
                    self.leaving.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1));
                asked.is_err()
            }
            _ => false,
        };
        if is_end {
            self.is_broken.store(true, Ordering::Release);
            member.outgoing().wake.notify_one();
        } else {
            pushed(member, info);
        }
    }
}

impl broker::Broker for Broker {
    type Link = Link;

    async fn connect(&mut self, member: &Arc<dyn Member>) -> Result<Link, String> {
        let (info, ranges) = self.0.ask().await?;
        let state = Arc::new(State::default());
        let (member, told) = (member.clone(), state.clone());
        let push = move |info: PushInfo| -> Result<(), redis::aio::SendError> {
            told.take(&*member, &info);
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_push_sender(push);
        Ok(Link { info, config, ranges, connections: HashMap::new(), state })
    }
}

impl Link {
    /// The master that a channel belongs to.
    fn master_of(&self, channel: &str) -> Result<&Master, String> {
        let slot = slot(channel);
        let range = self.ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
        range.map(|range| &range.master).ok_or_else(|| format!("no node has slot {slot}"))
    }

    async fn connection(&mut self, master: &Master) -> Result<MultiplexedConnection, String> {
        if let Some(connection) = self.connections.get(&master.id) {
            return Ok(connection.clone());
        }
        let info = place::at(&self.info, &master.host, master.port);
        let connection = nodes::open(&info, &self.config).await?;
        self.connections.insert(master.id.clone(), connection.clone());
        Ok(connection)
    }

    /// Puts commands together by the masters of their channels, in order; `add` adds those of an item.
    fn by_master<'a, T>(
        &self,
        items: impl Iterator<Item = (&'a str, T)>,
        add: impl Fn(&mut Pipeline, &T),
    ) -> Result<Vec<(Master, Pipeline, Vec<T>)>, String> {
        let mut groups: IndexMap<String, (Master, Pipeline, Vec<T>)> = IndexMap::new();
        for (channel, item) in items {
            let master = self.master_of(channel)?;
            let group = groups.entry(master.id.clone());
            let (_, pipe, list) = group.or_insert_with(|| (master.clone(), redis::pipe(), Vec::new()));
            add(pipe, &item);
            list.push(item);
        }
        Ok(groups.into_values().collect())
    }

    /// Publishes those of a batch whose places in it are `left`, and writes the numbers that were asked for into `counts`; takes out what is
    /// done, so that what is left after it is for slots that have moved.
    async fn attempt(
        &mut self,
        batch: &[Publication],
        left: &mut Vec<usize>,
        counts: &mut HashMap<usize, usize>,
    ) -> Result<(), String> {
        let publications = left.iter().filter_map(|at| Some((*at, batch.get(*at)?)));
        let items = publications.map(|(at, publication)| (channel_of(publication), (at, publication)));
        let mut sent = JoinSet::new();
        for (master, mut pipe, list) in self.by_master(items, |pipe, (_, publication)| add_to(pipe, publication))? {
            let places: Vec<usize> = list.into_iter().map(|(at, _)| at).collect();
            let mut connection = self.connection(&master).await?;
            sent.spawn(async move {
                let answers: RedisResult<Vec<RedisResult<Value>>> =
                    pipe.ignore_errors().query_async(&mut connection).await;
                (places, answers)
            });
        }
        while let Some(group) = sent.join_next().await {
            let (places, answers) = group.map_err(|error| error.to_string())?;
            let mut answers = answers.map_err(text_of)?.into_iter();
            for at in places {
                let Some(publication) = batch.get(at) else { continue };
                let heard = publication.message.as_ref().and_then(|_| answers.next());
                let count = publication.count_for.as_ref().and_then(|_| answers.next());
                if has_moved(&heard)? || has_moved(&count)? {
                    continue;
                }
                left.retain(|other| *other != at);
                if let Some(Ok(count)) = count {
                    counts.insert(at, subscribers(&count));
                }
            }
        }
        Ok(())
    }

    async fn publish_all(&mut self, batch: &[Publication], left: &mut Vec<usize>) -> Result<Vec<usize>, String> {
        let mut counts = HashMap::new();
        for _ in 0..ATTEMPTS {
            self.attempt(batch, left, &mut counts).await?;
            if left.is_empty() {
                let asked = batch.iter().enumerate().filter(|(_, publication)| publication.count_for.is_some());
                return Ok(asked.map(|(at, _)| counts.get(&at).copied().unwrap_or(0)).collect());
            }
            tokio::time::sleep(ATTEMPT_PAUSE).await;
            self.ranges = nodes::told_by(&self.info).await?;
        }
        Err("slots move without an end".to_owned())
    }
}

/// What decides where a publication goes: its own channel, or the one that is asked about.
fn channel_of(publication: &Publication) -> &str {
    publication.message.as_ref().map_or(&publication.local.channels.request, |message| &message.channel)
}

fn add_to(pipe: &mut Pipeline, publication: &Publication) {
    if let Some(message) = &publication.message {
        pipe.cmd("SPUBLISH").arg(&message.channel).arg(&message.payload);
    }
    if publication.count_for.is_some() {
        pipe.cmd("PUBSUB").arg("SHARDNUMSUB").arg(&publication.local.channels.request);
    }
}

/// Whether an answer says that the slot is another node's. Any other error ends the connection.
fn has_moved(answer: &Option<RedisResult<Value>>) -> Result<bool, String> {
    match answer {
        Some(Err(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => Ok(true),
        Some(Err(error)) => Err(error.to_string()),
        _ => Ok(false),
    }
}

impl broker::Link for Link {
    fn is_broken(&self) -> bool {
        self.state.is_broken.load(Ordering::Acquire)
    }

    async fn change(&mut self, changes: Vec<Change>) -> Result<(), String> {
        let leaving = changes.iter().filter(|change| matches!(change, Change::Unsubscribe(_)));
        self.state.leaving.fetch_add(leaving.count(), Ordering::AcqRel);
        let items = changes.iter().map(|change| match change {
            Change::Subscribe(subscription) => (&*subscription.name, ("SSUBSCRIBE", &subscription.name)),
            Change::Unsubscribe(subscription) => (&*subscription.name, ("SUNSUBSCRIBE", &subscription.name)),
        });
        let add = |pipe: &mut Pipeline, (command, channel): &(&str, &String)| {
            pipe.cmd(command).arg(channel);
        };
        for (master, pipe, _) in self.by_master(items, add)? {
            let mut connection = self.connection(&master).await?;
            let _: Value = pipe.query_async(&mut connection).await.map_err(text_of)?;
        }
        Ok(())
    }

    async fn publish(&mut self, batch: Vec<Publication>) -> Result<Vec<usize>, Lost> {
        let mut left: Vec<usize> = (0..batch.len()).collect();
        self.publish_all(&batch, &mut left).await.map_err(|reason| {
            let messages = left.iter().filter_map(|at| batch.get(*at)?.message.as_ref());
            Lost { reason, unconfirmed: messages.count() as u64 }
        })
    }

    async fn ping(&mut self) -> Result<(), String> {
        for connection in self.connections.values_mut() {
            let () = redis::cmd("PING").query_async(connection).await.map_err(text_of)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_the_official_clients_compute() {
        // The first two are captured ones, the others the specification's.
        assert_eq!((slot("socket.io#/#"), slot("socket.io#/#room1#")), (13868, 9640));
        assert_eq!((slot("123456789"), slot("")), (0x31c3, 0));
        assert_eq!(slot("a{room}b"), slot("room"));
        assert_ne!(slot("a{}b"), slot("a"));
        assert_eq!(slot("foo{{bar}}zap"), slot("{bar"));
    }
}
