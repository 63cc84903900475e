//! The task that keeps a broker for its member: connects and subscribes, publishes what waits, and begins anew when the connection is
//! lost. What was accepted meanwhile is published then; what was on its way is the broker's matter, which mostly cannot know more of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::broker::{Broker, Link, Lost, Member};

/// Messages that go to the broker at once.
const BATCH_MAX: usize = 512;
/// Subscriptions that it is told at once.
const CHANGES_MAX: usize = 512;
/// Pauses between attempts to reach the broker: doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(5);
/// A connection is tried so often, a busy one too: what is sent says nothing of what else is connected, or of what the other end has become.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Keeps the broker until the member is closed.
pub async fn keep(member: Arc<dyn Member>, mut broker: impl Broker) {
    let (mut pause, mut told_down) = (PAUSE_FIRST, false);
    let outgoing = member.outgoing();
    while !member.is_over() {
        let began = Instant::now();
        let (was_up, reason) = match broker.connect(&member).await {
            Ok(mut link) => serve(&*member, &mut link, PING_EVERY).await,
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
            true => sleep(of_chance(pause)).await,
            false => drop(timeout(of_chance(pause), outgoing.closed()).await),
        }
        pause = (pause * 2).min(PAUSE_LAST);
    }
}

/// A part of a pause, at least half of it: servers that lost their broker at the same moment do not come back at the same moment.
fn of_chance(pause: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    pause / 2 + (pause / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// Works with a connection until it is lost; whether it was up, and why it is not any more.
async fn serve(member: &dyn Member, link: &mut impl Link, ping_every: Duration) -> (bool, String) {
    let (outgoing, subscriptions) = (member.outgoing(), member.subscriptions());
    let (mut is_up, mut try_at) = (false, Instant::now() + ping_every);
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
        if outgoing.is_empty() && subscriptions.is_told() {
            // Either way it goes on.
            drop(timeout_at(try_at, outgoing.wake.notified()).await);
        }
        let now = Instant::now();
        if now >= try_at {
            try_at = now + ping_every;
            if let Err(reason) = link.ping().await {
                return (is_up, reason);
            }
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

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;
    use tokio::task::yield_now;

    use super::*;
    use crate::cluster::broker::Heard;
    use crate::cluster::format::Local;
    use crate::cluster::format::classic::Classic;
    use crate::cluster::outgoing::{Outgoing, Publication};
    use crate::cluster::subscriptions::{Change, Subscriptions};

    /// One that always has something to say.
    struct Busy {
        outgoing: Outgoing,
        subscriptions: Subscriptions,
    }

    impl Busy {
        fn speak(&self) {
            let local = Arc::new(Local::new(&Classic::default(), "/", String::new()));
            assert!(self.outgoing.add(Publication { local, message: None, count_for: None }));
        }
    }

    impl Member for Busy {
        fn outgoing(&self) -> &Outgoing {
            &self.outgoing
        }
        fn subscriptions(&self) -> &Subscriptions {
            &self.subscriptions
        }
        fn received(&self, _heard: &Heard<'_>) {}
        fn counted(&self, _request: &str, _subscribers: usize) {}
        fn up(&self) {}
        fn down(&self, _reason: &str) {}
        fn unconfirmed(&self, _messages: u64) {}
        fn refused(&self, _messages: u64, _reason: &str) {}
        fn garbled(&self, _channel: &str, _reason: &str) {}
        fn warn(&self, _what: &str, _reason: &str) {}
    }

    /// A connection that takes all that is published, and is no use.
    struct Useless<'a>(&'a Busy);

    impl Link for Useless<'_> {
        fn is_broken(&self) -> bool {
            false
        }
        async fn change(&mut self, _changes: Vec<Change>) -> Result<(), String> {
            Ok(())
        }
        async fn publish(&mut self, _batch: Vec<Publication>) -> Result<Vec<usize>, Lost> {
            self.0.speak();
            yield_now().await;
            Ok(Vec::new())
        }
        async fn ping(&mut self) -> Result<(), String> {
            Err("tried".to_owned())
        }
    }

    #[test]
    fn a_busy_connection_is_tried_too() {
        let busy = Busy { outgoing: Outgoing::new(1 << 20), subscriptions: Subscriptions::default() };
        busy.speak();
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let serving = async {
            timeout(Duration::from_secs(60), serve(&busy, &mut Useless(&busy), Duration::from_millis(1))).await
        };
        assert_eq!(runtime.block_on(serving).unwrap(), (true, "tried".to_owned()));
    }

    #[test]
    fn pauses_differ_by_half_at_most() {
        for _ in 0..100 {
            assert!((PAUSE_LAST / 2..=PAUSE_LAST).contains(&of_chance(PAUSE_LAST)));
        }
    }
}
