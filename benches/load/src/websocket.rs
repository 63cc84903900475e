//! The client half of WebSocket framing, RFC 6455, as far as the benchmark needs it: whole unfragmented messages.
//!
//! [`deliver`] also answers the heartbeats of both layers, so scenarios see Socket.IO packets only.

use crate::failure::Failure;
use crate::net::Outbox;

/// RFC 6455 demands a new key for each frame; servers cannot tell, and a fixed one lets frames be built beforehand.
/// It is not zero, so that unmasking is honest work.
pub const MASK_KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const LENGTH_16_BITS: u8 = 126;
const LENGTH_64_BITS: u8 = 127;
/// Lengths below it fit in the second header byte (RFC 6455, section 5.2).
const SHORT_LENGTH_END: usize = 126;

/// Frame types (RFC 6455, section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn from_header(first_byte: u8) -> Option<Self> {
        [Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong]
            .into_iter()
            .find(|opcode| FIN | *opcode as u8 == first_byte)
    }
}

/// A frame of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub opcode: Opcode,
    pub payload: &'a [u8],
}

/// Builds a masked frame and returns it with the offset of its payload. `payload` is at most 65535 bytes.
pub fn masked_frame(opcode: Opcode, payload: &[u8]) -> (Vec<u8>, usize) {
    let mut frame = vec![FIN | opcode as u8];
    if payload.len() < SHORT_LENGTH_END {
        frame.push(MASKED | payload.len() as u8);
    } else {
        let length = u16::try_from(payload.len()).expect("benchmark payloads are short");
        frame.push(MASKED | LENGTH_16_BITS);
        frame.extend_from_slice(&length.to_be_bytes());
    }
    frame.extend_from_slice(&MASK_KEY);
    let payload_at = frame.len();
    let masked = payload.iter().zip(MASK_KEY.iter().cycle());
    frame.extend(masked.map(|(byte, key)| byte ^ key));
    (frame, payload_at)
}

/// The frame at the front of `data` and its length on the wire, or `None` if it is not complete.
pub fn parse(data: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let &[first, second, ..] = data else {
        return Ok(None);
    };
    let opcode =
        Opcode::from_header(first).ok_or_else(|| format!("unexpected frame header {first:02x} {second:02x}"))?;
    let (header, length) = match second {
        LENGTH_16_BITS => match data.get(2..4) {
            Some(&[high, low]) => (4, usize::from(u16::from_be_bytes([high, low]))),
            _ => return Ok(None),
        },
        LENGTH_64_BITS.. => return Err("frame over 65535 bytes, or masked".to_owned()),
        short => (2, usize::from(short)),
    };
    let end = header + length;
    Ok(data.get(header..end).map(|payload| (Frame { opcode, payload }, end)))
}

/// Hands each whole Socket.IO message in `data` to `message`, answers pings, and returns the bytes taken.
pub fn deliver(
    id: usize,
    data: &[u8],
    out: &mut Outbox,
    mut message: impl FnMut(Frame<'_>, &mut Outbox) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let mut taken = 0;
    let broken = |what: String| Failure::Violation(format!("connection {id}: {what}"));
    while let Some((frame, length)) = parse(&data[taken..]).map_err(broken)? {
        taken += length;
        match (frame.opcode, frame.payload) {
            (Opcode::Text, b"2") => out.push(id, &masked_frame(Opcode::Text, b"3").0),
            (Opcode::Text | Opcode::Binary, _) => message(frame, out)?,
            (Opcode::Ping, payload) => out.push(id, &masked_frame(Opcode::Pong, payload).0),
            (Opcode::Pong, _) => {}
            (Opcode::Close, _) => return Err(broken("close frame from the server".to_owned())),
        }
    }
    Ok(taken)
}

/// The frames in `data`, which a client wrote, as an honest echo server sends them back.
#[cfg(test)]
pub fn echoed(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let &[first, second, ..] = data {
        let extended = if second & !MASKED == LENGTH_16_BITS { 2 } else { 0 };
        let length = match extended {
            0 => usize::from(second & !MASKED),
            _ => usize::from(u16::from_be_bytes([data[2], data[3]])),
        };
        let payload_at = 2 + extended + MASK_KEY.len();
        let end = payload_at + length;
        let mut frame = vec![first, second & !MASKED];
        frame.extend_from_slice(&data[2..2 + extended]);
        let masked = data[payload_at..end].iter().zip(MASK_KEY.iter().cycle());
        frame.extend(masked.map(|(byte, key)| byte ^ key));
        frames.push(frame);
        data = &data[end..];
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_frame_carries_the_payload_xor_the_key() {
        let (frame, payload_at) = masked_frame(Opcode::Text, b"2probe");
        assert_eq!(frame[..2], [0x81, 0x86]);
        assert_eq!(frame[2..payload_at], MASK_KEY);
        let plain: Vec<u8> = (0..6).map(|i| frame[payload_at + i] ^ MASK_KEY[i % 4]).collect();
        assert_eq!(plain, b"2probe");
    }

    #[test]
    fn parse_waits_for_the_whole_frame() {
        let whole = [0x81, 0x02, b'4', b'0'];
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), Ok(None));
        }
        let frame = Frame { opcode: Opcode::Text, payload: b"40" };
        assert_eq!(parse(&whole), Ok(Some((frame, 4))));
    }

    #[test]
    fn parse_reads_sixteen_bit_lengths() {
        let mut data = vec![0x82, 126, 0x04, 0x00];
        data.resize(4 + 1024, 7);
        let (frame, length) = parse(&data).unwrap().unwrap();
        assert_eq!((frame.payload.len(), length), (1024, 1028));
    }

    #[test]
    fn parse_refuses_a_masked_server_frame() {
        assert!(parse(&[0x81, 0x81, 0, 0, 0, 0, b'2']).is_err());
    }
}
