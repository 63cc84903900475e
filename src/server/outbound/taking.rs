//! Packets out of a queue: all of them at once in the flat form, or parts of a backlog, each no more than one write should carry.

use bytes::Bytes;

use super::{Form, Outbound, Packet, SHARE_MIN};
use crate::proto::engine_packet;
use crate::proto::payload;
use crate::proto::websocket::{self, Opcode};
use crate::server::backlog::Backlog;
use crate::server::frames::{self, Class};
use crate::server::metrics::Count;

/// What one flush hands to the kernel at most, but for a larger packet: what it hands over cannot be dropped any more, and in
/// pieces of this size the call itself costs little.
pub const FLUSH_MAX: usize = 256 * 1024;

/// What a flush took: frames, with shared frames to be put in at the given places.
#[derive(Debug, Default)]
pub struct Run {
    pub bytes: Vec<u8>,
    pub shared: Vec<(usize, Bytes)>,
    /// Packets of Engine.IO in it.
    pub frames: u32,
    /// Packets in it, attachments and Engine.IO's own left out.
    pub packets: u32,
    /// The shard has to call `take_notice`, and to take what still waits.
    pub rest: bool,
}

impl Run {
    fn push(&mut self, op: Opcode, payload: &[u8]) {
        websocket::write_header(op, payload.len(), &mut self.bytes);
        self.bytes.extend_from_slice(payload);
    }
}

impl Outbound {
    /// Takes frames of a WebSocket connection, buffers included: an idle connection holds none.
    pub fn take_run(&mut self, now_us: u64) -> Run {
        if self.notice {
            self.dirty = false;
            return Run { rest: true, ..Run::default() };
        }
        if self.backlog.is_some() || self.bytes.len() + self.shared_len > FLUSH_MAX {
            return self.take_part(now_us);
        }
        self.shared_len = 0;
        self.dirty = false;
        let shared = match &mut self.form {
            Form::WebSocket(shared) => std::mem::take(shared),
            Form::Polling(_) | Form::Closed => Vec::new(),
        };
        Run {
            bytes: std::mem::take(&mut self.bytes),
            shared,
            frames: std::mem::take(&mut self.frames),
            packets: std::mem::take(&mut self.count),
            rest: self.raised,
        }
    }

    fn take_part(&mut self, now_us: u64) -> Run {
        let base64 = self.base64;
        let mut run = Run::default();
        let (mut left, mut first, mut expired) = (FLUSH_MAX, true, 0);
        let backlog = self.unfold();
        while let Some(waiting) = backlog.pop(now_us, if first { usize::MAX } else { left }, &mut expired) {
            left = left.saturating_sub(waiting.len());
            first = false;
            run.packets += u32::from(waiting.class != Class::Control);
            for frame in waiting.packet.into_frames() {
                run.frames += 1;
                if base64 && frames::is_binary(&frame) {
                    let mut text = Vec::new();
                    engine_packet::encode_base64(frames::payload(&frame), &mut text);
                    run.push(Opcode::Text, &text);
                } else if frame.len() >= SHARE_MIN {
                    run.shared.push((run.bytes.len(), frame));
                } else {
                    run.bytes.extend_from_slice(&frame);
                }
            }
        }
        self.count_dropped(Count::Expired, expired);
        self.fold();
        self.dirty = self.backlog.is_some();
        run.rest = self.dirty || self.raised;
        run
    }

    /// Takes packets of a polling session as one payload, appended to `out`; whether the answer may be compressed, and how many
    /// packets of Engine.IO it has.
    pub fn take_payload(&mut self, now_us: u64, out: &mut Vec<u8>) -> (bool, u32) {
        self.dirty = false;
        if self.backlog.is_some() || self.bytes.len() > FLUSH_MAX {
            return self.take_part_of_payload(now_us, out);
        }
        if let Form::Polling(packets) = &mut self.form {
            for (at, (data, binary)) in payloads(&self.bytes, packets).enumerate() {
                write_payload(at > 0, data, binary, out);
            }
            *packets = Vec::new();
        }
        self.count = 0;
        self.bytes = Vec::new();
        (std::mem::take(&mut self.compress), std::mem::take(&mut self.frames))
    }

    fn take_part_of_payload(&mut self, now_us: u64, out: &mut Vec<u8>) -> (bool, u32) {
        let (mut left, mut first, mut compress, mut expired) = (FLUSH_MAX, true, false, 0);
        let mut count = 0;
        let backlog = self.unfold();
        while let Some(waiting) = backlog.pop(now_us, if first { usize::MAX } else { left }, &mut expired) {
            left = left.saturating_sub(waiting.len());
            compress |= waiting.compress;
            for frame in waiting.packet.frames() {
                count += 1;
                write_payload(!first, frames::payload(frame), frames::is_binary(frame), out);
                first = false;
            }
        }
        self.count_dropped(Count::Expired, expired);
        self.fold();
        (compress, count)
    }

    // ---- from one form to the other -------------------------------------------------------------------------------

    /// What waits as objects; the flat form is empty then.
    pub(super) fn unfold(&mut self) -> &mut Backlog {
        if self.backlog.is_some() {
            return self.backlog.get_or_insert_default();
        }
        let mut backlog = Box::<Backlog>::default();
        let (raw, compress) = (self.budget.raw, self.compress);
        let each = |class, packet| backlog.push(class, packet, compress, None);
        match &self.form {
            Form::Polling(packets) => frames::each_in_payloads(payloads(&self.bytes, packets), raw, each),
            Form::WebSocket(shared) => frames::each_in_run(&self.bytes, shared, raw, each),
            Form::Closed => {}
        }
        self.clear_flat();
        self.alarm = 0;
        self.backlog.insert(backlog)
    }

