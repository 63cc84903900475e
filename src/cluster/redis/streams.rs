//! Redis as a broker that keeps messages: entries are added to streams beside what another broker over Redis passes on, and read from where
//! reading ended, over a connection of its own for each stream. So nothing is lost that Redis kept while the connection was, in either direction: what had been sent
//! when a connection broke is looked for in the stream, and sent again if it is not there.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult, Value};
use tokio::task::AbortHandle;

use super::entries::{self, Found};
use super::masters::{ATTEMPT_PAUSE, is_moving};
use super::options::StreamsOptions;
use super::store::{Keeper, Source, Store};
use super::{ANSWER_TIMEOUT, text_of};
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

/// A broker, and its streams.
pub struct StreamsBroker<B> {
    broker: B,
    reading: Reading,
    kept: Arc<Mutex<Kept>>,
}

impl<B: Keeper> StreamsBroker<B> {
    /// Beside what this broker passes on.
    pub fn new(broker: B, options: &StreamsOptions) -> StreamsBroker<B> {
        let StreamsOptions { max_len, read_count, block_time_ms, .. } = *options;
        StreamsBroker { broker, reading: Reading { max_len, read_count, block_time_ms }, kept: Arc::default() }
    }
}

impl<B: Keeper> broker::Broker for StreamsBroker<B> {
    type Link = StreamsLink<B::Link>;

    async fn connect(&mut self, member: &Arc<dyn Member>) -> Result<StreamsLink<B::Link>, String> {
        let link = self.broker.connect(member).await?;
        let store = self.broker.store(&link, member).await?;
        let (member, kept, reading) = (member.clone(), self.kept.clone(), self.reading);
        let mut link = StreamsLink { link, store, member, kept, reading, readers: HashMap::new() };
        link.settle().await?;
        Ok(link)
    }
}

/// A connection, and one more for each stream.
pub struct StreamsLink<L> {
    link: L,
    store: Store,
    member: Arc<dyn Member>,
    kept: Arc<Mutex<Kept>>,
    reading: Reading,
    readers: HashMap<String, AbortHandle>,
}

impl<L> Drop for StreamsLink<L> {
    fn drop(&mut self) {
        self.readers.values().for_each(AbortHandle::abort);
    }
}

impl<L: broker::Link> broker::Link for StreamsLink<L> {
    fn is_broken(&self) -> bool {
        self.link.is_broken() || self.store.is_broken() || self.readers.values().any(AbortHandle::is_finished)
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
        match others.is_empty() {
            true => Ok(()),
            false => self.link.change(others).await,
        }
    }

    async fn publish(&mut self, batch: Vec<Publication>) -> Result<Vec<usize>, Lost> {
        // The two are read by different connections, so that they have no order among each other.
        let (mut entries, mut others): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_entry);
        if let Err(reason) = self.add(&mut entries).await {
            let (doubtful, lost): (Vec<_>, Vec<_>) = entries.into_iter().partition(can_be_found);
            self.kept.lock().doubtful = doubtful;
            others.extend(lost);
            return Err(Lost::in_batch(&others, reason));
        }
        match others.is_empty() {
            true => Ok(Vec::new()),
            false => self.link.publish(others).await,
        }
    }

    async fn ping(&mut self) -> Result<(), String> {
        self.store.ping().await?;
        self.link.ping().await
    }
}

fn is_entry(publication: &Publication) -> bool {
    publication.message.as_ref().is_some_and(|message| message.stored)
}

/// Whether it can be told later if an entry is in the stream: those of emitters all bear the same name.
fn can_be_found(entry: &Publication) -> bool {
    entry.local.uid != EMITTER
}

/// The stream of an entry.
fn stream_of(entry: &Publication) -> &str {
    entry.message.as_ref().map_or("", |message| &message.channel)
}

