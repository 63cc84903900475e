//! What the host asks for: to one socket, or to all that a target means.

use std::sync::Arc;

use super::acks::Awaited;
use super::adapter::Operation;
use super::backlog::Special;
use super::budget::Refused;
use super::command::Command;
use super::connection::send_disconnect;
use super::deadlines::Due;
use super::emission::{Emission, Payload, Wish};
use super::encoded::Encoded;
use super::error::{Code, Error};
use super::limits::OutboundPolicy;
use super::meter::Tally;
use super::metrics::Count;
use super::namespace::{Namespace, Target};
use super::outbound::Delivery;
use super::push_room_changes;
use super::root::Server;
use super::slots::{Kind, generation_of, kind_of, slot_of};
use super::socket::{Socket, State};
use crate::proto::socket_packet::AckParts;
use crate::queue::Outbox;

/// Rooms' names are kept for each member, so they have a bound.
pub const ROOM_NAME_MAX: usize = 4096;

impl Server {
    fn open_socket(&self, id: u64) -> Result<Arc<Socket>, Error> {
        let socket = self.socket(id)?;
        if socket.is_open() {
            Ok(socket)
        } else {
            Err(Error::new(Code::Gone, format!("socket {id:#x} is disconnected")))
        }
    }

    pub(super) fn check_events(&self) -> Result<(), Error> {
        if !self.config.engine_only {
            return Ok(());
        }
        Err(Error::new(Code::Unsupported, "a bare Engine.IO engine has messages, not events: use sockeye_send"))
    }

    /// CLOSED if the engine is closing.
    pub fn check_open(&self) -> Result<(), Error> {
        if self.is_open() { Ok(()) } else { Err(Error::new(Code::Closed, "the engine is closing")) }
    }

    /// Emits to one socket; the token of the acknowledgement, if one is wanted.
    pub fn emit(&self, socket: u64, emission: &Emission<'_>) -> Result<Option<u64>, Error> {
        self.check_events()?;
        self.with_socket(socket, |socket| {
            let early = match socket.state() {
                State::Connected => false,
                State::Pending => true,
                State::Leaving | State::Gone => return Err(gone(socket)),
            };
            match emission.ack_timeout_ms {
                None => self.queue_event(socket, emission, early).map(|()| None),
                Some(timeout_ms) => self.emit_with_ack(socket, emission, early, timeout_ms).map(Some),
            }
        })
    }

    fn emit_with_ack(
        &self,
        socket: &Socket,
        emission: &Emission<'_>,
        early: bool,
        timeout_ms: u32,
    ) -> Result<u64, Error> {
        let (wire_id, ack) = socket.nsp.next_ack();
        let Some((parts, attachments)) = emission.payload.parts(&socket.nsp.name, Some(ack)) else {
            return Err(Error::new(Code::Invalid, "a prepared message cannot ask for an acknowledgement"));
        };
        let special = self.special(emission, &socket.nsp, Some(socket))?;
        let how = Delivery { compress: emission.compress, special: special.as_ref() };
        let token = self.next_completion();
        let max = self.config.limits.acks_awaited_max;
        if !socket.await_ack(wire_id, Awaited::One(token), max) {
            let text = format!("socket {:#x} owes {max} acknowledgements, which is limits.acksAwaitedMax", socket.id);
            return Err(Error::new(Code::Full, text));
        }
        self.tally(&socket.client.mailbox, Tally::AcksAwaited, 1);
        // It may have left in between, and nobody would complete the token.
        if !socket.is_open() && socket.take_awaited(wire_id).is_some() {
            self.tally(&socket.client.mailbox, Tally::AcksSettled, 1);
            return Err(gone(socket));
        }
        let queued = if early {
            self.keep_early(socket, emission, Some(ack), how)
        } else {
            socket.client.send(|out| {
                let dropped = emission.volatile && !out.is_writable();
                (!dropped).then(|| out.event(&parts, attachments, how))
            })
        };
        // A token that was completed meanwhile is in an event already.
        if let Err(error) = self.settle_queued(queued)
            && socket.take_awaited(wire_id).is_some()
        {
            self.tally(&socket.client.mailbox, Tally::AcksSettled, 1);
            return Err(error);
        }
        if timeout_ms > 0 {
            self.set_deadline(socket, timeout_ms, Due::Ack { socket: socket.id, wire_id });
        }
        Ok(token)
    }

