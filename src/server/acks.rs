//! Acknowledgements that are waited for: of one client, or of all receivers of a broadcast, on this server and on the others of a cluster.

use std::sync::Arc;

use parking_lot::Mutex;

use super::adapter::Asker;
use super::namespace::Namespace;
use crate::proto::ack_id::AckId;
use crate::queue::{Event, Outbox, Series};

use super::event::{EVENT_ACK, FLAG_PARTIAL, STATUS_OK};

/// Who is told when an acknowledgement comes.
pub enum Awaited {
    /// The host, by this token.
    One(u64),
    /// The broadcast that it is one reply of.
    Broadcast(Arc<BroadcastAck>),
}

/// A broadcast that waits for replies.
pub struct BroadcastAck {
    /// The host's; 0 if another server asked.
    pub token: u64,
    pub nsp: Arc<Namespace>,
    /// The id on the wire, the same for all receivers.
    pub wire_id: u64,
    /// The server that gets the replies instead of the host.
    pub asker: Option<Box<dyn Asker>>,
    /// What the host is told of it.
    told: Arc<Series>,
    state: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    received: usize,
    receivers: Vec<u64>,
    /// Set when it is known who got the broadcast here; a reply may be faster than that.
    knows_receivers: bool,
    /// None on a server alone.
    others: Option<Others>,
    done: bool,
}

/// What the other servers have told.
#[derive(Default)]
struct Others {
    /// How many there are, once that is known.
    expected: Option<usize>,
    /// How many have said how many receivers they have, and the sum of those.
    heard: usize,
    receivers: usize,
}

impl Progress {
    fn expected(&self) -> usize {
        self.receivers.len() + self.others.as_ref().map_or(0, |others| others.receivers)
    }

    fn is_complete(&self) -> bool {
        let heard =
            self.others.as_ref().is_none_or(|others| others.expected.is_some_and(|count| others.heard >= count));
        heard && self.knows_receivers && self.received >= self.expected()
    }
}

impl BroadcastAck {
    /// One that expects nothing yet; with `others`, replies from other servers too.
    pub fn new(
        token: u64,
        nsp: Arc<Namespace>,
        wire_id: u64,
        asker: Option<Box<dyn Asker>>,
        others: bool,
    ) -> BroadcastAck {
        let others = others.then(Others::default);
        let state = Mutex::new(Progress { others, ..Progress::default() });
        BroadcastAck { token, nsp, wire_id, asker, told: Arc::default(), state }
    }

    /// The id as packets carry it.
    pub fn ack_id(&self) -> AckId {
        AckId::from_u64(self.wire_id)
    }

    /// Tells who has to answer here; completes at once if nobody has.
    pub fn expect(&self, receivers: Vec<u64>, out: &mut Outbox, time_us: u64) {
        let mut state = self.state.lock();
        state.receivers = receivers;
        state.knows_receivers = true;
        self.complete_if_due(&mut state, out, time_us);
    }

    /// Tells how many other servers have to say how many receivers they have.
    pub fn expect_servers(&self, count: usize, out: &mut Outbox, time_us: u64) {
        let mut state = self.state.lock();
        if let Some(others) = &mut state.others {
            others.expected = Some(count);
        }
        self.complete_if_due(&mut state, out, time_us);
    }

    /// Another server has so many receivers.
    pub fn server_has(&self, receivers: usize, out: &mut Outbox, time_us: u64) {
        let mut state = self.state.lock();
        if let Some(others) = &mut state.others {
            others.heard += 1;
            others.receivers = others.receivers.saturating_add(receivers);
        }
        self.complete_if_due(&mut state, out, time_us);
    }

    /// Takes a reply; `event` gives it to the host, or to the server that asked.
    pub fn reply(&self, out: &mut Outbox, time_us: u64, event: impl FnOnce(&mut Outbox)) {
        let mut state = self.state.lock();
        if state.done {
            return;
        }
        event(out);
        if self.asker.is_none() {
            out.note_part(&self.told);
        }
        state.received += 1;
        self.complete_if_due(&mut state, out, time_us);
    }

    /// Whether the host has been told the end, or is about to be.
    pub fn is_done(&self) -> bool {
        self.state.lock().done
    }

    /// Whether nothing would change any more when the time is over: no reply is to come here, and the host has been told.
    pub fn is_settled(&self) -> bool {
        let state = self.state.lock();
        state.done || self.asker.is_some() && state.knows_receivers && state.received >= state.receivers.len()
    }

