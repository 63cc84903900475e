//! What waits to be written to one connection.
//!
//! Packets are put in the form that the connection's transport writes: WebSocket frames in one run of bytes, so that a flush is one
//! system call and needs no list of buffers; or, for polling, packets beside their ends, since a payload is put together when a
//! request for it is there. A large packet that many share is a reference instead of a copy. This flat form is all that most
//! connections ever need.
//!
//! It turns into a [`Backlog`] of packets as objects when one of them is to be told from the others: an emission has a time to live,
//! a key or priority; the budget is used up and something has to go; or more waits than one flush takes. Then the flat form is empty,
//! until the backlog is.

use std::sync::Arc;

use bytes::Bytes;

use super::backlog::{Backlog, Special};
use super::budget::{Budget, Level, Refused};
use super::encoded::Encoded;
use super::frames::{self, Class};
use super::metrics::Count;
use super::pool;
use crate::proto::engine_packet;
use crate::proto::socket_packet::{AckParts, EventParts};
use crate::proto::websocket::{self, Opcode};
use content::Content;
use taking::payloads;

mod bounds;
mod content;
#[cfg(test)]
mod model;
mod taking;

pub use taking::Run;

/// From this length on a shared frame is queued by reference: below, copying costs less than a reference count and one more buffer
/// for the kernel (measured: see docs/execution.md).
pub const SHARE_MIN: usize = 256;

/// Bytes of the longest header of a server's frame.
const FRAME_HEADER_MAX: usize = 10;

/// What the bytes of the flat form are, and what is kept beside them.
#[derive(Debug)]
enum Form {
    /// Packets, one behind the other.
    Polling(Vec<Packet>),
    /// Frames, with shared ones to be put in at their places.
    WebSocket(Vec<(usize, Bytes)>),
    Closed,
}

/// The end of a polling packet, and whether it is binary.
#[derive(Clone, Copy, Debug)]
struct Packet {
    end: u32,
    binary: bool,
}

/// What the connection holds, in half the space of a [`Level`]: it is a flush's worth, or one packet's.
#[derive(Clone, Copy, Debug, Default)]
struct InFlight {
    bytes: u32,
    packets: u32,
}

/// Of what there was too much.
#[derive(Clone, Copy, Debug)]
enum UsedUp {
    Bytes,
    Packets,
}

/// How to send a packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivery<'a> {
    /// It may be compressed.
    pub compress: bool,
    pub special: Option<&'a Arc<Special>>,
}

/// The queue of one connection.
#[derive(Debug)]
pub struct Outbound {
    form: Form,
    bytes: Vec<u8>,
    shared_len: usize,
    /// Packets in the flat form, Engine.IO's own left out.
    count: u32,
    count_max: u32,
    /// Packets in the flat form as Engine.IO counts them, attachments and its own included.
    frames: u32,
    /// What the connection has taken and the kernel has not.
    in_flight: InFlight,
    /// Bytes above which a packet is looked at more closely: the budget, the high mark, or 0, as for any packet while there is a backlog.
    alarm: usize,
    backlog: Option<Box<Backlog>>,
    budget: Arc<Budget>,
    /// The client asked for no binary frames (`b64`).
    base64: bool,
    /// The transport could take a packet at once: a WebSocket with nothing unsent, a poll that waits.
    writable: bool,
    /// Some packet wants its answer compressed.
    compress: bool,
    /// The shard knows that there is something to flush.
    dirty: bool,
    /// The host has been told, or is to be told, that the high mark was reached.
    raised: bool,
    /// The shard has to call `take_notice`.
    notice: bool,
    /// The high mark was reached, and the shard has not seen it.
    high_due: bool,
    /// The budget was used up, and no event is taken any more.
    used_up: Option<UsedUp>,
}

impl Outbound {
    /// For a session that starts on polling or on WebSocket.
    pub fn new(websocket: bool, base64: bool, budget: Arc<Budget>) -> Outbound {
        Outbound {
            form: if websocket { Form::WebSocket(Vec::new()) } else { Form::Polling(Vec::new()) },
            bytes: Vec::new(),
            shared_len: 0,
            count: 0,
            count_max: budget.packets_max,
            frames: 0,
            in_flight: InFlight::default(),
            alarm: budget.alarm(),
            backlog: None,
            budget,
            base64,
            writable: websocket,
            compress: false,
            dirty: false,
            raised: false,
            notice: false,
            high_due: false,
            used_up: None,
        }
    }

    // ---- packets in -----------------------------------------------------------------------------------------------

    /// Adds a packet of Engine.IO's own, which no budget bounds.
    pub fn control(&mut self, packet: &[u8]) {
        match &mut self.backlog {
            Some(backlog) => backlog.push(Class::Control, Encoded::single(Opcode::Text, packet), false, None),
            None => self.flat(Opcode::Text, packet.len(), false, |out| out.extend_from_slice(packet)),
        }
    }

