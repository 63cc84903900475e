//! Messages that say who sent them and which one they are, built once and stamped for each use.
//!
//! A text is written with two marks, [`STAMP`] and, if it has one, [`ACK_ID`]. Stamping overwrites the digits in
//! place, through the mask when the message is a client frame, so that sending costs a copy and checking a comparison.

use crate::failure::Failure;
use crate::websocket::{MASK_KEY, Opcode, masked_frame};

/// Stands for the client (five digits) and the sequence number (ten digits).
pub const STAMP: &str = "#####:##########";
/// Stands for the ack id.
pub const ACK_ID: &str = "@@@@@@";

const CLIENT_DIGITS: usize = 5;
const SEQUENCE_DIGITS: usize = 10;
const ACK_ID_DIGITS: usize = 6;
/// Ack ids have one width and no leading zero, because servers parse and reprint them.
const ACK_ID_FIRST: u64 = 100_000;
const ACK_ID_COUNT: u64 = 900_000;

/// How much of a wrong message a report shows.
const QUOTE_BYTES: usize = 120;

/// A message with its marks found.
#[derive(Clone)]
pub struct Message {
    bytes: Vec<u8>,
    payload_at: usize,
    key: [u8; 4],
    stamp_at: Option<usize>,
    ack_id_at: Option<usize>,
}

impl Message {
    /// A payload as the server sends it.
    pub fn plain(payload: &[u8]) -> Self {
        Self::new(payload.to_vec(), 0, [0; 4], payload)
    }

    /// A frame as a client sends it.
    pub fn frame(opcode: Opcode, payload: &[u8]) -> Self {
        let (bytes, payload_at) = masked_frame(opcode, payload);
        Self::new(bytes, payload_at, MASK_KEY, payload)
    }

    fn new(bytes: Vec<u8>, payload_at: usize, key: [u8; 4], payload: &[u8]) -> Self {
        let find = |mark: &str| {
            let mut windows = payload.windows(mark.len());
            windows.position(|window| window == mark.as_bytes())
        };
        Self { bytes, payload_at, key, stamp_at: find(STAMP), ack_id_at: find(ACK_ID) }
    }

    /// The bytes with the marks replaced; a message without marks is the same for all.
    pub fn stamped(&mut self, client: usize, sequence: u64) -> &[u8] {
        if let Some(at) = self.stamp_at {
            self.digits(at, CLIENT_DIGITS, client as u64);
            self.digits(at + CLIENT_DIGITS + 1, SEQUENCE_DIGITS, sequence);
        }
        if let Some(at) = self.ack_id_at {
            self.digits(at, ACK_ID_DIGITS, ACK_ID_FIRST + sequence % ACK_ID_COUNT);
        }
        &self.bytes
    }

    fn digits(&mut self, at: usize, width: usize, mut value: u64) {
        for position in (at..at + width).rev() {
            let digit = b'0' + (value % 10) as u8;
            self.bytes[self.payload_at + position] = digit ^ self.key[position % 4];
            value /= 10;
        }
    }
}

/// The printable argument of an event: the stamp and filling up to `bytes` bytes.
pub fn text_payload(bytes: usize) -> String {
    let filling = "abcdefghijklmnopqrstuvwxyz".chars().cycle();
    let length = bytes.saturating_sub(STAMP.len() + 1);
    format!("{STAMP}:{}", filling.take(length).collect::<String>())
}

/// The attachment of a binary event: the stamp and every byte value in turn up to `bytes` bytes.
pub fn binary_payload(bytes: usize) -> Vec<u8> {
    let filling = (0..=u8::MAX).cycle();
    STAMP.bytes().chain(filling).take(bytes).collect()
}

/// Says how `got` differs from the message `sequence` of `sender` that `receiver` was due to get.
pub fn mismatch(receiver: usize, sender: usize, sequence: u64, got: &[u8]) -> Failure {
    let quote = String::from_utf8_lossy(&got[..got.len().min(QUOTE_BYTES)]);
    let what = match read_stamp(got) {
        Some((client, _)) if client != sender as u64 => format!("message of client {client}"),
        Some((_, seen)) if seen > sequence => format!("lost or reordered: {seen} came first"),
        Some((_, seen)) if seen < sequence => format!("duplicated or reordered: {seen} came"),
        _ => "altered or unexpected message".to_owned(),
    };
    Failure::Violation(format!("client {receiver}: due was message {sequence} of client {sender}; {what}: {quote:?}"))
}

/// The client and the sequence number of the first stamp in `payload`.
fn read_stamp(payload: &[u8]) -> Option<(u64, u64)> {
    payload.windows(STAMP.len()).find_map(|window| {
        let (client, rest) = std::str::from_utf8(window).ok()?.split_once(':')?;
        if client.len() != CLIENT_DIGITS {
            return None;
        }
        Some((client.parse().ok()?, rest.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::parse;

    #[test]
    fn stamping_replaces_client_sequence_and_ack_id() {
        let mut message = Message::plain(format!("43{ACK_ID}[\"{STAMP}\"]").as_bytes());
        assert_eq!(message.stamped(42, 900_001), b"43100001[\"00042:0000900001\"]");
    }

    #[test]
    fn a_stamped_frame_unmasks_to_the_stamped_payload() {
        let text = text_payload(64);
        let mut frame = Message::frame(Opcode::Text, text.as_bytes());
        let mut bytes = frame.stamped(7, 123).to_vec();
        bytes[1] &= 0x7f;
        let unmasked: Vec<u8> = bytes[6..].iter().zip(MASK_KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        bytes.splice(2.., unmasked);
        let (parsed, _) = parse(&bytes).unwrap().unwrap();
        assert_eq!(parsed.payload, Message::plain(text.as_bytes()).stamped(7, 123));
    }

    #[test]
    fn payloads_have_the_length_asked_for() {
        assert_eq!(text_payload(64).len(), 64);
        assert_eq!(binary_payload(1024).len(), 1024);
    }

    #[test]
    fn mismatch_tells_loss_duplication_and_cross_talk_apart() {
        let mut message = Message::plain(text_payload(64).as_bytes());
        let report = |got: &[u8]| mismatch(3, 3, 10, got).to_string();
        assert!(report(message.stamped(3, 11)).contains("lost or reordered: 11"));
        assert!(report(message.stamped(3, 9)).contains("duplicated or reordered: 9"));
        assert!(report(message.stamped(4, 10)).contains("message of client 4"));
        assert!(report(b"41").contains("altered or unexpected"));
    }
}
