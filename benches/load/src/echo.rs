//! Scenarios in which each client talks to itself through the server: `echo`, `binary` and `latency`; and `fetch`, in which the first client asks
//! for the number of all, and the others do nothing.
//!
//! `echo` alternates an event that comes back as an event and one that comes back as an ack; `binary` sends an event with
//! one attachment. Closed loop: a client sends a new burst when its last one is answered in full, so that every server
//! gets the same bursts whatever its speed. Open loop (`latency`): the clock sends, whatever the server does.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::latencies::Latencies;
use crate::message::{ACK_ID, Message, binary_payload, mismatch, text_payload};
use crate::net::{Handler, Outbox};
use crate::run::Workload;
use crate::websocket::{self, Frame, Opcode};

/// What a client sends and what has to come back for it, each in one or more frames.
#[derive(Clone)]
struct Exchange {
    send: Vec<Message>,
    due: Vec<(Opcode, Message)>,
}

#[derive(Clone, Copy, Default)]
struct Client {
    sent: u64,
    received: u64,
    /// Frames of the message in progress that have arrived.
    frames: usize,
}

/// Who decides when to send.
enum Pace {
    /// Each client keeps `in_flight` messages on the way, sent together.
    Closed { in_flight: u64 },
    /// Message `n` of all clients together is due at `start + n * interval`, by client `n % clients`.
    Open {
        interval: Duration,
        start: Instant,
        /// Messages sent so far, over all clients.
        issued: u64,
        measuring: bool,
    },
}

/// The scenario; see the module.
pub struct Echo {
    /// The exchanges that a client goes through in turn.
    exchanges: Vec<Exchange>,
    clients: Vec<Client>,
    pace: Pace,
    latencies: Latencies,
    delivered: u64,
    stopped: bool,
}

impl Echo {
    /// Events and acks in turn, `bytes` of payload.
    pub fn text(clients: usize, in_flight: u64, bytes: usize) -> Self {
        let exchanges = vec![event(bytes), ack(bytes)];
        Self::new(exchanges, clients, Pace::Closed { in_flight })
    }

    /// Events with an attachment of `bytes`.
    pub fn binary(clients: usize, in_flight: u64, bytes: usize) -> Self {
        let exchanges = vec![attachment(bytes)];
        Self::new(exchanges, clients, Pace::Closed { in_flight })
    }

    /// `rate` events a second over all clients, paced by the clock.
    pub fn paced(clients: usize, rate: u64, bytes: usize) -> Self {
        let pace = Pace::Open {
            interval: Duration::from_nanos(1_000_000_000 / rate),
            start: Instant::now(),
            issued: 0,
            measuring: false,
        };
        Self::new(vec![event(bytes)], clients, pace)
    }

    /// The first client lets its server fetch the sockets of all servers, one time after the other.
    pub fn fetch(clients: usize) -> Self {
        let send = format!("42{ACK_ID}[\"cmd\",{{\"op\":\"fetchCount\"}}]");
        let due = format!("43{ACK_ID}[{{\"ok\":true,\"result\":{clients}}}]");
        let exchange = Exchange {
            send: vec![Message::frame(Opcode::Text, send.as_bytes())],
            due: vec![(Opcode::Text, Message::plain(due.as_bytes()))],
        };
        Self::new(vec![exchange], 1, Pace::Closed { in_flight: 1 })
    }

    fn new(exchanges: Vec<Exchange>, clients: usize, pace: Pace) -> Self {
        let (clients, latencies) = (vec![Client::default(); clients], Latencies::default());
        Self { exchanges, clients, pace, latencies, delivered: 0, stopped: false }
    }

    /// Latencies of the measured window, from the time when a message was *due* to be sent, so that a server that falls behind cannot hide
    /// it. Empty in a closed loop.
    pub fn latencies(&mut self) -> &mut Latencies {
        &mut self.latencies
    }

    fn send(&mut self, id: usize, out: &mut Outbox) {
        let client = &mut self.clients[id];
        let kind = (client.sent % self.exchanges.len() as u64) as usize;
        for message in &mut self.exchanges[kind].send {
            out.push(id, message.stamped(id, client.sent));
        }
        client.sent += 1;
    }

    fn message(&mut self, id: usize, frame: Frame<'_>, out: &mut Outbox) -> Result<(), Failure> {
        let Some(client) = self.clients.get_mut(id) else {
            return Err(mismatch(id, id, 0, frame.payload));
        };
        let sequence = client.received;
        let kind = (sequence % self.exchanges.len() as u64) as usize;
        let due = &mut self.exchanges[kind].due;
        let (opcode, message) = &mut due[client.frames];
        let expected =
            client.received < client.sent && frame.opcode == *opcode && frame.payload == message.stamped(id, sequence);
        if !expected {
            return Err(mismatch(id, id, sequence, frame.payload));
        }
        client.frames += 1;
        if client.frames == due.len() {
            client.frames = 0;
            client.received += 1;
            self.delivered += 1;
            self.answered(id, sequence, out);
        }
        Ok(())
    }

    fn answered(&mut self, id: usize, sequence: u64, out: &mut Outbox) {
        let clients = self.clients.len() as u64;
        match &mut self.pace {
            Pace::Closed { in_flight } => {
                if self.clients[id].sent == sequence + 1 && !self.stopped {
                    for _ in 0..*in_flight {
                        self.send(id, out);
                    }
                }
            }
            Pace::Open { interval, start, measuring: true, .. } => {
                self.latencies.add(*start + nth(*interval, sequence * clients + id as u64));
            }
            Pace::Open { .. } => {}
        }
    }
}

