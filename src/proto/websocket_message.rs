//! Messages out of WebSocket frames: fragments put together, text checked, close payloads read (RFC 6455 §5.4-5.6, §7.4).
//!
//! A message that came in one frame is borrowed, never copied. Memory is owned only while a fragmented message is open,
//! and never more of it than the limit on a message allows. The frames are [`super::websocket`]'s.

use std::borrow::Cow;

use super::websocket::{Frame, FrameError, Opcode};

/// A whole message, or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Text(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Close(Close<'a>),
}

/// The payload of a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// `None` for an empty payload, which is reported as 1005.
    pub code: Option<u16>,
    pub reason: &'a str,
}

/// Puts the fragments of one connection's messages together.
#[derive(Debug)]
pub struct Assembler {
    message_max: usize,
    /// The fragmented message that is open; boxed, since hardly any client sends one.
    open: Option<Box<Fragments>>,
}

#[derive(Debug)]
struct Fragments {
    is_text: bool,
    data: Vec<u8>,
}

impl Assembler {
    /// `message_max` is the longest message in bytes, fragmented or not.
    pub fn new(message_max: usize) -> Self {
        Self { message_max, open: None }
    }

    /// How many bytes the next data frame may have.
    pub fn room(&self) -> usize {
        self.message_max.saturating_sub(self.open.as_ref().map_or(0, |open| open.data.len()))
    }

    /// Takes a frame and its unmasked payload; `None` means that the message goes on.
    ///
    /// # Errors
    /// After an error the connection is to be closed: the assembler is not to be used again.
    pub fn accept<'a>(&mut self, frame: &Frame, payload: &'a [u8]) -> Result<Option<Message<'a>>, FrameError> {
        match frame.opcode {
            Opcode::Ping => return Ok(Some(Message::Ping(payload))),
            Opcode::Pong => return Ok(Some(Message::Pong(payload))),
            Opcode::Close => return parse_close(payload).map(|close| Some(Message::Close(close))),
            Opcode::Text | Opcode::Binary if self.open.is_some() => {
                return Err(FrameError::ExpectedContinuation);
            }
            _ if payload.len() > self.room() => return Err(FrameError::TooBig),
            Opcode::Continuation => return self.go_on(frame.fin, payload),
            Opcode::Text if frame.fin => {
                let text = simdutf8::basic::from_utf8(payload).map_err(|_| FrameError::InvalidUtf8)?;
                return Ok(Some(Message::Text(Cow::Borrowed(text))));
            }
            Opcode::Binary if frame.fin => {
                return Ok(Some(Message::Binary(Cow::Borrowed(payload))));
            }
            Opcode::Text | Opcode::Binary => {}
        }
        let is_text = frame.opcode == Opcode::Text;
        self.open = Some(Box::new(Fragments { is_text, data: payload.to_vec() }));
        Ok(None)
    }

    fn go_on<'a>(&mut self, fin: bool, payload: &[u8]) -> Result<Option<Message<'a>>, FrameError> {
        let mut open = self.open.take().ok_or(FrameError::UnexpectedContinuation)?;
        open.data.extend_from_slice(payload);
        if !fin {
            self.open = Some(open);
            return Ok(None);
        }
        if !open.is_text {
            return Ok(Some(Message::Binary(Cow::Owned(open.data))));
        }
        // A character may be cut by a fragment's end, so only the whole can be checked.
        let text = String::from_utf8(open.data).map_err(|_| FrameError::InvalidUtf8)?;
        Ok(Some(Message::Text(Cow::Owned(text))))
    }
}

/// Reads a close payload: nothing, or a code and a reason (RFC 6455 §5.5.1 and §7.4).
pub fn parse_close(payload: &[u8]) -> Result<Close<'_>, FrameError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        let close = Close { code: None, reason: "" };
        return if payload.is_empty() { Ok(close) } else { Err(FrameError::InvalidClose) };
    };
    let code = u16::from_be_bytes(*code);
    // 1004 is reserved; 1005, 1006 and 1015 only ever stand for a close frame that was not sent.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(FrameError::InvalidClose);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| FrameError::InvalidUtf8)?;
    Ok(Close { code: Some(code), reason })
}

