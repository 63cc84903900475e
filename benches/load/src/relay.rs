//! Events that cross from one server of a cluster to another: clients come in pairs, one at each server, and the first of a pair emits to the room
//! of the second. The clock sends, whatever the servers do.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::latencies::Latencies;
use crate::message::{Message, mismatch, text_payload};
use crate::net::{Handler, Outbox};
use crate::run::Workload;
use crate::websocket::{self, Frame, Opcode};

struct Pair {
    request: Message,
    sent: u64,
    received: u64,
}

/// The scenario; see the module.
pub struct Relay {
    pairs: Vec<Pair>,
    delivery: Message,
    /// Message `n` of all pairs together is due at `start + n * interval`, from pair `n % pairs`.
    interval: Duration,
    start: Instant,
    issued: u64,
    latencies: Latencies,
    measuring: bool,
    stopped: bool,
    delivered: u64,
}

impl Relay {
    /// `rate` events a second over all pairs of `clients`.
    pub fn new(clients: usize, rate: u64, bytes: usize) -> Self {
        let payload = text_payload(bytes);
        let pair = |index| {
            let request = format!("42[\"room\",\"p{index}\",\"{payload}\"]");
            Pair { request: Message::frame(Opcode::Text, request.as_bytes()), sent: 0, received: 0 }
        };
        Self {
            pairs: (0..clients / 2).map(pair).collect(),
            delivery: Message::plain(format!("42[\"room\",\"{payload}\"]").as_bytes()),
            interval: Duration::from_nanos(1_000_000_000 / rate),
            start: Instant::now(),
            issued: 0,
            latencies: Latencies::default(),
            measuring: false,
            stopped: false,
            delivered: 0,
        }
    }

    /// Latencies of the measured window, from when a message was due to be sent.
    pub fn latencies(&mut self) -> &mut Latencies {
        &mut self.latencies
    }

    fn due(&self, n: u64) -> Instant {
        self.start + Duration::from_nanos(self.interval.as_nanos() as u64 * n)
    }

    fn message(&mut self, id: usize, frame: Frame<'_>) -> Result<(), Failure> {
        let (index, count) = (id / 2, self.pairs.len() as u64);
        let (sender, pair) = (index * 2, &mut self.pairs[index]);
        let sequence = pair.received;
        let is_due = id != sender && sequence < pair.sent && frame.opcode == Opcode::Text;
        if !is_due || frame.payload != self.delivery.stamped(sender, sequence) {
            return Err(mismatch(id, sender, sequence, frame.payload));
        }
        pair.received += 1;
        self.delivered += 1;
        if self.measuring {
            let due = self.due(sequence * count + index as u64);
            self.latencies.add(due);
        }
        Ok(())
    }
}

impl Handler for Relay {
    fn bytes(&mut self, id: usize, data: &[u8], out: &mut Outbox) -> Result<usize, Failure> {
        websocket::deliver(id, data, out, |frame, _| self.message(id, frame))
    }
}

impl Workload for Relay {
    fn start(&mut self, _out: &mut Outbox) {
        self.start = Instant::now();
    }

    fn absent(&mut self, now: Instant) {
        self.latencies.absent(now);
    }

    fn tick(&mut self, now: Instant, out: &mut Outbox) {
        self.latencies.turn();
        while !self.stopped && self.due(self.issued) <= now {
            let index = (self.issued % self.pairs.len() as u64) as usize;
            let pair = &mut self.pairs[index];
            out.push(index * 2, pair.request.stamped(index * 2, pair.sent));
            pair.sent += 1;
            self.issued += 1;
        }
    }

    fn measuring(&mut self, open: bool) {
        self.measuring = open;
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn delivered(&self) -> u64 {
        self.delivered
    }

    fn outstanding(&self) -> u64 {
        self.pairs.iter().map(|pair| pair.sent - pair.received).sum()
    }
}

/// The auth with which the second of each pair asks for its room.
pub fn pair_auth(id: usize) -> String {
    if id % 2 == 0 { String::new() } else { format!("{{\"rooms\":[\"p{}\"]}}", id / 2) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::echoed;

    /// A frame of the server's with what the second of a pair gets for this request.
    fn delivered(request: &[u8]) -> Vec<u8> {
        let text = String::from_utf8(request[2..].to_vec()).unwrap().replace("\"p0\",", "");
        [&[0x81, text.len() as u8], text.as_bytes()].concat()
    }

    fn started() -> (Relay, Vec<Vec<u8>>) {
        let mut relay = Relay::new(2, 1000, 64);
        let mut out = Outbox::detached(2);
        relay.start(&mut out);
        relay.tick(relay.start + Duration::from_millis(1), &mut out);
        let frames = echoed(out.queued(0)).iter().map(|frame| delivered(frame)).collect();
        (relay, frames)
    }

    #[test]
    fn the_second_of_a_pair_gets_what_the_first_sent() {
        let (mut relay, frames) = started();
        let mut out = Outbox::detached(2);
        assert_eq!(relay.outstanding(), 2);
        relay.bytes(1, &frames.concat(), &mut out).unwrap();
        assert_eq!((relay.delivered(), relay.outstanding()), (2, 0));
    }

    #[test]
    fn what_comes_out_of_order_or_to_the_sender_is_a_violation() {
        let (mut relay, frames) = started();
        let mut out = Outbox::detached(2);
        assert!(relay.bytes(1, &frames[1], &mut out).is_err());
        assert!(relay.bytes(0, &frames[0], &mut out).is_err());
    }
}
