//! The server's side of RFC 6455 frames, under buffers that belong to the caller.
//!
//! Header bytes are read and written by tungstenite's frame-level API; its stream type is not used, because it would own
//! a read buffer for each connection. [`decode`] takes one frame at a time out of whatever buffer the bytes are in and
//! unmasks its payload there; [`Assembler`] turns the frames into messages.
//!
//! Every limit is checked on the declared length, before the payload has come. Extensions are not spoken: a reserved
//! bit is an error. What is answered to a ping or a close is the caller's to send.

use std::fmt;
use std::io::Cursor;
use std::ops::Range;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

pub use super::websocket_message::{Assembler, Close, Message, parse_close};

/// The longest payload of a control frame (RFC 6455 §5.5).
pub const CONTROL_PAYLOAD_MAX: usize = 125;

/// What a frame is, without the values that RFC 6455 reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    /// Control frames may stand between the fragments of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn from_wire(code: OpCode) -> Option<Self> {
        Some(match code {
            OpCode::Data(Data::Continue) => Self::Continuation,
            OpCode::Data(Data::Text) => Self::Text,
            OpCode::Data(Data::Binary) => Self::Binary,
            OpCode::Control(Control::Close) => Self::Close,
            OpCode::Control(Control::Ping) => Self::Ping,
            OpCode::Control(Control::Pong) => Self::Pong,
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => return None,
        })
    }

    fn to_wire(self) -> OpCode {
        match self {
            Self::Continuation => OpCode::Data(Data::Continue),
            Self::Text => OpCode::Data(Data::Text),
            Self::Binary => OpCode::Data(Data::Binary),
            Self::Close => OpCode::Control(Control::Close),
            Self::Ping => OpCode::Control(Control::Ping),
            Self::Pong => OpCode::Control(Control::Pong),
        }
    }
}

/// A violation by the peer; [`FrameError::close_code`] is what to close with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A client must mask every frame.
    Unmasked,
    ReservedBits,
    UnknownOpcode,
    ControlTooLong,
    ControlFragmented,
    /// The frame, or the message it continues, is longer than the limit.
    TooBig,
    /// A continuation frame while no message is open.
    UnexpectedContinuation,
    /// A new message while a fragmented one is open.
    ExpectedContinuation,
    InvalidUtf8,
    /// A close payload of one byte, or with a code that may not be sent.
    InvalidClose,
}

impl FrameError {
    /// The close code of RFC 6455 §7.4.1: 1002 protocol error, 1007 invalid data, 1009 too big.
    pub fn close_code(self) -> u16 {
        match self {
            Self::TooBig => 1009,
            Self::InvalidUtf8 => 1007,
            _ => 1002,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unmasked => "a frame is not masked",
            Self::ReservedBits => "a reserved bit is set",
            Self::UnknownOpcode => "the opcode is unknown",
            Self::ControlTooLong => "a control frame is longer than 125 bytes",
            Self::ControlFragmented => "a control frame is fragmented",
            Self::TooBig => "Max payload size exceeded",
            Self::UnexpectedContinuation => "a continuation frame continues nothing",
            Self::ExpectedContinuation => "a message starts inside a fragmented one",
            Self::InvalidUtf8 => "text is not UTF-8",
            Self::InvalidClose => "a close frame is malformed",
        })
    }
}

impl std::error::Error for FrameError {}

/// One frame; its payload lies unmasked in the buffer that was decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: Opcode,
    /// Whether the message ends here.
    pub fin: bool,
    /// Where the payload is in the buffer.
    pub payload: Range<usize>,
    /// How many bytes of the buffer the frame took; the next frame starts there.
    pub consumed: usize,
}

/// What [`decode`] made of the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Frame(Frame),
    /// The frame is not complete. `total` is how many bytes it takes from the start of the buffer, once the header is in.
    NeedMore {
        total: Option<usize>,
    },
}

