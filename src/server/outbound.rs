//! What waits to be written to one connection.
//!
//! Packets are put in the form that the connection's transport writes: WebSocket frames in one run of bytes, so that a flush is one
//! system call and needs no list of buffers; or, for polling, packets beside their ends, since a payload is put together when a
//! request for it is there. A large packet that many share is a reference instead of a copy.

use bytes::Bytes;

use super::pool;

use crate::proto::engine_packet;
use crate::proto::payload;
use crate::proto::socket_packet::{AckParts, EventParts};
use crate::proto::websocket::{self, Opcode};

/// From this length on a shared frame is queued by reference: below, copying costs less than a reference count and one more buffer
/// for the kernel (measured: see docs/execution.md).
pub const SHARE_MIN: usize = 256;

/// Bytes of the longest header of a server's frame.
const FRAME_HEADER_MAX: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Polling,
    WebSocket,
    Closed,
}

/// A packet encoded once for many receivers.
#[derive(Debug)]
pub struct Encoded {
    text: Frame,
    attachments: Vec<Frame>,
}

/// A WebSocket frame, with the place where its payload starts.
#[derive(Debug)]
struct Frame {
    bytes: Bytes,
    payload_at: usize,
}

impl Frame {
    fn new(op: Opcode, payload_len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
        let mut bytes = Vec::with_capacity(websocket::header_len(payload_len) + payload_len);
        websocket::write_header(op, payload_len, &mut bytes);
        let payload_at = bytes.len();
        write(&mut bytes);
        Frame { bytes: bytes.into(), payload_at }
    }
}

impl Encoded {
    /// Encodes an event for every transport of Engine.IO 4.
    pub fn event(parts: &EventParts<'_>, attachments: &[&[u8]]) -> Encoded {
        let text = Frame::new(Opcode::Text, 1 + parts.len(), |out| {
            out.push(b'4');
            parts.write(out);
        });
        let binary = |data: &&[u8]| Frame::new(Opcode::Binary, data.len(), |out| out.extend_from_slice(data));
        Encoded { text, attachments: attachments.iter().map(binary).collect() }
    }
}

/// The end of a polling packet, and whether it is binary.
#[derive(Clone, Copy, Debug)]
struct Packet {
    end: u32,
    binary: bool,
}

/// The queue of one connection.
#[derive(Debug)]
pub struct Outbound {
    form: Form,
    bytes: Vec<u8>,
    packets: Vec<Packet>,
    shared: Vec<(usize, Bytes)>,
    shared_len: usize,
    /// The client asked for no binary frames (`b64`).
    base64: bool,
    /// The transport could take a packet at once: a WebSocket with nothing unsent, a poll that waits.
    writable: bool,
    /// Some packet wants its answer compressed.
    compress: bool,
    /// The shard knows that there is something to flush.
    dirty: bool,
}

/// What a flush took: frames, with shared frames to be put in at the given places.
#[derive(Debug, Default)]
pub struct Run {
    pub bytes: Vec<u8>,
    pub shared: Vec<(usize, Bytes)>,
}

impl Outbound {
    /// For a session that starts on polling or on WebSocket.
    pub fn new(websocket: bool, base64: bool) -> Outbound {
        Outbound {
            form: if websocket { Form::WebSocket } else { Form::Polling },
            bytes: Vec::new(),
            packets: Vec::new(),
            shared: Vec::new(),
            shared_len: 0,
            base64,
            writable: websocket,
            compress: false,
            dirty: false,
        }
    }

    /// Adds a text packet of a known length, its Engine.IO type included.
    pub fn text(&mut self, len: usize, compress: bool, write: impl FnOnce(&mut Vec<u8>)) {
        self.packet(Opcode::Text, len, compress, write);
    }

    /// Adds a binary message.
    pub fn binary(&mut self, data: &[u8], compress: bool) {
        self.packet(Opcode::Binary, data.len(), compress, |out| out.extend_from_slice(data));
    }

