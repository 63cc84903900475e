//! PostgreSQL as the broker: LISTEN and NOTIFY, with a table for what a notification cannot hold, as `@socket.io/postgres-adapter` has it. The
//! crate `tokio-postgres` speaks its protocol: the one that most others build on, kept since 2016, and it lets notifications be read as they
//! come and statements follow each other without waiting.
//!
//! Two connections: one listens and does nothing else, so that a busy server holds the broker back and keeps nothing in between; the other
//! sends, fetches and cleans. If one breaks both are made anew.

mod format;
mod listener;
mod options;
mod place;
mod statements;
mod table;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use self::listener::{Fetcher, Hear, Listener};
use self::options::Options;
use self::place::{ANSWER_TIMEOUT, Drive, Place, text_of};
use self::statements::Notice;
use self::table::Table;
use crate::cluster::broker::{Broker, Heard, Link, Lost, Member};
use crate::cluster::connect;
use crate::cluster::emitter::Emitter;
use crate::cluster::node::Settings;
use crate::cluster::outgoing::Publication;
use crate::cluster::subscriptions::Change;
use crate::server::{Error, Server};

/// A broker that takes so many bytes in a second is slow, but not lost.
const SLOW_BYTES_PER_S: usize = 1 << 20;
/// What is sent is of no use after a crash, so that nobody waits for a disk.
const SETUP: &str = "SET synchronous_commit = off";

/// Where PostgreSQL is, and what is kept there.
struct Postgres {
    place: Place,
    table: Arc<Table>,
    cleanup_ms: u32,
}

/// The kind `postgres`, with its options as a JSON object.
pub fn start(server: &Arc<Server>, json: &str) -> Result<(), Error> {
    let (options, broker) = parts(json)?;
    let settings = Settings {
        kind: "postgres",
        requests_timeout_ms: options.requests_timeout,
        publish_queue_bytes: options.publish_queue_bytes as usize,
    };
    connect::start(server, settings, Box::new(format::Postgres::new(&options)), broker)
}

/// An emitter to servers with `postgres`.
pub fn emitter(json: &str) -> Result<Emitter, Error> {
    let (options, broker) = parts(json)?;
    Emitter::start(Box::new(format::Postgres::new(&options)), broker, options.publish_queue_bytes)
}

fn parts(json: &str) -> Result<(Options, Postgres), Error> {
    let options = Options::from_json(json)?;
    let table = Arc::new(Table::new(&options.table_name)?);
    let place = Place::new(&options.url, &options.tls)?;
    let broker = Postgres { place, table, cleanup_ms: options.cleanup_interval };
    Ok((options, broker))
}

impl Broker for Postgres {
    type Link = Connections;

    async fn connect(&mut self, member: &Arc<dyn Member>) -> Result<Connections, String> {
        let broken = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let (sender, drive) = self.place.connect().await?;
        let sender = Arc::new(sender);
        tasks.spawn(until_broken(undisturbed(drive), broken.clone(), member.clone()));
        answer(sender.batch_execute(SETUP)).await?;
        let own_process = answer(sender.query_typed_one("SELECT pg_backend_pid()", &[])).await?;
        let own_process = own_process.try_get(0).map_err(|error| text_of(&error))?;
        match timeout(ANSWER_TIMEOUT, self.table.make(&sender)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if statements::is_refusal(&error) => {
                member.warn("the table of attachments is missing and cannot be made", &text_of(&error));
            }
            Ok(Err(error)) => return Err(text_of(&error)),
            Err(_) => return Err(NO_ANSWER.to_owned()),
        }
        let (listening, drive) = self.place.connect().await?;
        let fetcher = Fetcher { client: sender.clone(), table: self.table.clone() };
        let listener = Listener::new(drive, fetcher, own_process, Ear(member.clone()));
        tasks.spawn(until_broken(listener, broken.clone(), member.clone()));
        tasks.spawn(clean(sender.clone(), self.table.clone(), self.cleanup_ms, member.clone()));
        let (table, member) = (self.table.clone(), member.clone());
        Ok(Connections { sender, listening, table, broken, member, _tasks: tasks })
    }
}

const NO_ANSWER: &str = "the server does not answer";