    /// Adds a text packet, its Engine.IO type included.
    pub fn text(&mut self, packet: &[u8]) -> Result<(), Refused> {
        self.add(Content::Single(Opcode::Text, packet), Delivery { compress: true, special: None })
    }

    /// Adds a text message, Engine.IO's type left out.
    pub fn message(&mut self, text: &[u8]) -> Result<(), Refused> {
        self.add(Content::Message(text), Delivery { compress: true, special: None })
    }

    /// Adds a binary message.
    pub fn binary(&mut self, data: &[u8]) -> Result<(), Refused> {
        self.add(Content::Single(Opcode::Binary, data), Delivery { compress: true, special: None })
    }

    /// Adds an event with its attachments, which nothing may come between.
    pub fn event(&mut self, parts: &EventParts<'_>, attachments: &[&[u8]], how: Delivery<'_>) -> Result<(), Refused> {
        self.add(Content::Event(parts, attachments), how)
    }

    /// Adds an acknowledgement with its attachments.
    pub fn ack(&mut self, parts: &AckParts<'_>, attachments: &[&[u8]]) -> Result<(), Refused> {
        self.add(Content::Ack(parts, attachments), Delivery { compress: true, special: None })
    }

    /// Adds a packet that many share.
    pub fn encoded(&mut self, encoded: &Encoded, how: Delivery<'_>) -> Result<(), Refused> {
        self.add(Content::Encoded(encoded), how)
    }

