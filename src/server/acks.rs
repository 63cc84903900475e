//! Acknowledgements that the host waits for: of one client, or of all receivers of a broadcast.

use std::sync::Arc;

use parking_lot::Mutex;

use super::namespace::Namespace;
use crate::queue::{Event, Outbox};

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
    pub token: u64,
    pub nsp: Arc<Namespace>,
    /// The id on the wire, the same for all receivers.
    pub wire_id: u64,
    state: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    received: usize,
    /// Empty until it is known who got the broadcast; a reply may be faster than that.
    receivers: Vec<u64>,
    done: bool,
}

impl BroadcastAck {
    /// One that expects nothing yet.
    pub fn new(token: u64, nsp: Arc<Namespace>, wire_id: u64) -> BroadcastAck {
        BroadcastAck { token, nsp, wire_id, state: Mutex::default() }
    }

    /// Tells who has to answer; completes at once if nobody has.
    pub fn expect(&self, receivers: Vec<u64>, out: &mut Outbox, time_us: u64) {
        let mut state = self.state.lock();
        state.receivers = receivers;
        self.complete_if_due(&mut state, out, time_us);
    }

    /// Takes a reply; `event` gives it to the host.
    pub fn reply(&self, out: &mut Outbox, time_us: u64, event: impl FnOnce(&mut Outbox)) {
        let mut state = self.state.lock();
        if state.done {
            return;
        }
        event(out);
        state.received += 1;
        self.complete_if_due(&mut state, out, time_us);
    }

    /// No reply counts any more: the time is over, or the engine closes. Gives those who may still owe one.
    pub fn end(&self, status: i32, out: &mut Outbox, time_us: u64) -> Vec<u64> {
        let mut state = self.state.lock();
        if !state.done {
            self.complete(&mut state, status, out, time_us);
        }
        std::mem::take(&mut state.receivers)
    }

    fn complete_if_due(&self, state: &mut Progress, out: &mut Outbox, time_us: u64) {
        if !state.done && state.received == state.receivers.len() {
            self.complete(state, STATUS_OK, out, time_us);
        }
    }

    fn complete(&self, state: &mut Progress, status: i32, out: &mut Outbox, time_us: u64) {
        state.done = true;
        let data = format!("{{\"expected\":{},\"received\":{}}}", state.receivers.len(), state.received);
        let event = Event {
            kind: EVENT_ACK,
            nsp: self.nsp.id,
            token: self.token,
            status,
            data: &data,
            time_us,
            ..Event::default()
        };
        out.push(&self.nsp.queue, &event);
    }
}

/// The flag of a reply to a broadcast.
pub fn partial_flag(awaited: &Awaited) -> u32 {
    if matches!(awaited, Awaited::Broadcast(_)) { FLAG_PARTIAL } else { 0 }
}
