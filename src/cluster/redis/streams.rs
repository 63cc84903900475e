//! Redis as a broker that keeps messages: entries are added to streams beside what is published, and read from where reading ended, over a
//! connection of its own for each stream. So nothing is lost that Redis kept while the connection was, in either direction: what had been sent
//! when a connection broke is looked for in the stream, and sent again if it is not there.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, Value};
use tokio::task::AbortHandle;

use super::entries::{self, Found};
use super::options::StreamsOptions;
use super::{ANSWER_TIMEOUT, Broker, Link, subscribers, text_of};
use crate::cluster::broker::{self, Lost, Medium, Member, Subscription};
use crate::cluster::outgoing::Publication;
use crate::cluster::peers::EMITTER;
use crate::cluster::subscriptions::Change;

/// Entries that are looked through at once for this server's own.
const LOOK_COUNT: usize = 1000;

/// How streams are read and written.
#[derive(Clone, Copy)]
struct Reading {
    max_len: u64,
    read_count: u32,
    block_time_ms: u32,
}

/// What outlives a connection.
#[derive(Default)]
struct Kept {
    /// The id of the last entry that was read, for each stream.
    read: HashMap<String, String>,
    /// The id of the last entry that this server is known to have added, or that was there before it began.
    added: HashMap<String, String>,
    /// What was sent and not confirmed.
    doubtful: Vec<Publication>,
}

/// Redis and its streams.
pub struct StreamsBroker {
    redis: Broker,
    reading: Reading,
    kept: Arc<Mutex<Kept>>,
}

impl StreamsBroker {
    /// Over this Redis.
    pub fn new(redis: Broker, options: &StreamsOptions) -> StreamsBroker {
        let StreamsOptions { max_len, read_count, block_time_ms, .. } = *options;
        StreamsBroker { redis, reading: Reading { max_len, read_count, block_time_ms }, kept: Arc::default() }
    }
}

impl broker::Broker for StreamsBroker {
    type Link = StreamsLink;

    async fn connect(&mut self, member: &Arc<dyn Member>) -> Result<StreamsLink, String> {
        let (link, client) = (self.redis.connect(member).await?, self.redis.client().await?);
        let (member, kept, reading) = (member.clone(), self.kept.clone(), self.reading);
        let mut link = StreamsLink { link, client, member, kept, reading, readers: HashMap::new() };
        link.settle().await?;
        Ok(link)
    }
}

/// A connection, and one more for each stream.
pub struct StreamsLink {
    link: Link,
    client: Client,
    member: Arc<dyn Member>,
    kept: Arc<Mutex<Kept>>,
    reading: Reading,
    readers: HashMap<String, AbortHandle>,
}

impl Drop for StreamsLink {
    fn drop(&mut self) {
        self.readers.values().for_each(AbortHandle::abort);
    }
}

impl broker::Link for StreamsLink {
    fn is_broken(&self) -> bool {
        self.link.is_broken() || self.readers.values().any(AbortHandle::is_finished)
    }

    async fn change(&mut self, changes: Vec<Change>) -> Result<(), String> {
        let mut others = Vec::new();
        for change in changes {
            match change {
                Change::Subscribe(Subscription { name, medium: Medium::Stream }) => self.read(name).await?,
                Change::Unsubscribe(Subscription { name, medium: Medium::Stream }) => {
                    self.readers.remove(&name).iter().for_each(AbortHandle::abort);
                }
                other => others.push(other),
            }
        }
        self.link.change(others).await
    }

    async fn publish(&mut self, mut batch: Vec<Publication>) -> Result<Vec<usize>, Lost> {
        match self.send(&mut batch).await {
            Ok(counts) => Ok(counts),
            Err(reason) => {
                let (doubtful, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(can_be_found);
                self.kept.lock().doubtful = doubtful;
                Err(Lost::in_batch(&others, reason))
            }
        }
    }

    async fn ping(&mut self) -> Result<(), String> {
        self.link.ping().await
    }
}

/// Whether it can be told later if it is in the stream: entries of emitters all bear the same name.
fn can_be_found(publication: &Publication) -> bool {
    publication.local.uid != EMITTER && publication.message.as_ref().is_some_and(|message| message.stored)
}

impl StreamsLink {
    /// Reads a stream from where reading ended, or from its end.
    async fn read(&mut self, stream: String) -> Result<(), String> {
        let patience = Duration::from_millis(self.reading.block_time_ms.into()) + ANSWER_TIMEOUT;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(patience));
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(text_of)?;
        let known = self.kept.lock().read.get(&stream).cloned();
        let offset = match known {
            Some(offset) => offset,
            None => {
                let last = entries::last_id(&mut connection, &stream).await.map_err(text_of)?;
                self.kept.lock().added.insert(stream.clone(), last.clone());
                last
            }
        };
        self.kept.lock().read.insert(stream.clone(), offset.clone());
        let (member, kept, reading) = (self.member.clone(), self.kept.clone(), self.reading);
        let task = tokio::spawn(read_on(connection, stream.clone(), offset, reading, member, kept));
        self.readers.insert(stream, task.abort_handle());
        Ok(())
    }

