//! The body of one request, by length or in chunks (RFC 9112 sections 6 and 7).
//!
//! The decoder keeps numbers only, no bytes: what it does not consume (half of a chunk's size line, or the next request of
//! a pipeline) stays with the caller, who hands it in again with more after it.
//!
//! Invariant: no byte of a body beyond the caller's limit is ever copied, and the parts of chunked coding that carry no
//! data are bounded for the whole body.

use super::BodyKind;
use httparse::{Status, parse_chunk_size};
use std::fmt;

/// The longest line before a chunk: 16 hex digits and an extension that nobody sends.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Bytes of chunk extensions and trailers in one body, together: Node's bound for extensions.
const CHUNK_EXTRA_BYTES_MAX: usize = 16 * 1024;

/// Why a body is refused. The connection cannot be used afterwards: where the next request begins is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than the caller's limit; nothing beyond the limit was stored.
    TooLarge,
    /// Not chunked coding, or more extensions and trailers than anyone needs.
    Malformed,
}

impl BodyError {
    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        match self {
            BodyError::TooLarge => 413,
            BodyError::Malformed => 400,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::TooLarge => "request body too large",
            BodyError::Malformed => "malformed chunked body",
        })
    }
}

impl std::error::Error for BodyError {}

/// What one call of [`BodyDecoder::feed`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes at the start of the input are done with.
    pub consumed: usize,
    /// Whether the body is complete; the rest of the input belongs to the next request.
    pub done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes of a body of known length are to come.
    Length(u64),
    /// At the line before a chunk.
    ChunkSize,
    /// So many bytes of a chunk are to come.
    ChunkData(u64),
    /// At the CRLF after a chunk.
    ChunkEnd,
    /// At a trailer line or the empty line that ends the body.
    Trailer,
    Done,
}

/// Reads one body from input that arrives in pieces.
#[derive(Debug, Clone)]
pub struct BodyDecoder {
    state: State,
    /// Body bytes stored so far.
    received: u64,
    /// What is left of [`CHUNK_EXTRA_BYTES_MAX`].
    extra_left: usize,
}

impl BodyDecoder {
    /// A decoder for the body that follows a head of this kind.
    pub fn new(kind: BodyKind) -> BodyDecoder {
        let state = match kind {
            BodyKind::None | BodyKind::Length(0) => State::Done,
            BodyKind::Length(length) => State::Length(length),
            BodyKind::Chunked => State::ChunkSize,
        };
        BodyDecoder { state, received: 0, extra_left: CHUNK_EXTRA_BYTES_MAX }
    }