#[cfg(test)]
mod tests {
    use super::super::websocket::tests::{client_frame, decode_whole};
    use super::*;

    /// Runs frames, each given by its first byte and payload, through an assembler.
    fn assemble(max: usize, frames: &[(u8, &[u8])]) -> Result<Vec<Message<'static>>, FrameError> {
        let (mut assembler, mut messages) = (Assembler::new(max), Vec::new());
        for (first, payload) in frames {
            let (frame, payload) = decode_whole(client_frame(*first, payload));
            let payload: &'static [u8] = payload.leak();
            messages.extend(assembler.accept(&frame, payload)?);
        }
        Ok(messages)
    }

    fn text(text: &str) -> Message<'_> {
        Message::Text(Cow::Borrowed(text))
    }

    #[test]
    fn fragments_make_a_message_and_control_frames_pass_between_them() {
        let messages =
            assemble(100, &[(0x01, b"4\xe2\x82"), (0x89, b"p"), (0x00, b""), (0x80, b"\xac!"), (0x82, b"x")]);
        assert_eq!(messages, Ok(vec![Message::Ping(b"p"), text("4€!"), Message::Binary(b"x".into())]));
        assert_eq!(assemble(9, &[(0x02, b"\xff"), (0x80, b"\xfe")]), Ok(vec![Message::Binary(b"\xff\xfe".into())]));
    }

    #[test]
    fn fragments_out_of_order_are_refused() {
        assert_eq!(assemble(9, &[(0x80, b"a")]), Err(FrameError::UnexpectedContinuation));
        assert_eq!(assemble(9, &[(0x01, b"a"), (0x81, b"b")]), Err(FrameError::ExpectedContinuation));
        assert_eq!(assemble(9, &[(0x01, b"a"), (0x80, b"b"), (0x80, b"c")]), Err(FrameError::UnexpectedContinuation));
    }

    #[test]
    fn a_message_is_bounded_over_all_of_its_fragments() {
        assert_eq!(assemble(4, &[(0x02, b"ab"), (0x00, b"cd"), (0x80, b"e")]), Err(FrameError::TooBig));
        assert!(assemble(4, &[(0x02, b"ab"), (0x80, b"cd"), (0x82, b"efgh")]).is_ok());
        assert_eq!(assemble(4, &[(0x82, b"abcde")]), Err(FrameError::TooBig));
    }

    #[test]
    fn the_room_shrinks_with_each_fragment() {
        let mut assembler = Assembler::new(10);
        let (frame, payload) = decode_whole(client_frame(0x02, b"abc"));
        assert_eq!(assembler.accept(&frame, &payload), Ok(None));
        assert_eq!(assembler.room(), 7);
    }

    #[test]
    fn text_must_be_utf8_as_a_whole() {
        assert_eq!(assemble(9, &[(0x81, b"\xff")]), Err(FrameError::InvalidUtf8));
        assert_eq!(assemble(9, &[(0x01, b"\xe2"), (0x80, b"a")]), Err(FrameError::InvalidUtf8));
        assert_eq!(assemble(9, &[(0x81, "é".as_bytes())]), Ok(vec![text("é")]));
    }

    #[test]
    fn close_payloads_are_checked() {
        assert_eq!(parse_close(b""), Ok(Close { code: None, reason: "" }));
        assert_eq!(parse_close(b"\x03\xe8bye"), Ok(Close { code: Some(1000), reason: "bye" }));
        assert_eq!(parse_close(b"\x03"), Err(FrameError::InvalidClose));
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert_eq!(parse_close(&code.to_be_bytes()), Err(FrameError::InvalidClose), "{code}");
        }
        for code in [1000u16, 1003, 1007, 1014, 3000, 4999] {
            assert_eq!(parse_close(&code.to_be_bytes()), Ok(Close { code: Some(code), reason: "" }));
        }
        assert_eq!(parse_close(b"\x03\xe8\xff"), Err(FrameError::InvalidUtf8));
    }
}
