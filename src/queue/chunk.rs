//! A chunk of events: fixed-size records beside one buffer that holds their names, data and attachments.

use std::ops::Range;

/// Capacity above which a used chunk's buffer is given back instead of being kept for the next turn.
const KEEP_BYTES_MAX: usize = 256 * 1024;

/// One event as its maker gives it; it is copied into the chunk.
#[derive(Default)]
pub struct Event<'a> {
    pub kind: u32,
    pub flags: u32,
    pub nsp: u32,
    pub atom: u32,
    pub socket: u64,
    pub user: u64,
    pub token: u64,
    pub status: i32,
    pub name: &'a str,
    pub data: &'a str,
    pub attachments: &'a [&'a [u8]],
    pub time_us: u64,
}

/// One event in a chunk: as [`Event`], with offsets into the chunk's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub kind: u32,
    pub flags: u32,
    pub nsp: u32,
    pub atom: u32,
    pub socket: u64,
    pub user: u64,
    pub token: u64,
    pub status: i32,
    pub time_us: u64,
    name: (usize, u32),
    data: (usize, usize),
    attachments: (u32, u32),
}

/// Events in the order in which they happened.
#[derive(Debug, Default)]
pub struct Chunk {
    records: Vec<Record>,
    bytes: Vec<u8>,
    /// Where each attachment is in `bytes`.
    attachments: Vec<Range<usize>>,
}

impl Chunk {
    /// Adds an event.
    pub fn push(&mut self, event: &Event<'_>) {
        let data_at = self.bytes.len();
        self.bytes.extend_from_slice(event.data.as_bytes());
        self.push_record(event, (data_at, event.data.len()));
    }

    /// Adds an event whose data `write` appends to the chunk's bytes: arguments are gathered in place, without a buffer between.
    pub fn push_with(&mut self, event: &Event<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        let data_at = self.bytes.len();
        write(&mut self.bytes);
        let len = self.bytes.len() - data_at;
        self.push_record(event, (data_at, len));
    }

    /// Adds an event whose data is large and was made for it: if nothing is here yet, it is taken as it is, and not copied.
    pub fn push_made(&mut self, event: &Event<'_>, data: Vec<u8>) {
        if !self.bytes.is_empty() {
            return self.push_with(event, |bytes| bytes.extend_from_slice(&data));
        }
        let len = data.len();
        self.bytes = data;
        self.push_record(event, (0, len));
    }

    fn push_record(&mut self, event: &Event<'_>, data: (usize, usize)) {
        let name_at = self.bytes.len();
        self.bytes.extend_from_slice(event.name.as_bytes());
        let first = self.attachments.len() as u32;
        for attachment in event.attachments {
            let at = self.bytes.len();
            self.bytes.extend_from_slice(attachment);
            self.attachments.push(at..self.bytes.len());
        }
        self.records.push(Record {
            kind: event.kind,
            flags: event.flags,
            nsp: event.nsp,
            atom: event.atom,
            socket: event.socket,
            user: event.user,
            token: event.token,
            status: event.status,
            time_us: event.time_us,
            name: (name_at, event.name.len() as u32),
            data,
            attachments: (first, event.attachments.len() as u32),
        });
    }

    /// The records in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The name of one of this chunk's records, UTF-8.
    pub fn name(&self, record: &Record) -> &[u8] {
        self.bytes.get(record.name.0..record.name.0 + record.name.1 as usize).unwrap_or_default()
    }

    /// The data of one of this chunk's records, UTF-8.
    pub fn data(&self, record: &Record) -> &[u8] {
        self.bytes.get(record.data.0..record.data.0 + record.data.1).unwrap_or_default()
    }

    /// The attachments of one of this chunk's records.
    pub fn attachments(&self, record: &Record) -> impl ExactSizeIterator<Item = &[u8]> {
        let first = record.attachments.0 as usize;
        let spans = self.attachments.get(first..first + record.attachments.1 as usize).unwrap_or_default();
        spans.iter().map(|span| self.bytes.get(span.clone()).unwrap_or_default())
    }

    /// How many attachments all records have.
    pub fn attachment_count(&self) -> usize {
        self.attachments.len()
    }

    /// Payload bytes that this chunk keeps alive.
    pub fn payload_len(&self) -> usize {
        self.bytes.len()
    }

    /// Empties the chunk for its next use.
    pub fn clear(&mut self) {
        self.records.clear();
        self.attachments.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEEP_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_give_back_what_was_pushed() {
        let mut chunk = Chunk::default();
        let attachments = [&b"\x01\x02"[..]];
        chunk.push(&Event { kind: 5, name: "first", data: "[1]", socket: 7, ..Event::default() });
        chunk.push_with(&Event { kind: 5, name: "second", attachments: &attachments, ..Event::default() }, |out| {
            out.extend_from_slice(b"[2,3]");
        });
        let [first, second] = chunk.records() else { panic!("two records") };
        assert_eq!((chunk.name(first), chunk.data(first), first.socket), (&b"first"[..], &b"[1]"[..], 7));
        assert_eq!((chunk.name(second), chunk.data(second)), (&b"second"[..], &b"[2,3]"[..]));
        assert_eq!(chunk.attachments(first).len(), 0);
        assert!(chunk.attachments(second).eq(attachments));
        assert_eq!(chunk.payload_len(), 5 + 3 + 6 + 5 + 2);
    }

    #[test]
    fn data_that_was_made_for_an_event_is_not_copied_into_an_empty_chunk() {
        let (first, second) = (b"[1,2,3]".to_vec(), b"[4]".to_vec());
        let at = first.as_ptr();
        let mut chunk = Chunk::default();
        chunk.push_made(&Event::default(), first);
        assert_eq!(chunk.data(&chunk.records()[0]).as_ptr(), at);
        chunk.push_made(&Event { name: "b", ..Event::default() }, second);
        let [first, second] = chunk.records() else { panic!("two records") };
        assert_eq!((chunk.data(first), chunk.data(second)), (&b"[1,2,3]"[..], &b"[4]"[..]));
        assert_eq!((chunk.name(first), chunk.name(second)), (&b""[..], &b"b"[..]));
    }

    #[test]
    fn clear_gives_a_large_buffer_back() {
        let mut chunk = Chunk::default();
        chunk.push(&Event { data: &"x".repeat(KEEP_BYTES_MAX * 2), ..Event::default() });
        chunk.clear();
        assert_eq!((chunk.bytes.capacity(), chunk.records().len(), chunk.payload_len()), (0, 0, 0));
    }
}