impl Handler for Echo {
    fn bytes(&mut self, id: usize, data: &[u8], out: &mut Outbox) -> Result<usize, Failure> {
        websocket::deliver(id, data, out, |frame, out| self.message(id, frame, out))
    }
}

impl Workload for Echo {
    fn start(&mut self, out: &mut Outbox) {
        match &mut self.pace {
            Pace::Open { start, .. } => *start = Instant::now(),
            Pace::Closed { in_flight } => {
                for _ in 0..*in_flight {
                    (0..self.clients.len()).for_each(|id| self.send(id, out));
                }
            }
        }
    }

    fn absent(&mut self, now: Instant) {
        self.latencies.absent(now);
    }

    fn tick(&mut self, now: Instant, out: &mut Outbox) {
        self.latencies.turn();
        loop {
            let clients = self.clients.len() as u64;
            let Pace::Open { interval, start, issued, .. } = &mut self.pace else {
                return;
            };
            if *start + nth(*interval, *issued) > now {
                return;
            }
            let id = (*issued % clients) as usize;
            *issued += 1;
            self.send(id, out);
        }
    }

    fn measuring(&mut self, open: bool) {
        if let Pace::Open { measuring, .. } = &mut self.pace {
            *measuring = open;
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn delivered(&self) -> u64 {
        self.delivered
    }

    fn outstanding(&self) -> u64 {
        let open = |client: &Client| client.sent - client.received;
        self.clients.iter().map(open).sum()
    }
}

/// When message `n` is due after the start; a `Duration` multiplies by 32 bits only.
fn nth(interval: Duration, n: u64) -> Duration {
    Duration::from_nanos(interval.as_nanos() as u64 * n)
}

fn event(bytes: usize) -> Exchange {
    let packet = format!("42[\"echo\",\"{}\"]", text_payload(bytes));
    Exchange {
        send: vec![Message::frame(Opcode::Text, packet.as_bytes())],
        due: vec![(Opcode::Text, Message::plain(packet.as_bytes()))],
    }
}

fn ack(bytes: usize) -> Exchange {
    let payload = text_payload(bytes);
    let packet = format!("42{ACK_ID}[\"ack\",\"{payload}\"]");
    let answer = format!("43{ACK_ID}[\"{payload}\"]");
    Exchange {
        send: vec![Message::frame(Opcode::Text, packet.as_bytes())],
        due: vec![(Opcode::Text, Message::plain(answer.as_bytes()))],
    }
}

fn attachment(bytes: usize) -> Exchange {
    let packet = b"451-[\"echo-bin\",{\"_placeholder\":true,\"num\":0}]";
    let payload = binary_payload(bytes);
    Exchange {
        send: vec![Message::frame(Opcode::Text, packet), Message::frame(Opcode::Binary, &payload)],
        due: vec![(Opcode::Text, Message::plain(packet)), (Opcode::Binary, Message::plain(&payload))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::echoed;

    /// A started scenario with one client, and what an honest server answers to it, frame by frame.
    fn started(mut echo: Echo) -> (Echo, Vec<Vec<u8>>, Outbox) {
        let mut out = Outbox::detached(1);
        echo.start(&mut out);
        let frames = echoed(out.queued(0));
        (echo, frames, out)
    }

    fn events() -> (Echo, Vec<Vec<u8>>, Outbox) {
        let exchanges = vec![event(64)];
        started(Echo::new(exchanges, 1, Pace::Closed { in_flight: 4 }))
    }

    #[test]
    fn an_answered_burst_is_followed_by_the_next() {
        let (mut echo, frames, mut out) = events();
        let taken = echo.bytes(0, &frames.concat(), &mut out).unwrap();
        assert_eq!((taken, echo.delivered()), (frames.concat().len(), 4));
        assert_eq!((echo.outstanding(), echoed(out.queued(0)).len()), (4, 8));
    }

    #[test]
    fn a_split_frame_counts_once_it_is_whole() {
        let (mut echo, frames, mut out) = events();
        let half = frames[0].len() / 2;
        assert_eq!(echo.bytes(0, &frames[0][..half], &mut out).unwrap(), 0);
        assert_eq!(echo.delivered(), 0);
    }

    #[test]
    fn a_lost_message_is_a_violation() {
        let (mut echo, frames, mut out) = events();
        let failure = echo.bytes(0, &frames[1], &mut out).unwrap_err();
        assert!(failure.to_string().contains("lost or reordered: 1 came first"));
    }

    #[test]
    fn a_duplicated_message_is_a_violation() {
        let (mut echo, frames, mut out) = events();
        echo.bytes(0, &frames[0], &mut out).unwrap();
        let failure = echo.bytes(0, &frames[0], &mut out).unwrap_err();
        assert!(failure.to_string().contains("duplicated or reordered: 0 came"));
    }

    #[test]
    fn an_altered_attachment_is_a_violation() {
        let (mut echo, mut frames, mut out) = started(Echo::binary(1, 1, 1024));
        *frames[1].last_mut().unwrap() ^= 1;
        echo.bytes(0, &frames[0], &mut out).unwrap();
        assert!(echo.bytes(0, &frames[1], &mut out).is_err());
    }

    #[test]
    fn paced_messages_leave_when_they_are_due() {
        let mut echo = Echo::paced(10, 1000, 64);
        let mut out = Outbox::detached(10);
        echo.start(&mut out);
        let Pace::Open { start, .. } = echo.pace else {
            unreachable!("paced scenarios are open loops");
        };
        echo.tick(start + Duration::from_millis(4), &mut out);
        assert_eq!(echo.outstanding(), 5);
    }
}