/// What a statement gives, unless the server takes too long.
async fn answer<T>(statement: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, String> {
    let answered = timeout(ANSWER_TIMEOUT, statement).await;
    answered.map_err(|_| NO_ANSWER.to_owned())?.map_err(|error| text_of(&error))
}

/// Drives a connection on which nothing comes unasked that matters.
async fn undisturbed(mut drive: Drive) -> String {
    poll_fn(|context| {
        loop {
            match drive(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(text_of(&error)),
                Poll::Ready(None) => return Poll::Ready("the connection was closed".to_owned()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Runs what works with a connection; tells when the connection has ended.
async fn until_broken(running: impl Future<Output = String>, broken: Arc<AtomicBool>, member: Arc<dyn Member>) {
    // Whoever uses the connection next gets the reason.
    drop(running.await);
    broken.store(true, Ordering::Release);
    member.outgoing().wake.notify_one();
}

/// Removes from the table what all have fetched long ago, again and again; a table that somebody dropped is made anew.
async fn clean(client: Arc<Client>, table: Arc<Table>, cleanup_ms: u32, member: Arc<dyn Member>) {
    let mut is_told = false;
    loop {
        tokio::time::sleep(Duration::from_millis(cleanup_ms.into())).await;
        let failed = match table.clean(&client, cleanup_ms).await {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => table.make(&client).await.err(),
            cleaned => cleaned.err(),
        };
        let refusal = failed.filter(statements::is_refusal);
        if let Some(error) = &refusal
            && !is_told
        {
            member.warn("the table of attachments cannot be cleaned", &text_of(error));
        }
        is_told = refusal.is_some();
    }
}

/// Gives a member what is heard.
struct Ear(Arc<dyn Member>);

impl Hear for Ear {
    fn hear(&mut self, channel: &str, message: Result<&[u8], &str>) {
        match message {
            Ok(bytes) => self.0.received(&Heard { subscribed: channel, channel, bytes, entry: None }),
            Err(reason) => self.0.garbled(channel, reason),
        }
    }
}

/// Both connections. They end with this.
struct Connections {
    sender: Arc<Client>,
    listening: Client,
    table: Arc<Table>,
    broken: Arc<AtomicBool>,
    member: Arc<dyn Member>,
    _tasks: JoinSet<()>,
}

impl Link for Connections {
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    async fn change(&mut self, changes: Vec<Change>) -> Result<(), String> {
        let statement = |change: &Change| {
            let (verb, subscription) = match change {
                Change::Subscribe(subscription) => ("LISTEN", subscription),
                Change::Unsubscribe(subscription) => ("UNLISTEN", subscription),
            };
            format!("{verb} \"{}\"", subscription.name.replace('"', "\"\""))
        };
        let statements: Vec<String> = changes.iter().map(statement).collect();
        answer(self.listening.batch_execute(&statements.join(";"))).await
    }

    async fn publish(&mut self, batch: Vec<Publication>) -> Result<Vec<usize>, Lost> {
        let mut notices = Vec::with_capacity(batch.len());
        let mut bytes = 0;
        for publication in &batch {
            let Some(message) = &publication.message else { continue };
            bytes += message.payload.len();
            let channel = &*message.channel;
            notices.push(match std::str::from_utf8(&message.payload) {
                Ok(text) if !message.stored => Notice::Short { channel, text },
                _ => {
                    let (payload, uid, kind) = (&*message.payload, &*publication.local.uid, message.kind);
                    Notice::Kept { channel, payload, uid, kind }
                }
            });
        }
        let patience = ANSWER_TIMEOUT + Duration::from_secs((bytes / SLOW_BYTES_PER_S) as u64);
        let sending = statements::send(&self.sender, &self.table, &notices);
        let Ok(outcome) = timeout(patience, sending).await else {
            return Err(Lost { reason: NO_ANSWER.to_owned(), unconfirmed: notices.len() as u64 });
        };
        if outcome.refused > 0 {
            self.member.refused(outcome.refused, &outcome.refusal);
        }
        if let Some(reason) = outcome.broken {
            return Err(Lost { reason, unconfirmed: outcome.unconfirmed });
        }
        Ok(Vec::new())
    }

    async fn ping(&mut self) -> Result<(), String> {
        answer(self.sender.batch_execute("")).await?;
        // It may be gone while the other one works.
        answer(self.listening.batch_execute("")).await
    }
}