/// Decodes the frame at the start of `buf` and unmasks its payload in place.
///
/// `payload_max` is the longest payload that a data frame may have, normally [`Assembler::room`]. A buffer that holds no
/// complete frame is left untouched. A frame must not be decoded twice.
pub fn decode(buf: &mut [u8], payload_max: usize) -> Result<Step, FrameError> {
    if let Some(frame) = decode_short(buf, payload_max) {
        return Ok(Step::Frame(frame));
    }
    let mut cursor = Cursor::new(&*buf);
    let (header, len) = match FrameHeader::parse(&mut cursor) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Ok(Step::NeedMore { total: None }),
        // Reading from a slice does not fail, so this is the one error that parsing can give.
        Err(_) => return Err(FrameError::UnknownOpcode),
    };
    let header_len = cursor.position() as usize;
    let (opcode, mask, len) = check_header(&header, len, payload_max)?;
    let total = header_len.saturating_add(len);
    let payload = header_len..total;
    let Some(bytes) = buf.get_mut(payload.clone()) else {
        return Ok(Step::NeedMore { total: Some(total) });
    };
    unmask(bytes, mask);
    Ok(Step::Frame(Frame { opcode, fin: header.is_final, payload, consumed: total }))
}

/// Nearly every frame of a client: a whole message of up to 125 bytes. Of the 17 ns that decoding one took, the library's header
/// parser took 9; all else, and whatever is wrong, is left to it.
fn decode_short(buf: &mut [u8], payload_max: usize) -> Option<Frame> {
    let [first, second, a, b, c, d, ..] = *buf else { return None };
    let opcode = match first {
        0x81 => Opcode::Text,
        0x82 => Opcode::Binary,
        _ => return None,
    };
    // With the mask bit set, as a client must.
    let len = usize::from(second.checked_sub(0x80)?);
    let payload = 6..6 + len;
    if len > CONTROL_PAYLOAD_MAX || len > payload_max {
        return None;
    }
    unmask(buf.get_mut(payload.clone())?, [a, b, c, d]);
    Some(Frame { opcode, fin: true, consumed: payload.end, payload })
}

fn check_header(header: &FrameHeader, len: u64, payload_max: usize) -> Result<(Opcode, [u8; 4], usize), FrameError> {
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(FrameError::ReservedBits);
    }
    let opcode = Opcode::from_wire(header.opcode).ok_or(FrameError::UnknownOpcode)?;
    let mask = header.mask.ok_or(FrameError::Unmasked)?;
    let len = usize::try_from(len).map_err(|_| FrameError::TooBig)?;
    if !opcode.is_control() {
        return if len > payload_max { Err(FrameError::TooBig) } else { Ok((opcode, mask, len)) };
    }
    if len > CONTROL_PAYLOAD_MAX {
        return Err(FrameError::ControlTooLong);
    }
    if !header.is_final {
        return Err(FrameError::ControlFragmented);
    }
    Ok((opcode, mask, len))
}

/// Takes the mask off, eight bytes at a time, which the compiler widens to the machine's vectors.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends the header of an unmasked, unfragmented frame with `len` payload bytes.
pub fn write_header(opcode: Opcode, len: usize, out: &mut Vec<u8>) {
    let written = wire_header(opcode).format(len as u64, out);
    debug_assert!(written.is_ok(), "a Vec takes every write");
}

/// How many bytes [`write_header`] appends: 2, 4 or 10.
pub fn header_len(len: usize) -> usize {
    wire_header(Opcode::Binary).len(len as u64)
}