    fn queue_event(&self, socket: &Socket, emission: &Emission<'_>, early: bool) -> Result<(), Error> {
        if let Payload::Prepared(prepared) = emission.payload
            && prepared.nsp != socket.nsp.id
        {
            return Err(Error::new(Code::Invalid, "the message was prepared for another namespace"));
        }
        let special = self.special(emission, &socket.nsp, Some(socket))?;
        let how = Delivery { compress: emission.compress, special: special.as_ref() };
        if early {
            return self.settle_queued(self.keep_early(socket, emission, None, how));
        }
        let queued = socket.client.send(|out| {
            if emission.volatile && !out.is_writable() {
                return None;
            }
            match (emission.payload, emission.payload.parts(&socket.nsp.name, None)) {
                (_, Some((parts, attachments))) => Some(out.event(&parts, attachments, how)),
                (Payload::Prepared(prepared), None) => Some(out.encoded(&prepared.encoded, how)),
                (Payload::Parts { .. }, None) => None,
            }
        });
        self.settle_queued(queued)
    }

    /// What an emission wants beyond being sent: mostly nothing. Of one socket it may be known that it need not wait for anything.
    #[inline(always)]
    fn special(
        &self,
        emission: &Emission<'_>,
        namespace: &Namespace,
        to: Option<&Socket>,
    ) -> Result<Option<Arc<Special>>, Error> {
        match emission.wish {
            Some(wish) => self.grant(wish, &emission.payload, namespace, to),
            None => Ok(None),
        }
    }

    #[cold]
    fn grant(
        &self,
        wish: &Wish<'_>,
        payload: &Payload<'_>,
        namespace: &Namespace,
        to: Option<&Socket>,
    ) -> Result<Option<Arc<Special>>, Error> {
        wish.check(payload, namespace)?;
        if !wish.priority && to.is_some_and(need_not_wait) {
            return Ok(None);
        }
        let now_us = if wish.ttl_ms > 0 { self.now_us() } else { 0 };
        Ok(wish.special(namespace, self.budget.policy == OutboundPolicy::Conflate, now_us))
    }

    /// What the host is told of a packet for one socket; `None` is a volatile one that was dropped.
    #[inline]
    fn settle_queued(&self, queued: Option<Result<(), Refused>>) -> Result<(), Error> {
        match queued {
            Some(queued) => queued.map_err(refused),
            None => {
                self.metrics.count(Count::VolatileDropped);
                Ok(())
            }
        }
    }

    fn set_deadline(&self, socket: &Socket, timeout_ms: u32, due: Due) {
        let at_ms = self.now_us() / 1000 + u64::from(timeout_ms);
        let mailbox = &socket.client.mailbox;
        if mailbox.deadlines.lock().add(at_ms, due) {
            mailbox.wake();
        }
    }

    /// Answers an acknowledgement that a client asked for.
    pub fn acknowledge(&self, token: u64, args: &str, attachments: &[&[u8]]) -> Result<(), Error> {
        if kind_of(token) != Kind::Ack {
            if let Some(asker) = self.take_reply(token) {
                asker.answer(args, attachments);
                return Ok(());
            }
            return Err(Error::new(Code::Invalid, format!("{token:#x} is not the token of an acknowledgement")));
        }
        let stale = || Error::new(Code::Stale, format!("acknowledgement {token:#x} was given, or its client left"));
        self.with_slot(slot_of(token), |socket| {
            let socket = socket.ok_or_else(stale)?;
            let id = socket.settle(generation_of(token)).ok_or_else(stale)?;
            self.tally(&socket.client.mailbox, Tally::AcksGiven, 1);
            let parts = AckParts { nsp: &socket.nsp.name, id, args, attachments: attachments.len() as u32 };
            socket.client.send(|out| out.ack(&parts, attachments)).map_err(refused)
        })
    }

    /// Sends a raw message on a bare Engine.IO session.
    pub fn send_raw(&self, socket: u64, data: &[u8], binary: bool) -> Result<(), Error> {
        if !self.config.engine_only {
            return Err(Error::new(
                Code::Unsupported,
                "raw messages are for engines made with SOCKEYE_OPT_ENGINE_ONLY",
            ));
        }
        let socket = self.open_socket(socket)?;
        let queued = socket.client.send(|out| if binary { out.binary(data) } else { out.message(data) });
        queued.map_err(refused)
    }