    // Inlined, so that what kind of content it is costs nothing.
    #[inline(always)]
    fn add(&mut self, content: Content<'_>, how: Delivery<'_>) -> Result<(), Refused> {
        let text_len = content.text_len();
        let len = self.bytes.len() + self.shared_len + self.in_flight.bytes as usize + content.len_max(text_len);
        let fits = len <= self.alarm && self.count + self.in_flight.packets < self.count_max;
        if !fits || how.special.is_some() {
            return self.add_carefully(content, how);
        }
        self.count += 1;
        self.add_flat(content, text_len, how.compress);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn add_carefully(&mut self, content: Content<'_>, how: Delivery<'_>) -> Result<(), Refused> {
        if matches!(self.form, Form::Closed) {
            return Ok(());
        }
        let (class, packet) = (content.class(self.budget.raw), content.encode());
        self.make_room(class, packet.len() + how.special.map_or(0, |special| special.key_len()), how.special)?;
        if self.backlog.is_some() || how.special.is_some() {
            self.unfold().push(class, packet, how.compress, how.special);
        } else {
            self.count += 1;
            self.flat_frame(frames::opcode(frames::is_binary(&packet.first)), &packet.first, how.compress);
            self.add_attachments(&packet, how.compress);
        }
        Ok(())
    }

    #[inline(always)]
    fn add_flat(&mut self, content: Content<'_>, text_len: usize, compress: bool) {
        match content {
            Content::Event(parts, attachments) => {
                self.flat(Opcode::Text, text_len, compress, |out| {
                    out.push(b'4');
                    parts.write(out);
                });
                attachments.iter().for_each(|data| self.flat_binary(data, compress));
            }
            Content::Ack(parts, attachments) => {
                self.flat(Opcode::Text, text_len, compress, |out| {
                    out.push(b'4');
                    parts.write(out);
                });
                attachments.iter().for_each(|data| self.flat_binary(data, compress));
            }
            Content::Message(text) => self.flat(Opcode::Text, text_len, compress, |out| {
                out.push(b'4');
                out.extend_from_slice(text);
            }),
            // Made of parts, so it starts with a text frame.
            Content::Encoded(encoded) => {
                self.flat_frame(Opcode::Text, &encoded.first, compress);
                if !encoded.attachments.is_empty() {
                    self.add_attachments(encoded, compress);
                }
            }
            Content::Single(op, payload) => {
                self.flat(op, payload.len(), compress, |out| out.extend_from_slice(payload));
            }
        }
    }

    #[inline(never)]
    fn add_attachments(&mut self, packet: &Encoded, compress: bool) {
        packet.attachments.iter().for_each(|frame| self.flat_frame(Opcode::Binary, frame, compress));
    }

    fn flat_binary(&mut self, data: &[u8], compress: bool) {
        self.flat(Opcode::Binary, data.len(), compress, |out| out.extend_from_slice(data));
    }

    // Inlined, as most of what it does depends on constants of its callers.
    #[inline(always)]
    fn flat(&mut self, op: Opcode, len: usize, compress: bool, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.takes_frames(op) {
            return self.flat_payload(op, len, compress, write);
        }
        if self.bytes.capacity() == 0 {
            self.bytes = pool::take();
            self.bytes.reserve(len + FRAME_HEADER_MAX);
        }
        self.frames += 1;
        websocket::write_header(op, len, &mut self.bytes);
        write(&mut self.bytes);
    }

    /// Adds a payload where it becomes no frame as it is.
    #[inline(never)]
    fn flat_payload(&mut self, op: Opcode, len: usize, compress: bool, write: impl FnOnce(&mut Vec<u8>)) {
        self.frames += 1;
        match &mut self.form {
            Form::WebSocket(_) => {
                let (mut data, mut text) = (Vec::with_capacity(len), Vec::new());
                write(&mut data);
                engine_packet::encode_base64(&data, &mut text);
                websocket::write_header(Opcode::Text, text.len(), &mut self.bytes);
                self.bytes.extend_from_slice(&text);
            }
            Form::Polling(packets) => {
                write(&mut self.bytes);
                packets.push(Packet { end: self.bytes.len() as u32, binary: op == Opcode::Binary });
                self.compress |= compress;
            }
            Form::Closed => {}
        }
    }

    /// Whether a packet is queued as the frame that it is sent as.
    #[inline(always)]
    fn takes_frames(&self, op: Opcode) -> bool {
        matches!(self.form, Form::WebSocket(_)) && (op == Opcode::Text || !self.base64)
    }

    #[inline(always)]
    fn flat_frame(&mut self, op: Opcode, frame: &Bytes, compress: bool) {
        if frame.len() >= SHARE_MIN || !self.takes_frames(op) {
            return self.flat_shared(op, frame, compress);
        }
        if self.bytes.capacity() == 0 {
            self.bytes = pool::take();
        }
        self.frames += 1;
        self.bytes.extend_from_slice(frame);
    }

    #[inline(never)]
    fn flat_shared(&mut self, op: Opcode, frame: &Bytes, compress: bool) {
        match &mut self.form {
            Form::WebSocket(shared) if op == Opcode::Text || !self.base64 => {
                self.frames += 1;
                shared.push((self.bytes.len(), frame.clone()));
                self.shared_len += frame.len();
            }
            _ => {
                let payload = frames::payload(frame);
                self.flat_payload(op, payload.len(), compress, |out| out.extend_from_slice(payload));
            }
        }
    }

    // ---- how much there is ----------------------------------------------------------------------------------------

    /// What waits, with what the connection could not write yet.
    pub fn level(&self) -> Level {
        let (len, packets) = self.backlog.as_ref().map_or((0, 0), |backlog| (backlog.len(), backlog.packets()));
        Level {
            bytes: self.bytes.len() + self.shared_len + self.in_flight.bytes as usize + len,
            packets: self.count + self.in_flight.packets + packets,
        }
    }

    /// Whether nothing waits for a flush.
    pub fn is_empty(&self) -> bool {
        let beside = match &self.form {
            Form::Polling(packets) => packets.len(),
            Form::WebSocket(shared) => shared.len(),
            Form::Closed => 0,
        };
        self.bytes.is_empty() && beside == 0 && self.backlog.is_none()
    }

    /// Whether something waits that is worth writing at this time.
    pub fn has_packets(&mut self, now_us: u64) -> bool {
        if let Some(backlog) = &mut self.backlog {
            backlog.set_now(now_us);
            let expired = backlog.expire();
            self.count_dropped(Count::Expired, expired);
            self.fold();
        }
        // What is added to an empty queue is news to the shard.
        self.dirty &= !self.is_empty();
        !self.is_empty()
    }

    /// Counts what was dropped, if anything.
    fn count_dropped(&self, cause: Count, packets: u64) {
        if packets > 0 {
            self.budget.metrics.add(cause, packets);
        }
    }

    /// Whether a packet added now would be written at once: what `volatile` asks.
    pub fn is_writable(&self) -> bool {
        self.writable && self.is_empty()
    }

    /// Tells whether the transport can take a packet at once.
    pub fn set_writable(&mut self, writable: bool) {
        self.writable = writable;
    }

    /// The kernel has taken all that was flushed.
    pub fn set_sent(&mut self) {
        self.writable = true;
        self.in_flight = InFlight::default();
    }

    /// The kernel has not taken all that was flushed: so many bytes of so many packets are left.
    pub fn set_blocked(&mut self, left: Level) {
        self.writable = false;
        self.in_flight.packets = left.packets;
        self.set_left(left.bytes);
    }

    /// The kernel took some of what it had left, and so many bytes are left still.
    pub fn set_left(&mut self, bytes: usize) {
        self.in_flight.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    }

    /// So much of the answer to a poll has not been taken by the kernel. There may be several such answers, on several connections.
    pub fn add_unread(&mut self, left: Level) {
        self.set_left(self.in_flight.bytes as usize + left.bytes);
        self.in_flight.packets = self.in_flight.packets.saturating_add(left.packets);
    }

    /// And of that so much was taken, or will never be.
    pub fn take_unread(&mut self, taken: Level) {
        self.set_left((self.in_flight.bytes as usize).saturating_sub(taken.bytes));
        self.in_flight.packets = self.in_flight.packets.saturating_sub(taken.packets);
    }

    /// Whether the shard must be told that there is something to do; it is told once.
    pub fn turned_dirty(&mut self) -> bool {
        if self.dirty {
            return false;
        }
        self.dirty = !self.bytes.is_empty() || self.notice || !self.is_empty();
        self.dirty
    }

    // ---- its form -------------------------------------------------------------------------------------------------

    /// The session moved from polling to WebSocket: what waits becomes frames.
    pub fn upgrade(&mut self) {
        let Form::Polling(packets) = &mut self.form else { return };
        let (bytes, packets) = (std::mem::take(&mut self.bytes), std::mem::take(packets));
        self.form = Form::WebSocket(Vec::new());
        self.set_sent();
        self.frames = 0;
        for (data, binary) in payloads(&bytes, &packets) {
            self.flat(frames::opcode(binary), data.len(), false, |out| out.extend_from_slice(data));
        }
    }

    /// Nothing is taken or kept any more.
    pub fn close(&mut self) {
        let empty = Outbound::new(true, false, self.budget.clone());
        *self = Outbound { form: Form::Closed, alarm: 0, writable: false, ..empty };
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Limits;
    use super::*;

    pub(super) const PLAIN: Delivery<'_> = Delivery { compress: true, special: None };

    pub(super) fn parts(args: &str) -> EventParts<'_> {
        EventParts { nsp: "/", id: None, name_json: "\"a\"", args, attachments: 0 }
    }

    /// A queue with the limits that `json` has.
    pub(super) fn outbound(websocket: bool, json: &str) -> Outbound {
        let limits: Limits = serde_json::from_str(json).unwrap();
        limits.validate().unwrap();
        Outbound::new(websocket, false, Arc::new(Budget::new(&limits, false, Arc::default())))
    }

    #[test]
    fn an_upgrade_turns_waiting_packets_into_frames() {
        let mut polling = outbound(false, "{}");
        polling.event(&parts("[1]"), &[], PLAIN).unwrap();
        polling.binary(b"\x01\x02").unwrap();
        polling.upgrade();
        let run = polling.take_run(0);
        assert_eq!(run.bytes, b"\x81\x0942[\"a\",1]\x82\x02\x01\x02");
        assert_eq!(run.frames, 2);
    }

    #[test]
    fn a_large_shared_frame_is_queued_by_reference_in_its_place() {
        let long = format!("[\"{}\"]", "x".repeat(SHARE_MIN));
        let encoded = Encoded::event(&parts(&long), &[]);
        let mut websocket = outbound(true, "{}");
        websocket.event(&parts("[1]"), &[], PLAIN).unwrap();
        websocket.encoded(&encoded, PLAIN).unwrap();
        websocket.event(&parts("[2]"), &[], PLAIN).unwrap();
        let run = websocket.take_run(0);
        assert_eq!((run.bytes.len(), run.shared.len(), run.shared[0].0), (22, 1, 11));
        assert_eq!(run.shared[0].1.as_ptr(), encoded.first.as_ptr());
    }

    #[test]
    fn volatile_sees_only_an_idle_writable_connection() {
        let mut websocket = outbound(true, "{}");
        assert!(websocket.is_writable());
        websocket.event(&parts("[1]"), &[], PLAIN).unwrap();
        assert!(!websocket.is_writable());
        websocket.take_run(0);
        assert!(websocket.is_writable());
        websocket.set_writable(false);
        assert!(!websocket.is_writable());
        assert!(!outbound(false, "{}").is_writable());
    }

    #[test]
    fn an_idle_queue_is_small() {
        // Every session has one.
        assert_eq!(size_of::<Outbound>(), 120);
    }

    #[test]
    fn a_closed_queue_keeps_nothing() {
        let mut websocket = outbound(true, "{}");
        websocket.close();
        websocket.event(&parts("[1]"), &[], PLAIN).unwrap();
        let special = Arc::new(Special { priority: true, ..Special::default() });
        websocket.event(&parts("[1]"), &[], Delivery { special: Some(&special), ..PLAIN }).unwrap();
        assert!(websocket.is_empty() && !websocket.is_writable() && !websocket.turned_dirty());
        assert_eq!(websocket.level(), Level::default());
    }
}