fn wire_header(opcode: Opcode) -> FrameHeader {
    FrameHeader { opcode: opcode.to_wire(), ..FrameHeader::default() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::testing::Random;
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// A client's frame, built from the RFC and not by the code under test.
    pub(in super::super) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..=125 => frame.push(0x80 | len as u8),
            len @ 126..=0xffff => frame.extend([&[0xfe], &(len as u16).to_be_bytes()[..]].concat()),
            len => frame.extend([&[0xff], &(len as u64).to_be_bytes()[..]].concat()),
        }
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    pub(in super::super) fn decode_whole(mut bytes: Vec<u8>) -> (Frame, Vec<u8>) {
        match decode(&mut bytes, 1 << 20) {
            Ok(Step::Frame(frame)) => {
                let payload = bytes[frame.payload.clone()].to_vec();
                (frame, payload)
            }
            other => panic!("{other:?}"),
        }
    }

    fn refusal(bytes: &[u8]) -> FrameError {
        decode(&mut bytes.to_vec(), 1000).unwrap_err()
    }

    #[test]
    fn the_example_of_the_rfc_decodes() {
        // RFC 6455 §5.7: a masked text message.
        let (frame, payload) = decode_whole(vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(frame, Frame { opcode: Opcode::Text, fin: true, payload: 6..11, consumed: 11 });
        assert_eq!(payload, b"Hello");
    }

    #[test]
    fn every_length_form_decodes() {
        let mut random = Random::new(8);
        for len in (0..70).chain([125, 126, 127, 0xffff, 0x10000]) {
            let bytes = random.bytes(len);
            let (frame, payload) = decode_whole(client_frame(0x82, &bytes));
            assert_eq!(payload, bytes);
            assert_eq!(frame.consumed, frame.payload.end);
        }
    }

    #[test]
    fn an_incomplete_frame_is_left_alone_and_tells_its_length() {
        let whole = client_frame(0x82, &[7; 300]);
        for len in 0..whole.len() {
            let mut part = whole[..len].to_vec();
            let total = (len >= 8).then_some(308);
            assert_eq!(decode(&mut part, 300), Ok(Step::NeedMore { total }));
            assert_eq!(part, whole[..len]);
        }
    }

    #[test]
    fn frames_that_break_the_rules_are_refused() {
        assert_eq!(refusal(&[0x81, 0x01, b'a']), FrameError::Unmasked);
        for first in [0xc1, 0xa1, 0x91] {
            assert_eq!(refusal(&client_frame(first, b"a")), FrameError::ReservedBits);
        }
        for first in [0x83, 0x87, 0x8b, 0x8f] {
            assert_eq!(refusal(&client_frame(first, b"a")), FrameError::UnknownOpcode);
        }
        assert_eq!(refusal(&client_frame(0x89, &[0; 126])), FrameError::ControlTooLong);
        assert_eq!(refusal(&client_frame(0x09, b"")), FrameError::ControlFragmented);
        assert_eq!(refusal(&client_frame(0x08, b"")), FrameError::ControlFragmented);
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_by_its_header() {
        let frame = client_frame(0x82, &[0; 1001]);
        assert_eq!(refusal(&frame[..8]), FrameError::TooBig);
        let mut huge = vec![0x82, 0xff];
        huge.extend(u64::MAX.to_be_bytes());
        huge.extend(MASK);
        assert_eq!(refusal(&huge), FrameError::TooBig);
        assert!(decode(&mut client_frame(0x82, &[0; 1000]), 1000).is_ok());
    }

    #[test]
    fn a_control_frame_needs_no_room() {
        assert!(matches!(decode(&mut client_frame(0x89, b"hi"), 0), Ok(Step::Frame(_))));
    }

    #[test]
    fn violations_have_their_close_codes() {
        assert_eq!(FrameError::Unmasked.close_code(), 1002);
        assert_eq!(FrameError::InvalidUtf8.close_code(), 1007);
        assert_eq!(FrameError::TooBig.close_code(), 1009);
    }

    #[test]
    fn headers_are_minimal_and_unmasked() {
        let cases: [(Opcode, usize, &[u8]); 6] = [
            (Opcode::Text, 5, b"\x81\x05"),
            (Opcode::Binary, 125, b"\x82\x7d"),
            (Opcode::Text, 126, b"\x81\x7e\x00\x7e"),
            (Opcode::Text, 0xffff, b"\x81\x7e\xff\xff"),
            (Opcode::Text, 0x10000, b"\x81\x7f\0\0\0\0\0\x01\0\0"),
            (Opcode::Close, 0, b"\x88\x00"),
        ];
        for (opcode, len, header) in cases {
            let mut out = Vec::new();
            write_header(opcode, len, &mut out);
            assert_eq!(out, header);
            assert_eq!(header_len(len), header.len());
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic() {
        let mut random = Random::new(9);
        let mut assembler = Assembler::new(64);
        for _ in 0..50_000 {
            let len = random.below(24);
            let mut bytes = random.bytes(len);
            if let Ok(Step::Frame(frame)) = decode(&mut bytes, assembler.room())
                && assembler.accept(&frame, &bytes[frame.payload.clone()]).is_err()
            {
                assembler = Assembler::new(64);
            }
        }
    }
}
