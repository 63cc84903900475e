//! Where the entries of streams are: all at one place, or each stream at the master of its slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, Pipeline, PushKind, Value};

use super::masters::{self, Masters};
use super::nodes::{self, Seeds};
use super::place::{self, Place};
use super::{Broker, Link, config, slots, text_of};
use crate::cluster::broker::{self, Member};

/// A broker that keeps entries beside what it passes on.
pub trait Keeper: broker::Broker {
    /// Opens its store, once there is a connection.
    fn store(
        &mut self,
        link: &Self::Link,
        member: &Arc<dyn Member>,
    ) -> impl Future<Output = Result<Store, String>> + Send;
}

impl Keeper for Broker {
    async fn store(&mut self, link: &Link, member: &Arc<dyn Member>) -> Result<Store, String> {
        match self.place() {
            Place::Single(place) => {
                Ok(Store::Single { connection: link.connection().clone(), client: place.client().await? })
            }
            Place::Nodes(seeds) => Store::at_masters(seeds, member).await,
        }
    }
}

impl Keeper for slots::Broker {
    async fn store(&mut self, _link: &slots::Link, member: &Arc<dyn Member>) -> Result<Store, String> {
        Store::at_masters(&mut self.0, member).await
    }
}

/// The store.
pub enum Store {
    /// The connection is that of the link.
    Single {
        connection: MultiplexedConnection,
        client: Client,
    },
    Masters {
        masters: Masters,
        broken: Arc<AtomicBool>,
    },
}

impl Store {
    async fn at_masters(seeds: &mut Seeds, member: &Arc<dyn Member>) -> Result<Store, String> {
        let broken = Arc::new(AtomicBool::new(false));
        let (member, is_broken) = (member.clone(), broken.clone());
        let config = config(move |info| {
            if info.kind == PushKind::Disconnection {
                is_broken.store(true, Ordering::Release);
                member.outgoing().wake.notify_one();
            }
        });
        Ok(Store::Masters { masters: Masters::find(seeds, config).await?, broken })
    }

    /// Whether a connection of its own has ended.
    pub fn is_broken(&self) -> bool {
        match self {
            Store::Single { .. } => false,
            Store::Masters { broken, .. } => broken.load(Ordering::Acquire),
        }
    }

    /// Sends commands about streams, which `add` adds, in order for each stream, and writes the answers where they were `None`. What is `None`
    /// after an error may have been done, or not.
    pub async fn send<T>(
        &mut self,
        commands: &[(&str, T)],
        add: impl Fn(&mut Pipeline, &str, &T),
        answers: &mut [Option<Value>],
    ) -> Result<(), String> {
        match self {
            Store::Single { connection, .. } => {
                let mut pipe = redis::pipe();
                commands.iter().for_each(|(stream, command)| add(&mut pipe, stream, command));
                let given: Vec<Value> = pipe.query_async(connection).await.map_err(text_of)?;
                answers.iter_mut().zip(given).for_each(|(answer, given)| *answer = Some(given));
                Ok(())
            }
            Store::Masters { masters, .. } => masters.send(commands, add, answers).await,
        }
    }

    /// A connection for what is asked about a stream.
    pub async fn at(&mut self, stream: &str) -> Result<MultiplexedConnection, String> {
        match self {
            Store::Single { connection, .. } => Ok(connection.clone()),
            Store::Masters { masters, .. } => masters.at(stream).await,
        }
    }

    /// Where readers go.
    pub fn source(&self) -> Source {
        match self {
            Store::Single { client, .. } => Source::Single(Box::new(client.clone())),
            Store::Masters { masters, .. } => Source::Nodes(Box::new(masters.info().clone())),
        }
    }

    /// Asks whether it is there, as far as the link does not.
    pub async fn ping(&mut self) -> Result<(), String> {
        match self {
            Store::Single { .. } => Ok(()),
            Store::Masters { masters, .. } => masters.ping().await,
        }
    }
}

/// Where a stream is read.
#[derive(Clone)]
pub enum Source {
    Single(Box<Client>),
    /// Where this node says.
    Nodes(Box<ConnectionInfo>),
}

impl Source {
    /// A connection of a reader's own to where a stream is now.
    pub async fn open(&self, stream: &str, config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, String> {
        match self {
            Source::Single(client) => {
                client.get_multiplexed_async_connection_with_config(config).await.map_err(text_of)
            }
            Source::Nodes(info) => {
                let ranges = nodes::told_by(info).await?;
                let master = masters::master_of(&ranges, stream)?;
                nodes::open(&place::at(info, &master.host, master.port), config).await
            }
        }
    }
}