    fn packet(&mut self, op: Opcode, len: usize, compress: bool, write: impl FnOnce(&mut Vec<u8>)) {
        match self.form {
            Form::WebSocket if self.base64 && op == Opcode::Binary => {
                let (mut data, mut text) = (Vec::with_capacity(len), Vec::new());
                write(&mut data);
                engine_packet::encode_base64(&data, &mut text);
                websocket::write_header(Opcode::Text, text.len(), &mut self.bytes);
                self.bytes.extend_from_slice(&text);
            }
            Form::WebSocket => {
                if self.bytes.capacity() == 0 {
                    self.bytes = pool::take();
                    self.bytes.reserve(len + FRAME_HEADER_MAX);
                }
                websocket::write_header(op, len, &mut self.bytes);
                write(&mut self.bytes);
            }
            Form::Polling => {
                write(&mut self.bytes);
                self.packets.push(Packet { end: self.bytes.len() as u32, binary: op == Opcode::Binary });
                self.compress |= compress;
            }
            Form::Closed => {}
        }
    }

    /// Adds an event with its attachments, which nothing may come between.
    pub fn event(&mut self, parts: &EventParts<'_>, attachments: &[&[u8]], compress: bool) {
        self.text(1 + parts.len(), compress, |out| {
            out.push(b'4');
            parts.write(out);
        });
        attachments.iter().for_each(|data| self.binary(data, compress));
    }

    /// Adds an acknowledgement with its attachments.
    pub fn ack(&mut self, parts: &AckParts<'_>, attachments: &[&[u8]], compress: bool) {
        self.text(1 + parts.len(), compress, |out| {
            out.push(b'4');
            parts.write(out);
        });
        attachments.iter().for_each(|data| self.binary(data, compress));
    }

    /// Adds a packet that many share.
    pub fn encoded(&mut self, encoded: &Encoded, compress: bool) {
        self.frame(Opcode::Text, &encoded.text, compress);
        encoded.attachments.iter().for_each(|frame| self.frame(Opcode::Binary, frame, compress));
    }

    fn frame(&mut self, op: Opcode, frame: &Frame, compress: bool) {
        match self.form {
            Form::WebSocket if self.base64 && op == Opcode::Binary => {
                let payload = frame.bytes.get(frame.payload_at..).unwrap_or_default();
                self.packet(op, payload.len(), compress, |out| out.extend_from_slice(payload));
            }
            Form::WebSocket if frame.bytes.len() < SHARE_MIN => {
                if self.bytes.capacity() == 0 {
                    self.bytes = pool::take();
                }
                self.bytes.extend_from_slice(&frame.bytes);
            }
            Form::WebSocket => {
                self.shared.push((self.bytes.len(), frame.bytes.clone()));
                self.shared_len += frame.bytes.len();
            }
            Form::Polling => {
                let payload = frame.bytes.get(frame.payload_at..).unwrap_or_default();
                self.packet(op, payload.len(), compress, |out| out.extend_from_slice(payload));
            }
            Form::Closed => {}
        }
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared_len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.shared.is_empty() && self.packets.is_empty()
    }

    /// Whether a packet added now would be written at once: what `volatile` asks.
    pub fn is_writable(&self) -> bool {
        self.writable && self.is_empty()
    }

    /// Tells whether the transport can take a packet at once.
    pub fn set_writable(&mut self, writable: bool) {
        self.writable = writable;
    }

    /// Whether the shard must be told that there is something to flush; it is told once.
    pub fn turned_dirty(&mut self) -> bool {
        let turned = !self.dirty && !self.is_empty();
        self.dirty |= turned;
        turned
    }

    /// Takes all frames of a WebSocket connection, buffers included: an idle connection holds none.
    pub fn take_run(&mut self) -> Run {
        self.shared_len = 0;
        self.dirty = false;
        Run { bytes: std::mem::take(&mut self.bytes), shared: std::mem::take(&mut self.shared) }
    }