    /// Emits to all that the target means; the token of the acknowledgements, if they are wanted.
    pub fn broadcast(
        &self,
        nsp: u32,
        target: &Target<'_>,
        emission: &Emission<'_>,
        out: &mut Outbox,
    ) -> Result<Option<u64>, Error> {
        self.check_events()?;
        self.check_open()?;
        let namespaces = self.namespaces_of(nsp);
        if let Some(timeout_ms) = emission.ack_timeout_ms {
            let [namespace] = &namespaces[..] else {
                return Err(Error::new(
                    Code::Unsupported,
                    "a pattern's namespaces cannot be asked for acknowledgements",
                ));
            };
            return self.broadcast_with_acks(namespace, target, emission, timeout_ms, out).map(Some);
        }
        for namespace in &namespaces {
            match emission.payload {
                Payload::Prepared(prepared) if prepared.nsp == namespace.id => {
                    self.deliver(namespace, target, emission, &prepared.encoded, |_, _| true)?;
                }
                Payload::Prepared(_) => {
                    return Err(Error::new(Code::Invalid, "the message was prepared for another namespace"));
                }
                Payload::Parts { .. } => {
                    if let Some((parts, attachments)) = emission.payload.parts(&namespace.name, None) {
                        let encoded = Encoded::event(&parts, attachments);
                        self.deliver(namespace, target, emission, &encoded, |_, _| true)?;
                    }
                }
            }
            self.publish(namespace, target, &Operation::Broadcast(emission));
        }
        Ok(None)
    }

    /// Queues one encoded packet to each that the target means; who has no room is left out. `register` sees each receiver
    /// first and may leave it out, and hears of those who were.
    pub(super) fn deliver(
        &self,
        namespace: &Namespace,
        target: &Target<'_>,
        emission: &Emission<'_>,
        encoded: &Encoded,
        mut register: impl FnMut(&Arc<Socket>, Step) -> bool,
    ) -> Result<(), Error> {
        let special = self.special(emission, namespace, None)?;
        let plain = Delivery { compress: emission.compress, special: None };
        let patient = special.as_ref().is_some_and(|special| !special.priority);
        let mut dropped = 0;
        namespace.each(target, |socket| {
            if emission.volatile && !socket.client.outbound(|out| out.is_writable()) {
                dropped += 1;
                return;
            }
            if !register(socket, Step::Before) {
                return;
            }
            let special = special.as_ref().filter(|_| !patient || !need_not_wait(socket));
            if socket.client.send(|out| out.encoded(encoded, Delivery { special, ..plain })).is_err() {
                register(socket, Step::Refused);
            }
        });
        if dropped > 0 {
            self.metrics.add(Count::VolatileDropped, dropped);
        }
        Ok(())
    }

    #[inline]
    fn publish(&self, namespace: &Namespace, target: &Target<'_>, operation: &Operation<'_>) {
        if let Some(adapter) = self.others(target) {
            adapter.publish(self, namespace, target, operation);
        }
    }

    /// Puts one socket into rooms; FULL, and into none, if that is more than `roomsMax` allows.
    pub fn join(&self, socket_id: u64, rooms: &[&str], out: &mut Outbox) -> Result<(), Error> {
        check_rooms(rooms)?;
        let socket = self.open_socket(socket_id)?;
        let max = self.config.limits.rooms_max;
        let changes = socket.nsp.join(&socket, rooms, max).ok_or_else(|| {
            let text = format!("socket {socket_id:#x} would be in more rooms than limits.roomsMax, {max}, allows");
            Error::new(Code::Full, text)
        })?;
        push_room_changes(self, &socket, &changes, out, self.now_us());
        Ok(())
    }

    /// Takes one socket out of rooms.
    pub fn leave(&self, socket: u64, rooms: &[&str], out: &mut Outbox) -> Result<(), Error> {
        let socket = self.open_socket(socket)?;
        let changes = socket.nsp.leave(&socket, rooms.iter().copied());
        push_room_changes(self, &socket, &changes, out, self.now_us());
        Ok(())
    }

