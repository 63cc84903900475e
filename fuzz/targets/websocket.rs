//! WebSocket frames and the messages in them: bytes that come one by one, in any pieces or at once give the same messages and
//! the same end, and what is held never passes the limit on a message.
//!
//! The input: the limit in two bytes, the size of pieces in one, then the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye::proto::websocket::{Assembler, FrameError, Message, Opcode, Step, decode, header_len, write_header};
use sockeye_fuzz::{SLACK, bounded, byte, short};

#[derive(Debug, PartialEq)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Failed(FrameError),
}

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let (message_max, piece) = (short(&mut data), usize::from(byte(&mut data)).max(1));
    let at_once = hear(data, message_max, data.len().max(1));
    assert_eq!(hear(data, message_max, piece), at_once);
    if data.len() <= 256 {
        assert_eq!(hear(data, message_max, 1), at_once);
    }
    for heard in &at_once {
        match heard {
            Heard::Text(text) => {
                assert!(text.len() <= message_max);
                echo(Opcode::Text, text.as_bytes());
            }
            Heard::Binary(data) => {
                assert!(data.len() <= message_max);
                echo(Opcode::Binary, data);
            }
            Heard::Ping(data) | Heard::Pong(data) => assert!(data.len() <= 125),
            Heard::Close(code, reason) => assert!(reason.len() <= 123 && *code != Some(1005)),
            Heard::Failed(error) => assert!([1002, 1007, 1009].contains(&error.close_code())),
        }
    }
});

fn hear(stream: &[u8], message_max: usize, piece: usize) -> Vec<Heard> {
    let mut heard = Vec::new();
    let mut assembler = Assembler::new(message_max);
    let mut buffer: Vec<u8> = Vec::new();
    for bytes in stream.chunks(piece) {
        buffer.extend_from_slice(bytes);
        let mut used = 0;
        while used < buffer.len() {
            match one(&mut buffer[used..], &mut assembler, message_max) {
                Ok(Some((consumed, message))) => {
                    used += consumed;
                    heard.extend(message);
                }
                Ok(None) => break,
                Err(error) => {
                    heard.push(Heard::Failed(error));
                    return heard;
                }
            }
        }
        buffer.drain(..used);
    }
    heard
}

/// One frame off the front: how long it was, and the message that it completed.
fn one(
    buffer: &mut [u8],
    assembler: &mut Assembler,
    message_max: usize,
) -> Result<Option<(usize, Option<Heard>)>, FrameError> {
    let before = buffer.to_vec();
    let frame = match bounded(SLACK, || decode(buffer, assembler.room()))? {
        Step::Frame(frame) => frame,
        Step::NeedMore { total } => {
            assert_eq!(buffer, before, "an incomplete frame is left alone");
            assert!(total.is_none_or(|total| total > buffer.len()));
            return Ok(None);
        }
    };
    assert_eq!(frame.payload.end, frame.consumed);
    // A message that is put together is held by a vector that doubles, once more while it grows.
    let message = bounded(SLACK + 3 * message_max, || assembler.accept(&frame, &buffer[frame.payload.clone()]))?;
    let heard = message.map(|message| match message {
        Message::Text(text) => Heard::Text(text.into_owned()),
        Message::Binary(data) => Heard::Binary(data.into_owned()),
        Message::Ping(data) => Heard::Ping(data.to_vec()),
        Message::Pong(data) => Heard::Pong(data.to_vec()),
        Message::Close(close) => Heard::Close(close.code, close.reason.to_owned()),
    });
    Ok(Some((frame.consumed, heard)))
}

/// Our own header, made a client's by a mask of zeros, decodes to the same payload.
fn echo(opcode: Opcode, payload: &[u8]) {
    let mut frame = Vec::new();
    write_header(opcode, payload.len(), &mut frame);
    assert_eq!(frame.len(), header_len(payload.len()));
    frame[1] |= 0x80;
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    let mut assembler = Assembler::new(payload.len());
    let (consumed, message) = one(&mut frame, &mut assembler, payload.len()).expect("our frame").expect("a whole one");
    assert_eq!(consumed, frame.len());
    let expected = match opcode {
        Opcode::Text => Heard::Text(String::from_utf8_lossy(payload).into_owned()),
        _ => Heard::Binary(payload.to_vec()),
    };
    assert_eq!(message, Some(expected));
}
