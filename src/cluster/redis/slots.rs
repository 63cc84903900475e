//! The channels of shards of a Redis Cluster: each is subscribed to and published at the master of its slot.
//!
//! Whenever a slot has moved away from where a channel was subscribed to, the connections are given up as a whole: new ones are made where
//! everything is now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redis::{Pipeline, PushInfo, PushKind};

use super::masters::Masters;
use super::nodes::Seeds;
use super::{config, pushed, subscribers};
use crate::cluster::broker::{self, Lost, Member};
use crate::cluster::format::Written;
use crate::cluster::outgoing::Publication;
use crate::cluster::subscriptions::Change;

/// A Redis Cluster whose channels of shards are used.
pub struct Broker(pub Seeds);

/// Connections to the masters.
pub struct Link {
    masters: Masters,
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
        let state = Arc::new(State::default());
        let (member, told) = (member.clone(), state.clone());
        let config = config(move |info| told.take(&*member, &info));
        Ok(Link { masters: Masters::find(&mut self.0, config).await?, state })
    }
}

/// What is done with a channel.
enum Command<'a> {
    Publish(&'a Written),
    Count,
    Change(&'static str),
}

fn add(pipe: &mut Pipeline, channel: &str, command: &Command<'_>) {
    match command {
        Command::Publish(message) => pipe.cmd("SPUBLISH").arg(channel).arg(&message.payload),
        Command::Count => pipe.cmd("PUBSUB").arg("SHARDNUMSUB").arg(channel),
        Command::Change(name) => pipe.cmd(name).arg(channel),
    };
}

/// What a batch is in commands, each with its channel.
fn commands(batch: &[Publication]) -> Vec<(&str, Command<'_>)> {
    let both = batch.iter().flat_map(|publication| {
        let message = publication.message.as_ref().map(|message| (&*message.channel, Command::Publish(message)));
        let count = publication.count_for.as_ref().map(|_| (&*publication.local.channels.request, Command::Count));
        message.into_iter().chain(count)
    });
    both.collect()
}

impl broker::Link for Link {
    fn is_broken(&self) -> bool {
        self.state.is_broken.load(Ordering::Acquire)
    }

    async fn change(&mut self, changes: Vec<Change>) -> Result<(), String> {
        let leaving = changes.iter().filter(|change| matches!(change, Change::Unsubscribe(_)));
        self.state.leaving.fetch_add(leaving.count(), Ordering::AcqRel);
        let commands = changes.iter().map(|change| match change {
            Change::Subscribe(subscription) => (&*subscription.name, Command::Change("SSUBSCRIBE")),
            Change::Unsubscribe(subscription) => (&*subscription.name, Command::Change("SUNSUBSCRIBE")),
        });
        let commands: Vec<_> = commands.collect();
        self.masters.send(&commands, add, &mut vec![None; commands.len()]).await
    }

    async fn publish(&mut self, batch: Vec<Publication>) -> Result<Vec<usize>, Lost> {
        let commands = commands(&batch);
        let mut answers = vec![None; commands.len()];
        let sent = self.masters.send(&commands, add, &mut answers).await;
        let all = commands.iter().zip(&answers);
        match sent {
            Ok(()) => {
                let counts = all.filter(|((_, command), _)| matches!(command, Command::Count));
                Ok(counts.map(|(_, answer)| answer.as_ref().map_or(0, subscribers)).collect())
            }
            Err(reason) => {
                let lost =
                    all.filter(|((_, command), answer)| matches!(command, Command::Publish(_)) && answer.is_none());
                Err(Lost { reason, unconfirmed: lost.count() as u64 })
            }
        }
    }

    async fn ping(&mut self) -> Result<(), String> {
        self.masters.ping().await
    }
}
