//! Scenarios in which one message goes to many clients: `broadcast` (one group of all) and `rooms` (many small ones).
//!
//! Each group has one sender and keeps a fixed number of messages outstanding: a new one leaves as soon as the oldest has
//! reached every member. What is counted is deliveries.

use crate::failure::Failure;
use crate::message::{Message, mismatch, text_payload};
use crate::net::{Handler, Outbox};
use crate::run::Workload;
use crate::websocket::{self, Frame, Opcode};

struct Group {
    /// The member that sends; it gets its own messages too.
    sender: usize,
    members: u64,
    request: Message,
    /// What is outstanding, by sequence number modulo their number.
    slots: Vec<Slot>,
    sent: u64,
}

#[derive(Clone)]
struct Slot {
    delivery: Message,
    /// `delivery` stamped, so that a thousand comparisons cost one stamping.
    due: Vec<u8>,
    sequence: u64,
    /// Members that have not got it.
    missing: u64,
}

#[derive(Clone)]
struct Client {
    group: usize,
    received: u64,
    /// By slot, one more than the number of the message that came last; for messages in any order.
    got: Vec<u64>,
}

/// The scenario; see the module.
pub struct Fanout {
    groups: Vec<Group>,
    clients: Vec<Client>,
    delivered: u64,
    stopped: bool,
    /// What is outstanding may come in any order.
    any_order: bool,
}

impl Fanout {
    /// Takes what is outstanding in any order; nothing may be lost or come twice either way.
    pub fn in_any_order(mut self, any_order: bool) -> Self {
        self.any_order = any_order;
        self
    }

    /// One sender to all clients of the namespace.
    pub fn broadcast(clients: usize, outstanding: usize, bytes: usize) -> Self {
        let request = format!("42[\"bcast\",\"{}\"]", text_payload(bytes));
        Self::new(clients, 1, outstanding, |_| request.clone(), &request)
    }

    /// `rooms` rooms of equal size, with a sender in each. A client is in the room [`room_auth`] says.
    pub fn rooms(clients: usize, rooms: usize, outstanding: usize, bytes: usize) -> Self {
        let payload = text_payload(bytes);
        let request = |room: usize| format!("42[\"room\",\"r{room}\",\"{payload}\"]");
        let delivery = format!("42[\"room\",\"{payload}\"]");
        Self::new(clients, rooms, outstanding, request, &delivery)
    }

    fn new(
        clients: usize,
        groups: usize,
        outstanding: usize,
        request: impl Fn(usize) -> String,
        delivery: &str,
    ) -> Self {
        let slot = Slot { delivery: Message::plain(delivery.as_bytes()), due: Vec::new(), sequence: 0, missing: 0 };
        let group = |index| Group {
            sender: index,
            members: (index..clients).step_by(groups).len() as u64,
            request: Message::frame(Opcode::Text, request(index).as_bytes()),
            slots: vec![slot.clone(); outstanding],
            sent: 0,
        };
        let client = |id| Client { group: id % groups, received: 0, got: vec![0; outstanding] };
        Self {
            groups: (0..groups).map(group).collect(),
            clients: (0..clients).map(client).collect(),
            delivered: 0,
            stopped: false,
            any_order: false,
        }
    }

    fn message(&mut self, id: usize, frame: Frame<'_>, out: &mut Outbox) -> Result<(), Failure> {
        let client = &mut self.clients[id];
        let group = &mut self.groups[client.group];
        let sequence = client.received;
        let mut index = (sequence % group.slots.len() as u64) as usize;
        if self.any_order {
            let found = group.slots.iter().position(|slot| slot.due == frame.payload);
            index = found.filter(|&slot| client.got[slot] != group.slots[slot].sequence + 1).unwrap_or(index);
        }
        let slot = &mut group.slots[index];
        let is_new = client.got[index] != slot.sequence + 1;
        let expected = sequence < group.sent && frame.opcode == Opcode::Text && frame.payload == slot.due && is_new;
        if !expected {
            return Err(mismatch(id, group.sender, sequence, frame.payload));
        }
        client.got[index] = slot.sequence + 1;
        client.received += 1;
        self.delivered += 1;
        slot.missing -= 1;
        if slot.missing == 0 && !self.stopped {
            group.send(index, out);
        }
        Ok(())
    }
}

