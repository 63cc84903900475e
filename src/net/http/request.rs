//! One request head: parsed, checked and owned.
//!
//! A [`Head`] is two allocations, the bytes of the head and one small record for each header, whatever it holds. It
//! outlives the connection's read buffer, because a Socket.IO handshake shows the headers of its first request for as long
//! as the session lives.
//!
//! Invariant: a `Head` that exists has an unambiguous body (RFC 9112 section 6.3), one Host if it is HTTP/1.1, and lines
//! that end in CRLF only. What a proxy in front might read differently is refused instead of interpreted.

use super::BodyKind;
use super::framing::{Facts, has_bare_lf};
use httparse::Status;
use std::fmt;
use std::mem::MaybeUninit;

/// The default bound of headers. Browsers send about 20 and a chain of proxies adds as many again.
pub const HEADER_COUNT_MAX: usize = 64;

/// The bound that no configuration can pass: what the parser is given lies on the stack.
const HEADER_COUNT_CEILING: usize = 128;

/// The default bound of a head in bytes: Node's `--max-http-header-size`.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The bound that no configuration can pass: a head is described by 16-bit offsets.
pub const HEAD_BYTES_CEILING: usize = u16::MAX as usize;

/// A request that is answered with an error status, after which the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpError {
    /// The HTTP status to answer with.
    pub status: u16,
    /// What was wrong, for a log.
    pub reason: &'static str,
}

impl HttpError {
    pub(super) const fn bad(reason: &'static str) -> HttpError {
        HttpError { status: 400, reason }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl std::error::Error for HttpError {}

const HEAD_TOO_LARGE: HttpError = HttpError { status: 431, reason: "request head too large" };

/// How large a head may be. Larger ones are refused with 431.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes, from the request line to the empty line; values above 65,535 count as 65,535.
    pub bytes_max: usize,
    /// Header lines; values above 128 count as that.
    pub headers_max: usize,
}

impl HeadLimits {
    /// As large as a head can be, for one that was taken already.
    pub const CEILING: HeadLimits = HeadLimits { bytes_max: HEAD_BYTES_CEILING, headers_max: HEADER_COUNT_CEILING };
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits { bytes_max: HEAD_BYTES_MAX, headers_max: HEADER_COUNT_MAX }
    }
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `OPTIONS`
    Options,
    /// `HEAD`
    Head,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// Any other token. Methods are case-sensitive: `get` is one of these.
    Other,
}

impl Method {
    fn parse(token: &str) -> Method {
        match token {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            "HEAD" => Method::Head,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            _ => Method::Other,
        }
    }
}

/// A part of the head's bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u16,
    len: u16,
}

impl Span {
    /// Where `part`, a subslice of `whole`, lies. `whole` is at most [`HEAD_BYTES_CEILING`] long.
    fn of(whole: &[u8], part: &[u8]) -> Span {
        if part.is_empty() {
            return Span::default();
        }
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        Span { start: start as u16, len: part.len() as u16 }
    }

    fn get(self, whole: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        whole.get(start..start + usize::from(self.len)).unwrap_or_default()
    }

    fn text(self, whole: &[u8]) -> &str {
        // The parser has seen UTF-8 here already; asking again costs less than keeping the proof.
        std::str::from_utf8(self.get(whole)).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
}

/// A request head.
#[derive(Debug, Clone)]
pub struct Head {
    /// From the method to the empty line, both included.
    bytes: Box<[u8]>,
    fields: Box<[Field]>,
    target: Span,
    method: Method,
    body: BodyKind,
    keep_alive: bool,
    websocket_upgrade: bool,
    expects_continue: bool,
}

/// Reads the head at the start of `buf`; the number is how many bytes of `buf` it took (empty lines before it included).
///
/// `Ok(None)`: the head is not complete yet; call again with more bytes after the same ones.
///
/// # Errors
/// 400 for anything malformed or ambiguous, 417 for an expectation other than `100-continue`, 431 beyond `limits`, 501 for a transfer coding other than chunked, 505 for an
/// HTTP version other than 1.0 and 1.1.
pub fn parse_head(buf: &[u8], limits: &HeadLimits) -> Result<Option<(Head, usize)>, HttpError> {
    let bytes_max = limits.bytes_max.min(HEAD_BYTES_CEILING);
    let window = buf.get(..bytes_max).unwrap_or(buf);
    let mut slots = [const { MaybeUninit::uninit() }; HEADER_COUNT_CEILING];
    let (slots, _) = slots.split_at_mut(limits.headers_max.min(HEADER_COUNT_CEILING));
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(window, slots) {
        Ok(Status::Complete(len)) => {
            let used = window.get(..len).unwrap_or(window);
            Head::build(used, &request).map(|head| Some((head, len)))
        }
        Ok(Status::Partial) if window.len() < bytes_max => Ok(None),
        Ok(Status::Partial) => Err(HEAD_TOO_LARGE),
        Err(error) => Err(refusal(error, window)),
    }
}

fn refusal(error: httparse::Error, buf: &[u8]) -> HttpError {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => HEAD_TOO_LARGE,
        Error::Version if names_a_version(buf) => HttpError { status: 505, reason: "HTTP version not supported" },
        Error::HeaderName => HttpError::bad("malformed header name"),
        Error::HeaderValue => HttpError::bad("malformed header value"),
        _ => HttpError::bad("malformed request line"),
    }
}

