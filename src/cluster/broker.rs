//! The seam between a cluster and what carries its messages: a broker connects, subscribes, publishes and counts, and some keep what is
//! published. `link` keeps it at that; whoever uses it, a server or an emitter, is a member.

use std::future::Future;
use std::sync::Arc;

use super::outgoing::{Outgoing, Publication};
use super::subscriptions::{Change, Subscriptions};

/// What is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    pub name: String,
    pub medium: Medium,
}

/// What a subscription names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Medium {
    Channel,
    /// All channels whose names match it, `*` being anything.
    Pattern,
    /// Messages that the broker keeps.
    Stream,
}

impl Subscription {
    /// One channel.
    pub fn channel(name: String) -> Subscription {
        Subscription { name, medium: Medium::Channel }
    }

    /// All channels that match.
    pub fn pattern(name: String) -> Subscription {
        Subscription { name, medium: Medium::Pattern }
    }

    /// One stream.
    pub fn stream(name: String) -> Subscription {
        Subscription { name, medium: Medium::Stream }
    }
}

/// A message as a broker gives it.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The subscription that it came by.
    pub subscribed: &'a str,
    pub channel: &'a str,
    /// The message; of an entry, its data.
    pub bytes: &'a [u8],
    /// What is told beside its data, if it was kept.
    pub entry: Option<Entry<'a>>,
}

/// What a broker that keeps messages tells of one beside its data.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub uid: &'a str,
    pub nsp: &'a str,
    pub kind: u64,
}

/// Who uses a broker. Nothing here waits; everything may be called from any thread.
pub trait Member: Send + Sync + 'static {
    /// What waits to be published, and whether it is over. Its `wake` tells of everything that the broker's task looks after.
    fn outgoing(&self) -> &Outgoing;

    /// What is to be heard.
    fn subscriptions(&self) -> &Subscriptions;

    /// A message came.
    fn received(&self, heard: &Heard<'_>);

    /// So many subscribers has the channel of a publication with `count_for`.
    fn counted(&self, request: &str, subscribers: usize);

    /// The broker is reached, and what was wanted is subscribed to.
    fn up(&self);

    /// The broker is lost; told once until it is reached again.
    fn down(&self, reason: &str);

    /// So many messages were published.
    fn published(&self, _messages: u64) {}

    /// So many messages may have been published, or not.
    fn unconfirmed(&self, messages: u64);

    /// The broker refused so many messages, and goes on.
    fn refused(&self, messages: u64, reason: &str);

    /// What came on a channel cannot be had whole.
    fn garbled(&self, channel: &str, reason: &str);

    /// Something does not work that the broker can do without.
    fn warn(&self, what: &str, reason: &str);

    /// Whether a broker that is not reached need not be tried any more.
    fn is_over(&self) -> bool {
        self.outgoing().is_closed()
    }
}

/// Where messages go.
pub trait Broker: Send + 'static {
    type Link: Link;

    /// Connects; messages are given to the member from now on, and `wake` of its queue tells when the connection breaks.
    fn connect(&mut self, member: &Arc<dyn Member>) -> impl Future<Output = Result<Self::Link, String>> + Send;
}

/// A connection to a broker. Errors end it; their texts are for the host, and hold no credentials.
pub trait Link: Send {
    /// Whether the connection has ended.
    fn is_broken(&self) -> bool;

    /// Subscribes and unsubscribes, in order.
    fn change(&mut self, changes: Vec<Change>) -> impl Future<Output = Result<(), String>> + Send;

    /// Publishes in order; the numbers of subscribers that were asked for, in order.
    fn publish(&mut self, batch: Vec<Publication>) -> impl Future<Output = Result<Vec<usize>, Lost>> + Send;

    /// Asks whether the broker is there.
    fn ping(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

/// A connection that broke while something was published.
pub struct Lost {
    pub reason: String,
    /// Messages that may have arrived, and are not published again.
    pub unconfirmed: u64,
}

impl Lost {
    /// A connection that broke while these were published, none of which can be known to have arrived.
    pub fn in_batch(batch: &[Publication], reason: String) -> Lost {
        let messages = batch.iter().filter(|publication| publication.message.is_some());
        Lost { reason, unconfirmed: messages.count() as u64 }
    }
}