    /// Back to the flat form, if nothing waits any more.
    pub(super) fn fold(&mut self) {
        if self.backlog.as_ref().is_some_and(|backlog| backlog.is_empty()) {
            self.backlog = None;
            self.set_alarm();
        }
    }

    pub(super) fn clear_flat(&mut self) {
        self.bytes = Vec::new();
        match &mut self.form {
            Form::Polling(packets) => *packets = Vec::new(),
            Form::WebSocket(shared) => *shared = Vec::new(),
            Form::Closed => {}
        }
        self.shared_len = 0;
        self.count = 0;
        self.frames = 0;
        self.compress = false;
    }
}

/// The packets of a polling session, each with whether it is binary.
pub(super) fn payloads<'a>(bytes: &'a [u8], packets: &'a [Packet]) -> impl Iterator<Item = (&'a [u8], bool)> {
    let mut from = 0;
    packets.iter().map(move |packet| {
        let data = bytes.get(from..packet.end as usize).unwrap_or_default();
        from = packet.end as usize;
        (data, packet.binary)
    })
}

fn write_payload(separated: bool, data: &[u8], binary: bool, out: &mut Vec<u8>) {
    if separated {
        out.push(payload::SEPARATOR);
    }
    if binary {
        engine_packet::encode_base64(data, out);
    } else {
        out.extend_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{PLAIN, outbound, parts};
    use super::super::{Delivery, Outbound};
    use super::*;
    use crate::server::backlog::Special;

    fn emit(out: &mut Outbound, args: &str, special: Special) {
        out.event(&parts(args), &[], Delivery { special: Some(&Arc::new(special)), ..PLAIN }).unwrap();
    }

    #[test]
    fn a_payload_separates_packets_and_carries_binary_as_base64() {
        let mut polling = outbound(false, "{}");
        polling.event(&parts("[1]"), &[], PLAIN).unwrap();
        polling.binary(b"\x01\x02\x03\x04").unwrap();
        let mut out = Vec::new();
        assert_eq!(polling.take_payload(0, &mut out), (true, 2));
        assert_eq!(out, b"42[\"a\",1]\x1ebAQIDBA==");
        assert!(polling.is_empty());
    }

    #[test]
    fn a_backlog_becomes_the_same_payload() {
        let mut polling = outbound(false, "{}");
        polling.event(&parts("[1]"), &[], PLAIN).unwrap();
        polling.binary(b"\x01\x02\x03\x04").unwrap();
        emit(&mut polling, "[2]", Special { priority: true, ..Special::default() });
        emit(&mut polling, "[3]", Special { expires_us: Some(10), ..Special::default() });
        let mut out = Vec::new();
        assert!(polling.has_packets(10));
        assert_eq!(polling.take_payload(10, &mut out), (true, 3));
        assert_eq!(out, b"42[\"a\",2]\x1e42[\"a\",1]\x1ebAQIDBA==");
        assert!(polling.is_empty());
    }

    #[test]
    fn a_backlog_outlives_an_upgrade() {
        let mut polling = outbound(false, "{}");
        emit(&mut polling, "[1]", Special { expires_us: Some(10), ..Special::default() });
        polling.upgrade();
        assert_eq!(polling.take_run(9).bytes, b"\x81\x0942[\"a\",1]");
        assert!(polling.is_empty() && polling.is_writable());
    }

    #[test]
    fn a_poll_that_finds_only_expired_packets_goes_on_waiting() {
        let mut polling = outbound(false, "{}");
        emit(&mut polling, "[1]", Special { expires_us: Some(10), ..Special::default() });
        assert!(polling.turned_dirty() && !polling.has_packets(10));
        polling.control(b"6");
        assert!(polling.turned_dirty(), "the shard hears of the next packet");
        assert_eq!(polling.budget.metrics.get(Count::Expired), 1);
    }

    #[test]
    fn more_than_a_flush_takes_is_taken_in_whole_packets() {
        let mut websocket = outbound(true, "{}");
        let long = format!("[\"{}\"]", "x".repeat(100_000));
        for _ in 0..6 {
            websocket.event(&parts(&long), &[], PLAIN).unwrap();
        }
        let (mut taken, mut runs) = (0, 0);
        loop {
            let run = websocket.take_run(0);
            taken += run.packets;
            runs += 1;
            assert!(run.bytes.len() + run.shared.iter().map(|(_, frame)| frame.len()).sum::<usize>() <= FLUSH_MAX);
            if !run.rest {
                break;
            }
            assert!(!websocket.is_writable());
        }
        assert_eq!((taken, runs, websocket.is_empty(), websocket.level().bytes), (6, 3, true, 0));
    }

    #[test]
    fn a_client_that_takes_no_binary_frames_gets_base64_from_a_backlog_too() {
        let mut websocket = Outbound { base64: true, ..outbound(true, "{}") };
        emit(&mut websocket, "[1]", Special { priority: true, ..Special::default() });
        websocket.binary(b"\x01\x02\x03\x04").unwrap();
        assert_eq!(websocket.take_run(0).bytes, b"\x81\x0942[\"a\",1]\x81\x09bAQIDBA==");
    }
}