/// Whether the request line ends in a well-formed HTTP version.
fn names_a_version(buf: &[u8]) -> bool {
    let line = buf.trim_ascii_start().split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let version = line.split(|byte| *byte == b' ').nth(2).unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

impl Head {
    fn build(used: &[u8], request: &httparse::Request<'_, '_>) -> Result<Head, HttpError> {
        if has_bare_lf(used) {
            return Err(HttpError::bad("line feed without carriage return"));
        }
        let method = request.method.unwrap_or_default();
        let start = usize::from(Span::of(used, method.as_bytes()).start);
        let bytes = used.get(start..).unwrap_or_default();
        let http_1_1 = request.version == Some(1);
        let mut facts = Facts::default();
        for header in request.headers.iter() {
            facts.note(header.name, header.value)?;
        }
        if facts.hosts > 1 || (http_1_1 && facts.hosts == 0) {
            return Err(HttpError::bad("not exactly one Host"));
        }
        let body = facts.body(http_1_1)?;
        // RFC 9110 section 10.1.1, which has HTTP/1.0 ignore the header.
        if http_1_1 && facts.expects_other {
            return Err(HttpError { status: 417, reason: "unknown expectation" });
        }
        let field = |header: &httparse::Header<'_>| Field {
            name: Span::of(bytes, header.name.as_bytes()),
            value: Span::of(bytes, header.value),
        };
        let method = Method::parse(method);
        Ok(Head {
            fields: request.headers.iter().map(field).collect(),
            target: Span::of(bytes, request.path.unwrap_or_default().as_bytes()),
            bytes: bytes.into(),
            method,
            body,
            keep_alive: !facts.close && (http_1_1 || facts.keep_alive),
            // RFC 6455 section 4.2.1. With a body, its bytes could be taken for frames.
            websocket_upgrade: facts.upgrade
                && facts.websocket
                && http_1_1
                && method == Method::Get
                && matches!(body, BodyKind::None | BodyKind::Length(0)),
            expects_continue: http_1_1 && facts.expects_continue,
        })
    }

    /// The whole head as it came.
    pub fn raw(&self) -> &[u8] {
        &self.bytes
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method as it was sent.
    pub fn method_text(&self) -> &str {
        let token = self.bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(token).unwrap_or_default()
    }

    /// The request target as it was sent: `handshake.url` of Socket.IO.
    pub fn target(&self) -> &str {
        self.target.text(&self.bytes)
    }

    /// The path of the target, still percent-encoded, without the authority of an absolute form. `*` and the target of
    /// CONNECT stay as they are.
    pub fn path(&self) -> &str {
        let target = without_authority(self.target());
        let end = target.find(['?', '#']).unwrap_or(target.len());
        match target.get(..end) {
            None | Some("") => "/",
            Some(path) => path,
        }
    }

    /// The query, still encoded, without its `?`; empty if there is none.
    pub fn query_text(&self) -> &str {
        let target = self.target();
        let before_fragment = target.split('#').next().unwrap_or_default();
        before_fragment.split_once('?').map_or("", |(_, query)| query)
    }

    /// The value of the first header of this name, in any case of letters.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.raw_headers().find(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Names and values in the order and the spelling of the wire, the names as bytes, which spares asking whether they are text.
    pub(in crate::net) fn raw_headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let parts = |field: &Field| (field.name.get(&self.bytes), field.value.get(&self.bytes));
        self.fields.iter().map(parts)
    }

    /// Whether the client wants the connection to stay after the answer.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether this is a WebSocket opening handshake: GET, HTTP/1.1, no body, `Upgrade: websocket` and `Connection: upgrade`.
    pub fn is_websocket_upgrade(&self) -> bool {
        self.websocket_upgrade
    }

    /// How the body ends. An ambiguous one never gets this far.
    pub fn body_kind(&self) -> BodyKind {
        self.body
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }
}

