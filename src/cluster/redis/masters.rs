//! The masters of a Redis Cluster by their slots: a command goes to the master of its key, be that a channel of shards or a stream. What goes to
//! one key keeps its order; what goes to several may not. What a node refuses because the slot has moved, it has not done, so that it is sent
//! again where the slot is now; nothing else is.

use std::time::Duration;

use crc::{CRC_16_XMODEM, Crc};
use hashbrown::HashMap;
use indexmap::IndexMap;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value,
};
use tokio::task::JoinSet;

use super::nodes::{self, Master, Range, Seeds};
use super::{place, text_of};

/// The number of slots is a part of the protocol.
const SLOTS: u16 = 16_384;
const HASH: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// While a slot moves what belongs to it is sent so often at most: two seconds, in which the others wait.
const ATTEMPTS: usize = 20;
/// Nodes tell each other of a move in much less.
pub const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);

/// The slot of a key: of what is between its first braces, if that is something, else of all.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    HASH.checksum(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS
}

/// The master that a key belongs to.
pub fn master_of<'a>(ranges: &'a [Range], key: &str) -> Result<&'a Master, String> {
    let slot = slot(key);
    let range = ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
    range.map(|range| &range.master).ok_or_else(|| format!("no node has slot {slot}"))
}

/// Whether an error says that the slot is another node's, or just becomes that.
pub fn is_moving(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Moved | Ask | TryAgain))
}

/// Connections to the masters, made when they are needed.
pub struct Masters {
    /// How nodes are spoken to.
    info: ConnectionInfo,
    config: AsyncConnectionConfig,
    ranges: Vec<Range>,
    /// By the ids of masters.
    connections: HashMap<String, MultiplexedConnection>,
}

impl Masters {
    /// Asks which slots are whose; this is how connections are made then.
    pub async fn find(seeds: &mut Seeds, config: AsyncConnectionConfig) -> Result<Masters, String> {
        let (info, ranges) = seeds.ask().await?;
        Ok(Masters { info, config, ranges, connections: HashMap::new() })
    }

    /// How nodes are spoken to.
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// A connection to the master of a key.
    pub async fn at(&mut self, key: &str) -> Result<MultiplexedConnection, String> {
        let master = master_of(&self.ranges, key)?.clone();
        self.open(&master).await
    }

    async fn open(&mut self, master: &Master) -> Result<MultiplexedConnection, String> {
        if let Some(connection) = self.connections.get(&master.id) {
            return Ok(connection.clone());
        }
        let info = place::at(&self.info, &master.host, master.port);
        let connection = nodes::open(&info, &self.config).await?;
        self.connections.insert(master.id.clone(), connection.clone());
        Ok(connection)
    }

    /// Sends commands, which `add` adds, to the masters of their keys, in order, and writes the answers where they were `None`. What is `None` after an error may
    /// have been done, or not.
    pub async fn send<T>(
        &mut self,
        commands: &[(&str, T)],
        add: impl Fn(&mut Pipeline, &str, &T),
        answers: &mut [Option<Value>],
    ) -> Result<(), String> {
        for attempt in 0..ATTEMPTS {
            if attempt != 0 {
                tokio::time::sleep(ATTEMPT_PAUSE).await;
                self.ranges = nodes::told_by(&self.info).await?;
            }
            self.attempt(commands, &add, answers).await?;
            if answers.iter().all(Option::is_some) {
                return Ok(());
            }
        }
        Err("slots move without an end".to_owned())
    }

    /// Sends what has no answer yet. What has none after it is for slots that move.
    async fn attempt<T>(
        &mut self,
        commands: &[(&str, T)],
        add: impl Fn(&mut Pipeline, &str, &T),
        answers: &mut [Option<Value>],
    ) -> Result<(), String> {
        let mut groups: IndexMap<String, (Master, Pipeline, Vec<usize>)> = IndexMap::new();
        let missing = answers.iter().enumerate().filter(|(_, answer)| answer.is_none());
        for (at, (key, command)) in missing.filter_map(|(at, _)| Some((at, commands.get(at)?))) {
            let master = master_of(&self.ranges, key)?;
            let group = groups.entry(master.id.clone());
            let (_, pipe, places) = group.or_insert_with(|| (master.clone(), redis::pipe(), Vec::new()));
            add(pipe, key, command);
            places.push(at);
        }
        // One that fails does not keep the others from telling what they did.
        let (mut sent, mut done) = (JoinSet::new(), Ok(()));
        for (master, mut pipe, places) in groups.into_values() {
            match self.open(&master).await {
                Ok(mut connection) => drop(sent.spawn(async move {
                    let given: RedisResult<Vec<RedisResult<Value>>> =
                        pipe.ignore_errors().query_async(&mut connection).await;
                    (places, given)
                })),
                Err(reason) => done = Err(reason),
            }
        }
        while let Some(group) = sent.join_next().await {
            match group {
                Ok((places, Ok(given))) => {
                    for (at, given) in places.into_iter().zip(given) {
                        match (given, answers.get_mut(at)) {
                            (Ok(given), Some(answer)) => *answer = Some(given),
                            (Err(error), _) if !is_moving(&error) => done = Err(text_of(error)),
                            _ => {}
                        }
                    }
                }
                Ok((_, Err(error))) => done = Err(text_of(error)),
                Err(error) => done = Err(error.to_string()),
            }
        }
        done
    }

    /// Asks all that are connected whether they are there.
    pub async fn ping(&mut self) -> Result<(), String> {
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