    /// Publishes, and adds to streams; the numbers of subscribers that were asked for, in order.
    async fn send(&mut self, batch: &mut [Publication]) -> Result<Vec<usize>, String> {
        let mut pipe = Pipeline::new();
        for publication in batch.iter_mut() {
            match &publication.message {
                Some(message) if message.stored => {
                    let (local, command) = (&publication.local, pipe.cmd("XADD").arg(&message.channel));
                    command.arg("MAXLEN").arg("~").arg(self.reading.max_len).arg("*").arg("uid").arg(&local.uid);
                    command.arg("nsp").arg(&*local.nsp).arg("type").arg(message.kind).arg("data").arg(&message.payload);
                }
                _ => self.link.add_to(&mut pipe, publication),
            }
        }
        let answers = self.link.exchange(&pipe).await?;
        let (mut answers, mut counts, mut kept) = (answers.iter(), Vec::new(), self.kept.lock());
        for publication in batch {
            if let Some(message) = &publication.message
                && let Some(Value::BulkString(id)) = answers.next()
                && message.stored
            {
                kept.added.insert(message.channel.clone(), String::from_utf8_lossy(id).into_owned());
            }
            if publication.count_for.is_some() {
                counts.push(answers.next().map_or(0, subscribers));
            }
        }
        Ok(counts)
    }

    /// Sends what was not confirmed again, as far as it is not in the streams. One connection keeps its order, so that what is there of a
    /// stream is the beginning of what was sent.
    async fn settle(&mut self) -> Result<(), String> {
        let mut doubtful = std::mem::take(&mut self.kept.lock().doubtful);
        let names = |one: &Publication| one.message.as_ref().map(|message| message.channel.clone());
        let streams: HashSet<String> = doubtful.iter().filter_map(names).collect();
        let done = self.drop_added(&streams, &mut doubtful).await;
        let done = match done {
            Ok(()) if !doubtful.is_empty() => self.send(&mut doubtful).await.map(drop),
            other => other,
        };
        if done.is_err() {
            self.kept.lock().doubtful = doubtful;
        }
        done
    }

    /// Leaves out what is in these streams.
    async fn drop_added(&mut self, streams: &HashSet<String>, doubtful: &mut Vec<Publication>) -> Result<(), String> {
        for stream in streams {
            let known = self.kept.lock().added.get(stream).cloned();
            let Some(mut after) = known else { continue };
            loop {
                let connection: &mut MultiplexedConnection = self.link.connection();
                let page = entries::after(connection, stream, &after, LOOK_COUNT).await.map_err(text_of)?;
                let found: Vec<Found<'_>> = entries::of_range(&page);
                for entry in &found {
                    let is_ours = |one: &Publication| {
                        one.local.uid == entry.uid
                            && one.message.as_ref().is_some_and(|message| message.channel == *stream)
                    };
                    if let Some(at) = doubtful.iter().position(is_ours) {
                        doubtful.remove(at);
                        self.kept.lock().added.insert(stream.clone(), entry.id.to_owned());
                    }
                }
                match found.last() {
                    Some(last) => after = last.id.to_owned(),
                    None => break,
                }
            }
        }
        Ok(())
    }
}

/// Reads a stream until its connection breaks.
async fn read_on(
    mut connection: MultiplexedConnection,
    stream: String,
    mut offset: String,
    reading: Reading,
    member: Arc<dyn Member>,
    kept: Arc<Mutex<Kept>>,
) {
    loop {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(reading.read_count).arg("BLOCK").arg(reading.block_time_ms);
        command.arg("STREAMS").arg(&stream).arg(&offset);
        let Ok(answer) = command.query_async::<Value>(&mut connection).await else { break };
        for entry in entries::of_read(&answer) {
            entries::give(&*member, &stream, &entry);
            entry.id.clone_into(&mut offset);
        }
        kept.lock().read.insert(stream.clone(), offset.clone());
    }
    // The link looks whether its readers are there.
    drop(connection);
    member.outgoing().wake.notify_one();
}