    /// The whole body, if its length is known, no part of it was fed yet, and `input` begins with all of it. The caller
    /// then uses the slice in place of `feed`, checks it against its limit, and drops the decoder.
    pub fn whole<'a>(&self, input: &'a [u8]) -> Option<&'a [u8]> {
        match self.state {
            State::Done if self.received == 0 => Some(&[]),
            State::Length(length) if self.received == 0 => input.get(..usize::try_from(length).ok()?),
            _ => None,
        }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Appends the next part of the body to `out`; `max` bounds the whole body in bytes, not this call.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] as soon as the announced length or a chunk's announced size passes `max`, before any of it is
    /// stored; [`BodyError::Malformed`] if the chunked coding is broken.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>, max: usize) -> Result<Progress, BodyError> {
        let mut rest = input;
        loop {
            let before = (rest.len(), self.state);
            rest = match self.state {
                State::Length(left) | State::ChunkData(left) => self.take_data(left, rest, out, max)?,
                State::ChunkSize => self.take_size(rest)?,
                State::ChunkEnd => self.take_chunk_end(rest)?,
                State::Trailer => self.take_trailer(rest)?,
                State::Done => rest,
            };
            if before == (rest.len(), self.state) {
                return Ok(Progress { consumed: input.len() - rest.len(), done: self.is_done() });
            }
        }
    }

    fn take_data<'a>(
        &mut self,
        left: u64,
        input: &'a [u8],
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<&'a [u8], BodyError> {
        if self.received.checked_add(left).is_none_or(|total| total > max as u64) {
            return Err(BodyError::TooLarge);
        }
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let (data, rest) = input.split_at_checked(len).unwrap_or((input, &[]));
        out.extend_from_slice(data);
        self.received += data.len() as u64;
        let left = left - data.len() as u64;
        self.state = match self.state {
            State::Length(_) if left == 0 => State::Done,
            State::Length(_) => State::Length(left),
            _ if left == 0 => State::ChunkEnd,
            _ => State::ChunkData(left),
        };
        Ok(rest)
    }

    fn take_size<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], BodyError> {
        // httparse takes a line without digits for a size of 0.
        if input.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
            return Err(BodyError::Malformed);
        }
        match parse_chunk_size(input) {
            Err(_) => Err(BodyError::Malformed),
            Ok(Status::Partial) if input.len() > CHUNK_LINE_BYTES_MAX => Err(BodyError::Malformed),
            Ok(Status::Partial) => Ok(input),
            Ok(Status::Complete((len, size))) => {
                let (line, rest) = input.split_at_checked(len).unwrap_or((input, &[]));
                // httparse skips control characters in extensions; a bare LF there ends the line for other servers.
                if len > CHUNK_LINE_BYTES_MAX || line.iter().filter(|byte| byte.is_ascii_control()).count() != 2 {
                    return Err(BodyError::Malformed);
                }
                let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                self.spend(len - 2 - digits)?;
                self.state = if size == 0 { State::Trailer } else { State::ChunkData(size) };
                Ok(rest)
            }
        }
    }

    fn take_chunk_end<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], BodyError> {
        match input {
            [b'\r', b'\n', rest @ ..] => {
                self.state = State::ChunkSize;
                Ok(rest)
            }
            [] | [b'\r'] => Ok(input),
            _ => Err(BodyError::Malformed),
        }
    }

    fn take_trailer<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], BodyError> {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            // The line that ends the body costs nothing, be it that half of it came.
            let too_long = input.len() > self.extra_left && input != b"\r";
            return if too_long { Err(BodyError::Malformed) } else { Ok(input) };
        };
        let (line, rest) = input.split_at_checked(end + 1).unwrap_or((input, &[]));
        match line {
            [b'\r', b'\n'] => self.state = State::Done,
            [.., b'\r', b'\n'] => self.spend(line.len())?,
            _ => return Err(BodyError::Malformed),
        }
        Ok(rest)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.extra_left = self.extra_left.checked_sub(bytes).ok_or(BodyError::Malformed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1000;

    /// Feeds `input` in pieces of `step` bytes, as a connection would, and gives the body and what was left over.
    fn decode(kind: BodyKind, input: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, BodyError> {
        let mut decoder = BodyDecoder::new(kind);
        let (mut body, mut start, mut end) = (Vec::new(), 0, 0);
        loop {
            end = (end + step).min(input.len());
            let progress = decoder.feed(&input[start..end], &mut body, MAX)?;
            start += progress.consumed;
            if progress.done {
                return Ok(Some((body, input.len() - start)));
            }
            if end == input.len() {
                return Ok(None);
            }
        }
    }

    fn chunked(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, BodyError> {
        let whole = decode(BodyKind::Chunked, input, usize::MAX / 2);
        let bytewise = decode(BodyKind::Chunked, input, 1);
        assert_eq!(whole, bytewise, "pieces change the result");
        whole
    }

    #[test]
    fn a_body_of_known_length_ends_where_the_next_request_begins() {
        for step in [1, 2, 100] {
            assert_eq!(decode(BodyKind::Length(4), b"bodyGET /", step).unwrap().unwrap().0, b"body");
        }
        assert_eq!(decode(BodyKind::Length(4), b"bodyGET /", 100).unwrap().unwrap().1, 5);
        assert_eq!(decode(BodyKind::None, b"GET /", 100).unwrap(), Some((vec![], 5)));
        assert_eq!(decode(BodyKind::Length(4), b"bod", 1).unwrap(), None);
    }

    #[test]
    fn a_complete_body_is_borrowed() {
        assert_eq!(BodyDecoder::new(BodyKind::Length(4)).whole(b"bodyGET"), Some(&b"body"[..]));
        assert_eq!(BodyDecoder::new(BodyKind::None).whole(b"GET"), Some(&b""[..]));
        assert_eq!(BodyDecoder::new(BodyKind::Length(4)).whole(b"bod"), None);
        assert_eq!(BodyDecoder::new(BodyKind::Chunked).whole(b"0\r\n\r\n"), None);
    }

    #[test]
    fn a_body_over_the_limit_is_refused_before_it_is_stored() {
        let mut out = Vec::new();
        let mut decoder = BodyDecoder::new(BodyKind::Length(MAX as u64 + 1));
        assert_eq!(decoder.feed(&[b'x'; 10], &mut out, MAX), Err(BodyError::TooLarge));
        assert!(out.is_empty());
        let mut decoder = BodyDecoder::new(BodyKind::Chunked);
        assert_eq!(decoder.feed(b"3\r\nabc\r\nffffffffffffffff\r\nx", &mut out, MAX), Err(BodyError::TooLarge));
        assert_eq!(out, b"abc");
        assert!(decode(BodyKind::Length(MAX as u64), &[b'x'; MAX], 7).unwrap().is_some());
    }

    #[test]
    fn chunks_are_joined_and_extensions_and_trailers_skipped() {
        let input = b"4\r\nWiki\r\nA ; name=\"v\"\r\n0123456789\r\n0\r\nX: y\r\nZ: w\r\n\r\nGET";
        assert_eq!(chunked(input).unwrap(), Some((b"Wiki0123456789".to_vec(), 3)));
        assert_eq!(chunked(b"0\r\n\r\n").unwrap(), Some((vec![], 0)));
        assert_eq!(chunked(b"4\r\nWi").unwrap(), None);
    }

    #[test]
    fn broken_chunks_are_refused() {
        let cases: [&[u8]; 11] = [
            b"\r\n\r\n",
            b";x\r\n\r\n",
            b"x\r\n",
            b" 4\r\nWiki\r\n",
            b"-4\r\nWiki\r\n",
            b"0x4\r\nWiki\r\n",
            b"4\nWiki\r\n",
            b"4;a\nb\r\nWiki\r\n",
            b"4\r\nWikiX\r\n",
            b"0\r\nX: y\n\r\n",
            b"11111111111111111\r\n",
        ];
        for case in cases {
            assert_eq!(chunked(case), Err(BodyError::Malformed), "{}", case.escape_ascii());
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long_line = [b"1;".to_vec(), vec![b'x'; CHUNK_LINE_BYTES_MAX]].concat();
        assert_eq!(chunked(&long_line), Err(BodyError::Malformed));
        let many_extensions = [b"1;".to_vec(), vec![b'x'; 200], b"\r\nz\r\n".to_vec()].concat().repeat(90);
        assert_eq!(chunked(&many_extensions), Err(BodyError::Malformed));
        let trailers = [b"0\r\n".to_vec(), b"X: yyyyyyyyyyyyyy\r\n".repeat(1000)].concat();
        assert_eq!(chunked(&trailers), Err(BodyError::Malformed));
        let all_that_may_be =
            [b"0\r\nX: ".to_vec(), vec![b'y'; CHUNK_EXTRA_BYTES_MAX - 5], b"\r\n\r\n".to_vec()].concat();
        assert_eq!(chunked(&all_that_may_be), Ok(Some((vec![], 0))));
        let endless_trailer = [b"0\r\n".to_vec(), vec![b'x'; CHUNK_EXTRA_BYTES_MAX + 1]].concat();
        assert_eq!(chunked(&endless_trailer), Err(BodyError::Malformed));
    }
}