    /// No reply counts any more: the time is over, or the engine closes. Gives those who may still owe one.
    pub fn end(&self, status: i32, out: &mut Outbox, time_us: u64) -> Vec<u64> {
        let mut state = self.state.lock();
        if !state.done {
            self.complete(&mut state, status, out, time_us);
        }
        std::mem::take(&mut state.receivers)
    }

    /// Nobody will be told of it; false if somebody was already.
    pub fn cancel(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().done, true)
    }

    fn complete_if_due(&self, state: &mut Progress, out: &mut Outbox, time_us: u64) {
        if !state.done && state.is_complete() {
            self.complete(state, STATUS_OK, out, time_us);
        }
    }

    fn complete(&self, state: &mut Progress, status: i32, out: &mut Outbox, time_us: u64) {
        // Another server counts for itself.
        if self.asker.is_some() {
            return;
        }
        state.done = true;
        let mut data = format!("{{\"expected\":{},\"received\":{}", state.expected(), state.received);
        if let Some(others) = &state.others {
            let expected = others.expected.map_or("null".to_owned(), |count| count.to_string());
            data.push_str(&format!(",\"servers\":{{\"expected\":{expected},\"received\":{}}}", others.heard));
        }
        data.push('}');
        let event = Event {
            kind: EVENT_ACK,
            nsp: self.nsp.id,
            token: self.token,
            status,
            data: &data,
            time_us,
            ..Event::default()
        };
        out.push_end(&self.told, &self.nsp.queue, &event);
    }
}

/// The flag of a reply to a broadcast.
pub fn partial_flag(awaited: &Awaited) -> u32 {
    if matches!(awaited, Awaited::Broadcast(_)) { FLAG_PARTIAL } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Chunk, Host, Mode};
    use crate::server::{Config, Server};

    #[derive(Default)]
    struct Seen(Mutex<Vec<(u32, String)>>);

    impl Host for Seen {
        fn deliver(&self, chunk: &Arc<Chunk>) {
            let text = |record| String::from_utf8_lossy(chunk.data(record)).into_owned();
            self.0.lock().extend(chunk.records().iter().map(|record| (record.flags, text(record))));
        }
    }

    /// A broadcast with two receivers, which are read by two threads.
    struct Fixture {
        seen: Arc<Seen>,
        broadcast: BroadcastAck,
        outboxes: [Outbox; 2],
    }

    impl Fixture {
        fn new() -> Fixture {
            let (server, seen) = (Server::new(Config::of_a_test()), Arc::new(Seen::default()));
            server.queue().set_mode(Mode::Inline, Some(seen.clone()));
            let broadcast = BroadcastAck::new(7, server.root(), 0, None, false);
            let mut outboxes = <[Outbox; 2]>::default();
            broadcast.expect(vec![1, 2], &mut outboxes[0], 0);
            Fixture { seen, broadcast, outboxes }
        }

        fn reply(&mut self, thread: usize) {
            let event = Event { flags: FLAG_PARTIAL, data: "reply", ..Event::default() };
            self.broadcast.reply(&mut self.outboxes[thread], 0, |out| out.push(&self.broadcast.nsp.queue, &event));
        }

        fn deliver(&mut self, thread: usize) -> Vec<(u32, String)> {
            self.outboxes[thread].deliver(true);
            std::mem::take(&mut *self.seen.0.lock())
        }
    }

    fn reply() -> (u32, String) {
        (FLAG_PARTIAL, "reply".to_owned())
    }

    #[test]
    fn the_completion_comes_after_a_reply_that_another_thread_has_yet_to_hand_over() {
        let mut fixture = Fixture::new();
        fixture.reply(0);
        fixture.reply(1);
        assert!(fixture.broadcast.is_done());
        assert_eq!(fixture.deliver(1), [reply()]);
        assert_eq!(fixture.deliver(0), [reply(), (0, r#"{"expected":2,"received":2}"#.to_owned())]);
    }

    #[test]
    fn so_does_the_end_of_the_time_and_a_later_reply_does_not_count() {
        let mut fixture = Fixture::new();
        fixture.reply(0);
        fixture.broadcast.end(-7, &mut fixture.outboxes[1], 0);
        fixture.reply(1);
        assert_eq!(fixture.deliver(1), []);
        assert_eq!(fixture.deliver(0), [reply(), (0, r#"{"expected":2,"received":1}"#.to_owned())]);
    }
}
