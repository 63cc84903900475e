//! What the headers of a request say about its connection and its body (RFC 9112 sections 6, 7 and 9).
//!
//! Two servers in a row that disagree about where a body ends let a peer smuggle a request past the first one. Here every
//! doubt is a refusal: nothing is repaired, and no header takes precedence over another.

use super::HttpError;

/// How the end of the request's body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// The request has no body.
    None,
    /// The body has this many bytes.
    Length(u64),
    /// The body comes in chunks.
    Chunked,
}

/// A bare LF ends a line for some servers and not for others, so one in the head is refused (httparse lets it pass).
pub(super) fn has_bare_lf(bytes: &[u8]) -> bool {
    let lf = bytes.iter().filter(|byte| **byte == b'\n').count();
    let crlf = bytes.iter().zip(bytes.iter().skip(1)).filter(|pair| *pair == (&b'\r', &b'\n')).count();
    lf != crlf
}

/// What the headers say about the connection and the body, gathered in one pass.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) hosts: usize,
    length: Option<u64>,
    codings: usize,
    chunked: usize,
    chunked_last: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    pub(super) websocket: bool,
    pub(super) expects_continue: bool,
    /// It expects something that nobody knows.
    pub(super) expects_other: bool,
}

impl Facts {
    /// Takes one header line into account.
    pub(super) fn note(&mut self, name: &str, value: &[u8]) -> Result<(), HttpError> {
        let is = |field: &str| name.eq_ignore_ascii_case(field);
        match name.len() {
            4 if is("host") => self.hosts += 1,
            6 if is("expect") => self.note_expectation(value),
            7 if is("upgrade") => self.websocket |= tokens(value).any(|t| t.eq_ignore_ascii_case(b"websocket")),
            10 if is("connection") => self.note_connection(value),
            14 if is("content-length") => self.note_length(value)?,
            17 if is("transfer-encoding") => self.note_coding(value),
            _ => {}
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) {
        for token in tokens(value) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn note_expectation(&mut self, value: &[u8]) {
        for token in tokens(value).filter(|token| !token.is_empty()) {
            let known = token.eq_ignore_ascii_case(b"100-continue");
            self.expects_continue |= known;
            self.expects_other |= !known;
        }
    }

    fn note_length(&mut self, value: &[u8]) -> Result<(), HttpError> {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(HttpError::bad("malformed Content-Length"));
        }
        let length = std::str::from_utf8(value)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or(HttpError::bad("Content-Length out of range"))?;
        if self.length.replace(length).is_some() {
            return Err(HttpError::bad("more than one Content-Length"));
        }
        Ok(())
    }

    fn note_coding(&mut self, value: &[u8]) {
        for token in tokens(value) {
            self.codings += 1;
            self.chunked_last = token.eq_ignore_ascii_case(b"chunked");
            self.chunked += usize::from(self.chunked_last);
        }
    }

    /// How the body ends, once all lines are noted.
    pub(super) fn body(&self, http_1_1: bool) -> Result<BodyKind, HttpError> {
        if self.codings == 0 {
            return Ok(self.length.map_or(BodyKind::None, BodyKind::Length));
        }
        if self.length.is_some() {
            return Err(HttpError::bad("both Content-Length and Transfer-Encoding"));
        }
        if !http_1_1 {
            return Err(HttpError::bad("Transfer-Encoding in HTTP/1.0"));
        }
        match (self.codings, self.chunked, self.chunked_last) {
            (1, 1, true) => Ok(BodyKind::Chunked),
            (_, 0, _) | (_, 1, true) => Err(HttpError { status: 501, reason: "transfer coding not supported" }),
            _ => Err(HttpError::bad("chunked is not the final transfer coding")),
        }
    }
}

/// The members of a comma-separated list, without the white space around them.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::super::{Head, HeadLimits, parse_head};
    use super::*;

    fn parse(text: &str) -> Result<Head, HttpError> {
        parse_head(text.as_bytes(), &HeadLimits::default()).map(|parsed| parsed.unwrap().0)
    }

    /// A request with these header lines after its Host.
    fn with(lines: &str) -> Result<Head, HttpError> {
        parse(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n"))
    }

    #[test]
    fn a_body_without_doubt_is_delimited() {
        let kind = |lines| with(lines).unwrap().body_kind();
        assert_eq!(kind("X: y"), BodyKind::None);
        assert_eq!(kind("content-length: 007"), BodyKind::Length(7));
        assert_eq!(kind("Transfer-Encoding: Chunked"), BodyKind::Chunked);
    }

    #[test]
    fn a_doubtful_body_is_refused() {
        let cases: [(&str, u16); 16] = [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked", 400),
            ("Content-Length: 1\r\nContent-Length: 2", 400),
            ("Content-Length: 1\r\ncontent-length: 1", 400),
            ("Content-Length: 1, 1", 400),
            ("Content-Length: +1", 400),
            ("Content-Length: -1", 400),
            ("Content-Length: 0x1", 400),
            ("Content-Length:", 400),
            ("Content-Length: 18446744073709551616", 400),
            ("Transfer-Encoding: gzip, chunked", 501),
            ("Transfer-Encoding: identity", 501),
            ("Transfer-Encoding: xchunked", 501),
            ("Transfer-Encoding: chunked, gzip", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", 400),
            ("Transfer-Encoding: \x0bchunked", 400),
        ];
        for (lines, status) in cases {
            let refused = with(lines).expect_err(lines);
            assert_eq!(refused.status, status, "{lines:?} {refused}");
        }
        let old = parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old.unwrap_err().status, 400);
    }

    #[test]
    fn connections_stay_by_default_since_http_1_1() {
        assert!(with("X: y").unwrap().keep_alive());
        assert!(!with("Connection: x, Close").unwrap().keep_alive());
        assert!(!with("Connection: keep-alive\r\nConnection: close").unwrap().keep_alive());
        assert!(!parse("GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive());
        assert!(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").unwrap().keep_alive());
    }

    #[test]
    fn an_expectation_that_nobody_knows_is_refused_unless_the_client_is_too_old_for_any() {
        for lines in ["Expect: x", "Expect: 100-continue, x", "Expect: 100-continue\r\nExpect: x=1"] {
            assert_eq!(with(lines).expect_err(lines).status, 417);
        }
        assert!(parse("GET / HTTP/1.0\r\nExpect: x\r\n\r\n").is_ok());
    }

    #[test]
    fn a_client_that_waits_for_continue_is_noticed() {
        assert!(with("Expect: 100-Continue").unwrap().expects_continue());
        assert!(with("Expect: , 100-continue").unwrap().expects_continue());
        assert!(!with("Expect:").unwrap().expects_continue());
        assert!(!parse("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").unwrap().expects_continue());
    }
}