impl Group {
    /// Sends the next message, in place of one that all have got.
    fn send(&mut self, index: usize, out: &mut Outbox) {
        let slot = &mut self.slots[index];
        slot.sequence = self.sent;
        slot.missing = self.members;
        let due = slot.delivery.stamped(self.sender, self.sent);
        slot.due.clear();
        slot.due.extend_from_slice(due);
        out.push(self.sender, self.request.stamped(self.sender, self.sent));
        self.sent += 1;
    }
}

impl Handler for Fanout {
    fn bytes(&mut self, id: usize, data: &[u8], out: &mut Outbox) -> Result<usize, Failure> {
        websocket::deliver(id, data, out, |frame, out| self.message(id, frame, out))
    }
}

impl Workload for Fanout {
    fn start(&mut self, out: &mut Outbox) {
        for group in &mut self.groups {
            (0..group.slots.len()).for_each(|index| group.send(index, out));
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn delivered(&self) -> u64 {
        self.delivered
    }

    fn outstanding(&self) -> u64 {
        let open = |client: &Client| self.groups[client.group].sent - client.received;
        self.clients.iter().map(open).sum()
    }
}

/// The auth with which the client `id` asks for its room.
pub fn room_auth(id: usize, rooms: usize) -> String {
    format!("{{\"rooms\":[\"r{}\"]}}", id % rooms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::echoed;

    /// A started broadcast to three clients, two outstanding, with the frames that each client gets.
    fn broadcast() -> (Fanout, Vec<Vec<u8>>, Outbox) {
        let mut fanout = Fanout::broadcast(3, 2, 64);
        let mut out = Outbox::detached(3);
        fanout.start(&mut out);
        let frames = echoed(out.queued(0));
        (fanout, frames, out)
    }

    #[test]
    fn the_next_message_waits_for_the_last_member() {
        let (mut fanout, frames, mut out) = broadcast();
        fanout.bytes(0, &frames[0], &mut out).unwrap();
        fanout.bytes(1, &frames[0], &mut out).unwrap();
        assert_eq!(echoed(out.queued(0)).len(), 2);
        fanout.bytes(2, &frames[0], &mut out).unwrap();
        assert_eq!(echoed(out.queued(0)).len(), 3);
    }

    #[test]
    fn a_delivery_out_of_order_is_a_violation() {
        let (mut fanout, frames, mut out) = broadcast();
        assert!(fanout.bytes(1, &frames[1], &mut out).is_err());
    }

    #[test]
    fn in_any_order_all_is_taken_once() {
        let (fanout, frames, mut out) = broadcast();
        let mut fanout = fanout.in_any_order(true);
        fanout.bytes(1, &frames[1], &mut out).unwrap();
        fanout.bytes(1, &frames[0], &mut out).unwrap();
        assert!(fanout.bytes(1, &frames[0], &mut out).is_err());
    }

    #[test]
    fn a_second_copy_is_a_violation() {
        let (mut fanout, frames, mut out) = broadcast();
        fanout.bytes(1, &frames.concat(), &mut out).unwrap();
        assert!(fanout.bytes(1, &frames[1], &mut out).is_err());
    }

    #[test]
    fn rooms_are_told_apart() {
        let mut fanout = Fanout::rooms(4, 2, 1, 64);
        let mut out = Outbox::detached(4);
        fanout.start(&mut out);
        let request = echoed(out.queued(1)).remove(0);
        let text = String::from_utf8(request[2..].to_vec()).unwrap();
        let delivery = text.replace("\"r1\",", "");
        let frame = [&[0x81, delivery.len() as u8], delivery.as_bytes()].concat();
        fanout.bytes(3, &frame, &mut out).unwrap();
        assert!(fanout.bytes(2, &frame, &mut out).is_err());
    }

    #[test]
    fn clients_ask_for_rooms_in_turn() {
        assert_eq!(room_auth(107, 100), "{\"rooms\":[\"r7\"]}");
    }
}
