//! A batch as one buffer, for hosts to which each pointer costs: fixed records with offsets, then the payload.
//!
//! ```text
//! u32 count, u32 total, u32 joined_at, u32 joined_len     then `count` records of 64 bytes, then bytes
//! ```
//! All little-endian, offsets from the start of the buffer. `joined` is the data of all records as one JSON array, if asked for.

use std::sync::Arc;
use std::time::Duration;

use super::chunk::{Chunk, Record};
use super::poll::{Batch, PollError};
use super::shared::Queue;

const HEADER_LEN: usize = 16;
const RECORD_LEN: usize = 64;

/// Chooses the records that fit.
struct Fitting {
    chosen: Vec<(Arc<Chunk>, Record)>,
    len: usize,
    capacity: usize,
    joined: bool,
    /// Length that the first record which did not fit would have needed.
    wanted: usize,
}

fn payload_len(chunk: &Chunk, record: &Record) -> usize {
    let attachments: usize = chunk.attachments(record).map(|bytes| 4 + bytes.len()).sum();
    chunk.name(record).len() + chunk.data(record).len() + attachments
}

/// What a record adds to the joined text: its data or `null`, and a comma or bracket.
fn joined_len(data: &[u8]) -> usize {
    1 + if data.is_empty() { 4 } else { data.len() }
}

impl Batch for Fitting {
    fn take(&mut self, chunk: &Arc<Chunk>, record: &Record) -> bool {
        let joined = if self.joined { joined_len(chunk.data(record)) } else { 0 };
        let len = self.len + RECORD_LEN + payload_len(chunk, record) + joined;
        if len > self.capacity {
            self.wanted = len;
            return false;
        }
        self.len = len;
        self.chosen.push((chunk.clone(), *record));
        true
    }
}

/// What [`pack`] did.
pub struct Packed {
    /// Events in the buffer.
    pub count: usize,
    /// Bytes used; with no event, the bytes that the next one needs (0 if there is none).
    pub used: usize,
}

/// Polls `queue` into `out`. See [`Queue::poll`] for `wait` and `last`.
pub fn pack(
    queue: &Queue,
    out: &mut [u8],
    joined: bool,
    wait: Option<Duration>,
    last: u32,
) -> Result<Packed, PollError> {
    let fixed = HEADER_LEN + if joined { 1 } else { 0 };
    let mut fitting = Fitting { chosen: Vec::new(), len: fixed, capacity: out.len(), joined, wanted: 0 };
    let count = queue.poll(&mut fitting, wait, last)?;
    if count == 0 {
        return Ok(Packed { count, used: fitting.wanted });
    }
    let mut records = Vec::with_capacity(HEADER_LEN + count * RECORD_LEN);
    let mut payload = Vec::with_capacity(fitting.len.saturating_sub(HEADER_LEN + count * RECORD_LEN));
    let payload_at = HEADER_LEN + count * RECORD_LEN;
    records.resize(HEADER_LEN, 0);
    for (chunk, record) in &fitting.chosen {
        write_record(chunk, record, payload_at, &mut records, &mut payload);
    }
    let joined_at = payload_at + payload.len();
    if joined {
        join(&fitting.chosen, &mut payload);
    }
    let total = payload_at + payload.len();
    let header = [count, total, joined_at, total - joined_at];
    for (at, number) in header.into_iter().enumerate() {
        records[at * 4..at * 4 + 4].copy_from_slice(&(number as u32).to_le_bytes());
    }
    out[..payload_at].copy_from_slice(&records);
    out[payload_at..total].copy_from_slice(&payload);
    Ok(Packed { count, used: total })
}

fn write_record(chunk: &Chunk, record: &Record, payload_at: usize, records: &mut Vec<u8>, payload: &mut Vec<u8>) {
    let at = |payload: &Vec<u8>| ((payload_at + payload.len()) as u32).to_le_bytes();
    records.extend_from_slice(&(record.kind as u16).to_le_bytes());
    records.extend_from_slice(&(record.flags as u16).to_le_bytes());
    records.extend_from_slice(&record.nsp.to_le_bytes());
    records.extend_from_slice(&record.atom.to_le_bytes());
    records.extend_from_slice(&record.status.to_le_bytes());
    for number in [record.socket, record.user, record.token] {
        records.extend_from_slice(&number.to_le_bytes());
    }
    for text in [chunk.name(record), chunk.data(record)] {
        records.extend_from_slice(&at(payload));
        records.extend_from_slice(&(text.len() as u32).to_le_bytes());
        payload.extend_from_slice(text);
    }
    let attachments = chunk.attachments(record);
    records.extend_from_slice(&at(payload));
    records.extend_from_slice(&(attachments.len() as u32).to_le_bytes());
    for bytes in attachments {
        payload.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        payload.extend_from_slice(bytes);
    }
}

fn join(chosen: &[(Arc<Chunk>, Record)], out: &mut Vec<u8>) {
    for (at, (chunk, record)) in chosen.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        let data = chunk.data(record);
        out.extend_from_slice(if data.is_empty() { b"null" } else { data });
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Limits, Outbox};
    use super::*;

    fn queue() -> Arc<Queue> {
        Arc::new(Queue::new(Limits { events_max: 10, bytes_max: 1000 }, Box::new(|| ())))
    }

    fn send(queue: &Arc<Queue>, name: &str, data: &str, attachments: &[&[u8]]) {
        let mut outbox = Outbox::default();
        outbox.push(queue, &Event { kind: 5, socket: 9, name, data, attachments, ..Event::default() });
        outbox.deliver(false);
    }

    fn number(buffer: &[u8], at: usize) -> usize {
        u32::from_le_bytes(buffer[at..at + 4].try_into().unwrap()) as usize
    }

    #[test]
    fn offsets_lead_to_name_data_attachments_and_the_joined_text() {
        let queue = queue();
        send(&queue, "a", "[1]", &[b"xy"]);
        send(&queue, "bc", "", &[]);
        let mut buffer = [0u8; 512];
        let packed = pack(&queue, &mut buffer, true, Some(Duration::ZERO), 17).unwrap();
        assert_eq!((packed.count, number(&buffer, 0), number(&buffer, 4)), (2, 2, packed.used));
        let text = |at: usize| &buffer[number(&buffer, at)..number(&buffer, at) + number(&buffer, at + 4)];
        assert_eq!((text(HEADER_LEN + 40), text(HEADER_LEN + 48)), (&b"a"[..], &b"[1]"[..]));
        let attachments_at = number(&buffer, HEADER_LEN + 56);
        assert_eq!(&buffer[attachments_at..attachments_at + 6], b"\x02\0\0\0xy");
        assert_eq!(text(HEADER_LEN + RECORD_LEN + 40), b"bc");
        assert_eq!(text(8), b"[[1],null]");
    }

    #[test]
    fn an_event_that_does_not_fit_waits_and_tells_its_length() {
        let queue = queue();
        send(&queue, "a", &format!("[\"{}\"]", "x".repeat(100)), &[]);
        let mut small = [0u8; 64];
        let packed = pack(&queue, &mut small, false, Some(Duration::ZERO), 17).unwrap();
        assert_eq!(packed.count, 0);
        let mut large = vec![0u8; packed.used];
        assert_eq!(pack(&queue, &mut large, false, Some(Duration::ZERO), 17).unwrap().count, 1);
    }
}
