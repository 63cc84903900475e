//! The task that keeps a broker for its member: connects and subscribes, publishes what waits, and begins anew when the connection is
//! lost. What was accepted meanwhile is published then; what was on its way is the broker's matter, which mostly cannot know more of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::broker::{Broker, Link, Lost, Member};

/// Messages that go to the broker at once.
const BATCH_MAX: usize = 512;
/// Subscriptions that it is told at once.
const CHANGES_MAX: usize = 512;
/// Pauses between attempts to reach the broker: doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(5);
/// An idle connection is tried so often.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Keeps the broker until the member is closed.
pub async fn keep(member: Arc<dyn Member>, mut broker: impl Broker) {
    let (mut pause, mut told_down) = (PAUSE_FIRST, false);
    let outgoing = member.outgoing();
    while !member.is_over() {
        let began = Instant::now();
        let (was_up, reason) = match broker.connect(&member).await {
            Ok(mut link) => serve(&*member, &mut link).await,
            Err(reason) => (false, reason),
        };
        if member.is_over() {
            return;
        }
        told_down &= !was_up;
        // A broker that takes connections and nothing else is not hurried.
        if was_up && began.elapsed() >= PAUSE_LAST {
            pause = PAUSE_FIRST;
        }
        if !std::mem::replace(&mut told_down, true) {
            member.down(&reason);
        }
        // Closing ends the pause; either way it goes on.
        match outgoing.is_closed() {
            true => sleep(pause).await,
            false => drop(timeout(pause, outgoing.closed()).await),
        }
        pause = (pause * 2).min(PAUSE_LAST);
    }
}

/// Works with a connection until it is lost; whether it was up, and why it is not any more.
async fn serve(member: &dyn Member, link: &mut impl Link) -> (bool, String) {
    let (outgoing, subscriptions) = (member.outgoing(), member.subscriptions());
    let mut is_up = false;
    subscriptions.restart();
    loop {
        if link.is_broken() {
            return (is_up, "the connection was closed".to_owned());
        }
        let changes = subscriptions.take(CHANGES_MAX);
        if !changes.is_empty()
            && let Err(reason) = link.change(changes).await
        {
            return (is_up, reason);
        }
        // Who publishes hears the answers, and who is counted answers: nothing is published before all is subscribed to that was wanted. Later
        // the two take turns, so that neither waits for the end of the other.
        if !is_up {
            if !subscriptions.is_told() {
                continue;
            }
            is_up = true;
            member.up();
        }
        if let Err(reason) = publish(member, link).await {
            return (is_up, reason);
        }
        if outgoing.is_closed() && outgoing.is_empty() {
            return (is_up, String::new());
        }
        let is_idle = outgoing.is_empty() && subscriptions.is_told();
        let idle = is_idle && timeout(PING_EVERY, outgoing.wake.notified()).await.is_err();
        if idle && let Err(reason) = link.ping().await {
            return (is_up, reason);
        }
    }
}

/// Publishes one batch of what waits.
async fn publish(member: &dyn Member, link: &mut impl Link) -> Result<(), String> {
    let batch = member.outgoing().take(BATCH_MAX);
    if batch.is_empty() {
        return Ok(());
    }
    let asked: Vec<String> = batch.iter().filter_map(|publication| publication.count_for.clone()).collect();
    let messages = batch.iter().filter(|publication| publication.message.is_some()).count();
    let counts = link.publish(batch).await.map_err(|Lost { reason, unconfirmed }| {
        member.published((messages as u64).saturating_sub(unconfirmed));
        member.unconfirmed(unconfirmed);
        reason
    })?;
    member.published(messages as u64);
    asked.iter().zip(counts).for_each(|(request, count)| member.counted(request, count));
    Ok(())
}