    /// Takes all packets of a polling session as one payload, appended to `out`; whether the answer may be compressed.
    pub fn take_payload(&mut self, out: &mut Vec<u8>) -> bool {
        let mut from = 0;
        for (at, packet) in self.packets.iter().enumerate() {
            let data = self.bytes.get(from..packet.end as usize).unwrap_or_default();
            if at > 0 {
                out.push(payload::SEPARATOR);
            }
            if packet.binary {
                engine_packet::encode_base64(data, out);
            } else {
                out.extend_from_slice(data);
            }
            from = packet.end as usize;
        }
        self.bytes = Vec::new();
        self.packets = Vec::new();
        self.dirty = false;
        std::mem::take(&mut self.compress)
    }

    /// The session moved from polling to WebSocket: what waits becomes frames.
    pub fn upgrade(&mut self) {
        if self.form != Form::Polling {
            return;
        }
        self.form = Form::WebSocket;
        self.writable = true;
        let (bytes, packets) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.packets));
        let mut from = 0;
        for packet in packets {
            let data = bytes.get(from..packet.end as usize).unwrap_or_default();
            let op = if packet.binary { Opcode::Binary } else { Opcode::Text };
            self.packet(op, data.len(), false, |out| out.extend_from_slice(data));
            from = packet.end as usize;
        }
    }

    /// Nothing is taken or kept any more.
    pub fn close(&mut self) {
        *self = Outbound { form: Form::Closed, ..Outbound::new(true, false) };
        self.writable = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(args: &str) -> EventParts<'_> {
        EventParts { nsp: "/", id: None, name_json: "\"a\"", args, attachments: 0 }
    }

    #[test]
    fn an_upgrade_turns_waiting_packets_into_frames() {
        let mut polling = Outbound::new(false, false);
        polling.event(&parts("[1]"), &[], true);
        polling.binary(b"\x01\x02", true);
        polling.upgrade();
        let run = polling.take_run();
        assert_eq!(run.bytes, b"\x81\x0942[\"a\",1]\x82\x02\x01\x02");
    }

    #[test]
    fn a_payload_separates_packets_and_carries_binary_as_base64() {
        let mut polling = Outbound::new(false, false);
        polling.event(&parts("[1]"), &[], true);
        polling.binary(b"\x01\x02\x03\x04", false);
        let mut out = Vec::new();
        assert!(polling.take_payload(&mut out));
        assert_eq!(out, b"42[\"a\",1]\x1ebAQIDBA==");
        assert!(polling.is_empty());
    }

    #[test]
    fn a_large_shared_frame_is_queued_by_reference_in_its_place() {
        let long = format!("[\"{}\"]", "x".repeat(SHARE_MIN));
        let encoded = Encoded::event(&parts(&long), &[]);
        let mut websocket = Outbound::new(true, false);
        websocket.event(&parts("[1]"), &[], true);
        websocket.encoded(&encoded, true);
        websocket.event(&parts("[2]"), &[], true);
        let run = websocket.take_run();
        assert_eq!((run.bytes.len(), run.shared.len(), run.shared[0].0), (22, 1, 11));
        assert_eq!(run.shared[0].1.as_ptr(), encoded.text.bytes.as_ptr());
    }

    #[test]
    fn volatile_sees_only_an_idle_writable_connection() {
        let mut websocket = Outbound::new(true, false);
        assert!(websocket.is_writable());
        websocket.event(&parts("[1]"), &[], true);
        assert!(!websocket.is_writable());
        websocket.take_run();
        assert!(websocket.is_writable());
        websocket.set_writable(false);
        assert!(!websocket.is_writable());
        assert!(!Outbound::new(false, false).is_writable());
    }

    #[test]
    fn a_closed_queue_keeps_nothing() {
        let mut websocket = Outbound::new(true, false);
        websocket.close();
        websocket.event(&parts("[1]"), &[], true);
        assert!(websocket.is_empty() && !websocket.is_writable() && !websocket.turned_dirty());
    }
}