impl<L: broker::Link> StreamsLink<L> {
    /// Reads a stream from where reading ended, or from its end. A stream whose end comes before that has begun anew, or is a replica's that had
    /// not heard of all and has another clock: what comes to it may have smaller ids.
    async fn read(&mut self, stream: String) -> Result<(), String> {
        let patience = Duration::from_millis(self.reading.block_time_ms.into()) + ANSWER_TIMEOUT;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(patience));
        let source = self.store.source();
        let mut connection = source.open(&stream, &config).await?;
        let last = entries::last_id(&mut connection, &stream).await.map_err(text_of)?;
        let offset = {
            let mut kept = self.kept.lock();
            let offset = match kept.read.get(&stream) {
                Some(known) if !entries::is_before(&last, known) => known.clone(),
                Some(_) => last,
                None => {
                    kept.added.insert(stream.clone(), last.clone());
                    last
                }
            };
            kept.read.insert(stream.clone(), offset.clone());
            offset
        };
        let (member, kept, reading) = (self.member.clone(), self.kept.clone(), self.reading);
        let reader = Reader { stream: stream.clone(), source, config, reading, member, kept };
        let task = tokio::spawn(reader.run(connection, offset));
        self.readers.insert(stream, task.abort_handle());
        Ok(())
    }

    /// Sends what was not confirmed again, as far as it is not in the streams. One connection keeps its order, so that what is there of a
    /// stream is the beginning of what was sent.
    async fn settle(&mut self) -> Result<(), String> {
        let mut doubtful = std::mem::take(&mut self.kept.lock().doubtful);
        let streams: HashSet<String> = doubtful.iter().map(|entry| stream_of(entry).to_owned()).collect();
        let done = match self.drop_added(&streams, &mut doubtful).await {
            Ok(()) => self.add(&mut doubtful).await,
            other => other,
        };
        if done.is_err() {
            self.kept.lock().doubtful = doubtful;
        }
        done
    }

    /// Adds entries to their streams. What is left after an error may be there, or not.
    async fn add(&mut self, entries: &mut Vec<Publication>) -> Result<(), String> {
        if entries.is_empty() {
            return Ok(());
        }
        let commands: Vec<(&str, &Publication)> = entries.iter().map(|entry| (stream_of(entry), entry)).collect();
        let (mut answers, max_len) = (vec![None; commands.len()], self.reading.max_len);
        let done = self.store.send(&commands, |pipe, _, entry| entries::add(pipe, entry, max_len), &mut answers).await;
        let mut kept = self.kept.lock();
        for ((stream, _), answer) in commands.iter().zip(&answers) {
            if let Some(Value::BulkString(id)) = answer {
                kept.added.insert((*stream).to_owned(), String::from_utf8_lossy(id).into_owned());
            }
        }
        let mut answers = answers.iter();
        entries.retain(|_| answers.next().is_some_and(Option::is_none));
        done
    }

    /// Leaves out what is in these streams.
    async fn drop_added(&mut self, streams: &HashSet<String>, doubtful: &mut Vec<Publication>) -> Result<(), String> {
        for stream in streams {
            let known = self.kept.lock().added.get(stream).cloned();
            let Some(mut after) = known else { continue };
            let mut connection = self.store.at(stream).await?;
            loop {
                let page = entries::after(&mut connection, stream, &after, LOOK_COUNT).await.map_err(text_of)?;
                let found: Vec<Found<'_>> = entries::of_range(&page);
                for entry in &found {
                    let is_ours = |one: &Publication| one.local.uid == entry.uid && stream_of(one) == stream;
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

/// Who reads a stream.
struct Reader {
    stream: String,
    source: Source,
    config: AsyncConnectionConfig,
    reading: Reading,
    member: Arc<dyn Member>,
    kept: Arc<Mutex<Kept>>,
}

impl Reader {
    /// Reads until the connection breaks.
    async fn run(self, mut connection: MultiplexedConnection, mut offset: String) {
        loop {
            let answer = self.ask(&mut connection, &offset).await;
            match answer {
                Ok(answer) => {
                    for entry in entries::of_read(&answer) {
                        entries::give(&*self.member, &self.stream, &entry);
                        entry.id.clone_into(&mut offset);
                    }
                    self.kept.lock().read.insert(self.stream.clone(), offset.clone());
                }
                // It goes on where the stream is now.
                Err(error) if is_moving(&error) => {
                    tokio::time::sleep(ATTEMPT_PAUSE).await;
                    match self.source.open(&self.stream, &self.config).await {
                        Ok(other) => connection = other,
                        Err(_) => break,
                    }
                }
                Err(_) => break,
            }
        }
        // The link looks whether its readers are there.
        drop(connection);
        self.member.outgoing().wake.notify_one();
    }

    /// What comes after an entry, which is waited for.
    async fn ask(&self, connection: &mut MultiplexedConnection, offset: &str) -> RedisResult<Value> {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(self.reading.read_count).arg("BLOCK").arg(self.reading.block_time_ms);
        command.arg("STREAMS").arg(&self.stream).arg(offset).query_async(connection).await
    }
}