/// A target without scheme and authority if it has them (absolute form, RFC 9112 section 3.2.2).
fn without_authority(target: &str) -> &str {
    let scheme = |name: &str| match target.split_at_checked(name.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(name) => Some(rest),
        _ => None,
    };
    match scheme("http://").or_else(|| scheme("https://")) {
        None => target,
        Some(rest) => rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Option<(Head, usize)>, HttpError> {
        parse_head(text, &HeadLimits::default())
    }

    fn head(text: &str) -> Head {
        parse(text.as_bytes()).unwrap().unwrap().0
    }

    /// A head with these header lines after its Host.
    fn with(lines: &str) -> Head {
        head(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
    }

    #[test]
    fn a_request_is_taken_apart() {
        let text = "POST /socket.io/?EIO=4&sid=a%20b#f HTTP/1.1\r\nHost: h\r\nX-A:  v \r\nX-Empty:\r\n\r\nbody";
        let (head, consumed) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(consumed, text.len() - 4);
        assert_eq!(head.method(), Method::Post);
        assert_eq!(head.target(), "/socket.io/?EIO=4&sid=a%20b#f");
        assert_eq!(head.path(), "/socket.io/");
        assert_eq!(head.query_text(), "EIO=4&sid=a%20b");
        assert_eq!(head.header("x-a"), Some(&b"v"[..]));
        assert_eq!(head.header("X-EMPTY"), Some(&b""[..]));
        assert_eq!(head.header("x-b"), None);
        let names: Vec<&[u8]> = head.raw_headers().map(|(name, _)| name).collect();
        assert_eq!(names, [&b"Host"[..], b"X-A", b"X-Empty"]);
    }

    #[test]
    fn a_head_may_arrive_byte_by_byte_and_after_empty_lines() {
        let text = b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
        for end in 0..text.len() {
            assert!(parse(&text[..end]).unwrap().is_none(), "{end}");
        }
        let (head, consumed) = parse(text).unwrap().unwrap();
        assert_eq!((head.target(), head.header("host"), consumed), ("/", Some(&b"h"[..]), text.len()));
    }

    #[test]
    fn targets_have_four_forms() {
        let cases = [
            ("/a/b?c", "/a/b", "c"),
            ("http://h:1/a?b?c", "/a", "b?c"),
            ("HTTPS://h?b", "/", "b"),
            ("http://h", "/", ""),
            ("*", "*", ""),
            ("h:443", "h:443", ""),
            ("/a#b?c", "/a", ""),
            ("?x", "/", "x"),
        ];
        for (target, path, query) in cases {
            let head = head(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert_eq!((head.path(), head.query_text()), (path, query), "{target}");
        }
    }

    #[test]
    fn malformed_heads_are_refused() {
        let cases: [(&str, u16); 13] = [
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
            ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
            ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505),
            ("GET / HTTP/x\r\nHost: a\r\n\r\n", 400),
            ("G\x01T / HTTP/1.1\r\n\r\n", 400),
            ("\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03", 400),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ];
        for (text, status) in cases {
            let refused = parse(text.as_bytes()).expect_err(text);
            assert_eq!(refused.status, status, "{text:?} {refused}");
        }
        assert!(parse(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n").is_err());
    }

    #[test]
    fn malformed_header_lines_are_refused() {
        let cases: [&str; 9] = [
            "Transfer-Encoding : chunked",
            "X: a\r\n b",
            "X: a\r\n\tb",
            "X: a\0b",
            "X: a\rb",
            "X: a\nY: b",
            ": b",
            "no colon",
            "X\0: b",
        ];
        for line in cases {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
            assert_eq!(parse(text.as_bytes()).expect_err(line).status, 400, "{line:?}");
        }
    }

    #[test]
    fn heads_are_bounded_in_bytes_and_in_lines() {
        let limits = HeadLimits { bytes_max: 100, headers_max: 3 };
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(100));
        assert!(parse_head(&long.as_bytes()[..99], &limits).unwrap().is_none());
        assert_eq!(parse_head(&long.as_bytes()[..100], &limits).unwrap_err().status, 431);
        assert_eq!(parse_head(long.as_bytes(), &limits).unwrap_err().status, 431);
        let lines = |n: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(n - 1));
        assert!(parse_head(lines(3).as_bytes(), &limits).is_ok());
        assert_eq!(parse_head(lines(4).as_bytes(), &limits).unwrap_err().status, 431);
        let boundless = HeadLimits { bytes_max: usize::MAX, headers_max: usize::MAX };
        assert!(parse_head(lines(HEADER_COUNT_CEILING).as_bytes(), &boundless).is_ok());
        assert_eq!(parse_head(lines(HEADER_COUNT_CEILING + 1).as_bytes(), &boundless).unwrap_err().status, 431);
        let endless = format!("GET /{}", "x".repeat(70_000));
        assert_eq!(parse_head(endless.as_bytes(), &boundless).unwrap_err().status, 431);
    }

    #[test]
    fn a_websocket_upgrade_needs_both_headers_and_no_body() {
        assert!(with("Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n").is_websocket_upgrade());
        assert!(!with("Upgrade: h2c\r\nConnection: Upgrade\r\n").is_websocket_upgrade());
        assert!(!with("Upgrade: websocket\r\n").is_websocket_upgrade());
        assert!(!with("Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5\r\n").is_websocket_upgrade());
        let post = "POST / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
        assert!(!head(post).is_websocket_upgrade());
    }

    #[test]
    fn no_cut_of_a_head_panics() {
        let text = b"POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX: \xff\r\n\r\nabc";
        for start in 0..text.len() {
            for end in start..=text.len() {
                if let Ok(Some((head, _))) = parse(&text[start..end]) {
                    let mut out = String::new();
                    head.headers_json(&mut out);
                    assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok());
                }
            }
        }
    }
}