    /// Puts all that the target means into rooms; FULL if some were left out because of `roomsMax`.
    pub fn sockets_join(&self, nsp: u32, target: &Target<'_>, rooms: &[&str], out: &mut Outbox) -> Result<(), Error> {
        check_rooms(rooms)?;
        let (max, mut left_out) = (self.config.limits.rooms_max, 0);
        self.for_each(nsp, target, &Operation::Join(rooms), |socket| match socket.nsp.join(socket, rooms, max) {
            Some(changes) => push_room_changes(self, socket, &changes, out, self.now_us()),
            None => left_out += 1,
        })?;
        if left_out == 0 {
            return Ok(());
        }
        let text = format!("{left_out} sockets would be in more rooms than limits.roomsMax, {max}, allows");
        Err(Error::new(Code::Full, text))
    }

    /// Takes all that the target means out of rooms.
    pub fn sockets_leave(&self, nsp: u32, target: &Target<'_>, rooms: &[&str], out: &mut Outbox) -> Result<(), Error> {
        self.for_each(nsp, target, &Operation::Leave(rooms), |socket| {
            let changes = socket.nsp.leave(socket, rooms.iter().copied());
            push_room_changes(self, socket, &changes, out, self.now_us());
        })
    }

    /// Disconnects all that the target means.
    pub fn sockets_disconnect(&self, nsp: u32, target: &Target<'_>, close: bool) -> Result<(), Error> {
        self.for_each(nsp, target, &Operation::Disconnect { close }, |socket| disconnect(socket, close))
    }

    fn for_each(
        &self,
        nsp: u32,
        target: &Target<'_>,
        operation: &Operation<'_>,
        mut act: impl FnMut(&Arc<Socket>),
    ) -> Result<(), Error> {
        self.check_open()?;
        for namespace in self.namespaces_of(nsp) {
            // Joining and leaving change what `each` walks over.
            let mut sockets = Vec::new();
            namespace.each(target, |socket| sockets.push(socket.clone()));
            sockets.iter().for_each(&mut act);
            self.publish(&namespace, target, operation);
        }
        Ok(())
    }

    /// Disconnects one socket; with `close` its whole connection, with `silent` the connection without a word.
    pub fn disconnect(&self, socket: u64, close: bool, silent: bool) -> Result<(), Error> {
        let socket = self.open_socket(socket)?;
        if silent {
            socket.client.mailbox.send(Command::Close { client: socket.client.clone(), silent });
            return Ok(());
        }
        if socket.state() == State::Pending && !close {
            return Err(Error::new(
                Code::Invalid,
                format!("socket {:#x} waits for admission: reject its token", socket.id),
            ));
        }
        disconnect(&socket, close);
        Ok(())
    }
}

/// Whether the next flush writes what is emitted now: time to live and keys then have nothing to say, and need not be kept.
fn need_not_wait(socket: &Socket) -> bool {
    socket.state() == State::Connected && socket.client.outbound(|out| out.is_writable())
}

fn gone(socket: &Socket) -> Error {
    Error::new(Code::Gone, format!("socket {:#x} is disconnected", socket.id))
}

fn check_rooms(rooms: &[&str]) -> Result<(), Error> {
    match rooms.iter().find(|room| room.len() > ROOM_NAME_MAX) {
        Some(room) => {
            let text = format!("a room's name has {} bytes; the limit is {ROOM_NAME_MAX}", room.len());
            Err(Error::new(Code::TooBig, text))
        }
        None => Ok(()),
    }
}

/// Where the delivery to one receiver is.
pub(super) enum Step {
    Before,
    Refused,
}

#[cold]
fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Full => Error::new(Code::Full, "what waits for the client has used its budget up"),
        Refused::Ending => {
            Error::new(Code::Gone, "what waits for the client has used its budget up: it is being disconnected")
        }
    }
}

fn disconnect(socket: &Arc<Socket>, close: bool) {
    let mailbox = &socket.client.mailbox;
    if socket.begin_leaving(|| send_disconnect(socket)) && !close {
        mailbox.send(Command::Leave(socket.clone()));
    }
    if close {
        mailbox.send(Command::Close { client: socket.client.clone(), silent: false });
    }
}
