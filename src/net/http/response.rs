//! Answers, appended to the caller's buffer in the spelling and order of the official server.
//!
//! Fields of middlewares come first (cors), then the answer's own, then `Date` and `Connection`, as Node writes them. Node
//! also sends `Keep-Alive: timeout=5`; that is a promise about a timer which is not ours here, so it is left out. Where Node
//! streams an answer in chunks (errors, compressed payloads), ours has the same fields and a `Content-Length` instead.
//!
//! Invariant: what a host gives reaches the wire only through [`HeaderLines`] or a checked option, so it cannot end a line
//! or change how the answer is delimited.

use super::{Encoding, Head, push_json_string};
use std::collections::BTreeMap;
use std::fmt;

/// The answer to `Expect: 100-continue`, sent before the body is read.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What every answer carries besides its own fields.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Complete header lines, each with its CRLF: those of [`Cors`](super::Cors), [`Cookie`](super::Cookie) and
    /// [`HeaderLines`].
    pub extra_lines: &'a [u8],
    /// Whether the connection stays open after this answer.
    pub keep_alive: bool,
    /// The value of `Date`: an IMF-fixdate, which is always 29 bytes.
    pub date: &'a [u8; 29],
}

/// Appends a whole head, empty line included. Without `content_length` the status must be one without a body (304), or the
/// head one that the caller ends by closing the connection.
///
/// `headers` are trusted: what comes from outside belongs in [`HeaderLines`].
pub fn write_head(
    out: &mut Vec<u8>,
    status: u16,
    headers: &[(&str, &str)],
    content_length: Option<usize>,
    envelope: &Envelope<'_>,
) {
    begin(out, status, envelope);
    for (name, value) in headers {
        push_all(out, &[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    if let Some(length) = content_length {
        push_content_length(out, length);
    }
    finish(out, envelope);
}

/// Appends an answer without a body: 400 for overlapping requests, 413, 404, 500 and so on.
pub fn empty(out: &mut Vec<u8>, status: u16, envelope: &Envelope<'_>) {
    write_head(out, status, &[], Some(0), envelope);
}

/// Takes the body off an answer, for a request by HEAD: its bytes would be read as the next answer (RFC 9110 section 9.3.2).
pub fn drop_body(answer: &mut Vec<u8>) {
    if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        answer.truncate(end + 4);
    }
}

/// Appends the answer to a poll.
///
/// `payload` is already in `encoding`; `binary` is for the payloads of revision 3 that carry attachments. `xss_line` is
/// [`xss_protection_line`]'s.
pub fn polling_payload(
    out: &mut Vec<u8>,
    payload: &[u8],
    binary: bool,
    encoding: Encoding,
    xss_line: &[u8],
    envelope: &Envelope<'_>,
) {
    begin(out, 200, envelope);
    out.extend_from_slice(if binary {
        b"Content-Type: application/octet-stream\r\n"
    } else {
        b"Content-Type: text/plain; charset=UTF-8\r\n"
    });
    if let Some(name) = encoding.name() {
        push_all(out, &[b"Content-Encoding: ", name.as_bytes(), b"\r\n"]);
    }
    push_content_length(out, payload.len());
    push_all(out, &[xss_line, b"cache-control: no-store\r\n"]);
    finish(out, envelope);
    out.extend_from_slice(payload);
}

/// Appends the answer to a POST that delivered packets. `text/html` keeps old browsers from offering a download.
pub fn post_ok(out: &mut Vec<u8>, xss_line: &[u8], envelope: &Envelope<'_>) {
    begin(out, 200, envelope);
    push_all(out, &[b"Content-Type: text/html\r\nContent-Length: 2\r\n", xss_line, b"cache-control: no-store\r\n"]);
    finish(out, envelope);
    out.extend_from_slice(b"ok");
}

/// The line that polling answers carry for Internet Explorer, whose filter takes payloads for injected scripts; empty for
/// every other client.
pub fn xss_protection_line(head: &Head) -> &'static [u8] {
    let agent = head.header("user-agent").unwrap_or_default();
    let has = |mark: &[u8]| agent.windows(mark.len()).any(|part| part == mark);
    if has(b";MSIE") || has(b"Trident/") { b"X-XSS-Protection: 0\r\n" } else { b"" }
}

/// Why Engine.IO refuses a request (`Server.errors` of the official server).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineError {
    /// Missing, unknown or disabled transport.
    TransportUnknown = 0,
    /// No session has this id.
    SessionIdUnknown = 1,
    /// A handshake that is not a GET.
    BadHandshakeMethod = 2,
    /// Wrong transport or revision for the session, `websocket` without an upgrade, or a middleware refused.
    BadRequest = 3,
    /// The host's `allowRequest` refused.
    Forbidden = 4,
    /// A revision that is not enabled.
    UnsupportedProtocolVersion = 5,
}

impl EngineError {
    /// The `code` of the JSON body.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The HTTP status, on polling; a WebSocket is refused with 400 whatever the code is.
    pub fn status(self) -> u16 {
        if self == EngineError::Forbidden { 403 } else { 400 }
    }

    /// The official text.
    pub fn message(self) -> &'static str {
        match self {
            EngineError::TransportUnknown => "Transport unknown",
            EngineError::SessionIdUnknown => "Session ID unknown",
            EngineError::BadHandshakeMethod => "Bad handshake method",
            EngineError::BadRequest => "Bad request",
            EngineError::Forbidden => "Forbidden",
            EngineError::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }
}

/// Appends the refusal of a polling request. An empty `message` means the official text of `error`.
pub fn error_json(out: &mut Vec<u8>, error: EngineError, message: &str, envelope: &Envelope<'_>) {
    bound_json(out, error.status(), None, error, message, envelope);
}

/// As [`error_json`], with a status that is not the error's, and the seconds after which the peer may come again.
pub fn bound_json(
    out: &mut Vec<u8>,
    status: u16,
    retry_after_s: Option<u64>,
    error: EngineError,
    message: &str,
    envelope: &Envelope<'_>,
) {
    let message = if message.is_empty() { error.message() } else { message };
    let mut body = format!("{{\"code\":{},\"message\":", error.code());
    push_json_string(&mut body, message);
    body.push('}');
    let retry_after = retry_after_s.map(|seconds| seconds.to_string());
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(retry_after.as_deref().map(|seconds| ("Retry-After", seconds)));
    write_head(out, status, &headers, Some(body.len()), envelope);
    out.extend_from_slice(body.as_bytes());
}

/// Appends the refusal of a WebSocket, after which the connection is closed. An empty `message` means the official text.
pub fn websocket_refusal(out: &mut Vec<u8>, error: EngineError, message: &str, extra_lines: &[u8]) {
    let message = if message.is_empty() { error.message() } else { message };
    out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\n");
    push_content_length(out, message.len());
    push_all(out, &[extra_lines, b"\r\n", message.as_bytes()]);
}

/// Appends the 101 that opens a WebSocket. `accept_key` is the computed value of `Sec-WebSocket-Accept`.
pub fn switching_protocols(out: &mut Vec<u8>, accept_key: &str, extra_lines: &[u8]) {
    push_all(
        out,
        &[
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
            accept_key.as_bytes(),
            b"\r\n",
            extra_lines,
            b"\r\n",
        ],
    );
}

/// The reason phrase of the statuses that the engine and its files send, and hosts often; empty for others, which is legal.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Payload Too Large",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

fn begin(out: &mut Vec<u8>, status: u16, envelope: &Envelope<'_>) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(out, usize::from(status));
        push_all(out, &[b" ", reason(status).as_bytes(), b"\r\n"]);
    }
    out.extend_from_slice(envelope.extra_lines);
}

fn finish(out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    let connection: &[u8] =
        if envelope.keep_alive { b"\r\nConnection: keep-alive\r\n\r\n" } else { b"\r\nConnection: close\r\n\r\n" };
    push_all(out, &[b"Date: ", envelope.date, connection]);
}

fn push_content_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn push_all(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends `n` in decimal; the formatting machinery costs more than the rest of a head.
pub(super) fn push_decimal(out: &mut Vec<u8>, mut n: usize) {
    let start = out.len();
    loop {
        out.push(b'0' + (n % 10) as u8);
        n /= 10;
        if n == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// Why a header that a host gave cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// The name is not a token (RFC 9110 section 5.6.2).
    Name,
    /// The value holds CR, LF, NUL or another control character.
    Value,
    /// The header says how the message is delimited, which is the engine's business.
    Framing,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderError::Name => "invalid character in header name",
            HeaderError::Value => "invalid character in header value",
            HeaderError::Framing => "this header is set by the server",
        })
    }
}

impl std::error::Error for HeaderError {}

/// Header lines that a host adds to answers, checked one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderLines {
    lines: Vec<u8>,
}

/// Headers that would contradict the answer they are added to.
const FRAMING: [&str; 7] =
    ["connection", "content-length", "date", "keep-alive", "sec-websocket-accept", "transfer-encoding", "upgrade"];

impl HeaderLines {
    /// No lines.
    pub fn new() -> HeaderLines {
        HeaderLines::default()
    }

    /// Adds one line.
    ///
    /// # Errors
    /// If the name or the value has a character that HTTP does not allow there, or the header is not the host's to set.
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        if !is_token(name) {
            return Err(HeaderError::Name);
        }
        if FRAMING.iter().any(|field| name.eq_ignore_ascii_case(field)) {
            return Err(HeaderError::Framing);
        }
        if !is_field_value(value) {
            return Err(HeaderError::Value);
        }
        push_all(&mut self.lines, &[name.as_bytes(), b": ", value, b"\r\n"]);
        Ok(())
    }

    /// The lines of `{"name":"value",…}`.
    ///
    /// # Errors
    /// A sentence that names the header which is refused.
    pub fn from_json(object: &str) -> Result<HeaderLines, String> {
        let headers: BTreeMap<String, String> =
            serde_json::from_str(object).map_err(|error| format!("headers are an object of strings: {error}"))?;
        let mut lines = HeaderLines::new();
        for (name, value) in &headers {
            lines.push(name, value.as_bytes()).map_err(|error| format!("header {name:?}: {error}"))?;
        }
        Ok(lines)
    }

    /// The lines, each with its CRLF: for [`Envelope::extra_lines`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.lines
    }
}

/// Whether `text` is a token (RFC 9110 section 5.6.2): a header name, a cookie name.
pub(in crate::net) fn is_token(text: &str) -> bool {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(of_token)
}

/// Whether `value` may stand in a header: no control character but the tab (RFC 9110 section 5.5).
pub(in crate::net) fn is_field_value(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::super::{HeadLimits, parse_head};
    use super::*;

    const DATE: &[u8; 29] = b"Thu, 01 Jan 1970 00:00:00 GMT";

    fn envelope(extra_lines: &[u8]) -> Envelope<'_> {
        Envelope { extra_lines, keep_alive: true, date: DATE }
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// The fields of an answer as the captured vectors give them: lower-case names, no Date and Connection.
    fn fields(answer: &str) -> Vec<(String, String)> {
        let head = answer.split("\r\n\r\n").next().unwrap();
        let lines = head.split("\r\n").skip(1).map(|line| line.split_once(": ").unwrap());
        lines
            .map(|(k, v)| (k.to_lowercase(), v.to_string()))
            .filter(|(k, _)| k != "date" && k != "connection")
            .collect()
    }

    /// A captured exchange of the official server.
    fn captured(label: &str) -> (u64, Vec<(String, String)>, String) {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/engine-io-http.json"));
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let entry = vectors["eio4"].as_array().unwrap().iter().find(|entry| entry["label"] == label).unwrap();
        let headers = entry["headers"].as_object().unwrap().iter();
        let headers = headers.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_string())).collect();
        (entry["status"].as_u64().unwrap(), headers, entry["body"].as_str().unwrap().to_string())
    }

    const CORS_LINES: &[u8] =
        b"Access-Control-Allow-Origin: http://example.com\r\nVary: Origin\r\nAccess-Control-Allow-Credentials: true\r\n";

    fn sorted(mut fields: Vec<(String, String)>) -> Vec<(String, String)> {
        fields.sort();
        fields
    }

    #[test]
    fn polling_answers_are_the_captured_ones() {
        for label in ["polling handshake", "poll"] {
            let (status, headers, body) = captured(label);
            let answer = written(|out| {
                polling_payload(out, body.as_bytes(), false, Encoding::Identity, b"", &envelope(CORS_LINES));
            });
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} OK\r\n")));
            assert_eq!(sorted(fields(&answer)), sorted(headers));
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")));
        }
        let (_, headers, _) = captured("connect to / (Socket.IO CONNECT)");
        let answer = written(|out| post_ok(out, b"", &envelope(CORS_LINES)));
        assert_eq!(sorted(fields(&answer)), sorted(headers));
        assert!(answer.ends_with("\r\n\r\nok"));
    }

    #[test]
    fn errors_are_the_captured_ones_with_a_length() {
        let cases = [
            ("error: unknown transport", EngineError::TransportUnknown, ""),
            ("error: unknown sid", EngineError::SessionIdUnknown, ""),
            ("error: handshake with POST", EngineError::BadHandshakeMethod, ""),
            ("error: transport mismatch (websocket, no upgrade)", EngineError::BadRequest, ""),
            ("allowRequest rejection", EngineError::Forbidden, "nope"),
            ("error: EIO=3 not allowed", EngineError::UnsupportedProtocolVersion, ""),
        ];
        for (label, error, message) in cases {
            let (status, _, body) = captured(label);
            let answer = written(|out| error_json(out, error, message, &envelope(b"")));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} {}\r\n", reason(status as u16))), "{label}");
            assert!(answer.contains("\r\nContent-Type: application/json\r\n"));
            assert!(answer.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{label}");
        }
    }

    #[test]
    fn a_websocket_is_refused_with_400_and_the_message_alone() {
        let answer = written(|out| websocket_refusal(out, EngineError::Forbidden, "nope", b""));
        let expected =
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: 4\r\n\r\nnope";
        assert_eq!(answer, expected);
        assert!(
            written(|out| websocket_refusal(out, EngineError::SessionIdUnknown, "", b""))
                .ends_with("\r\n\r\nSession ID unknown")
        );
    }

    #[test]
    fn a_message_of_the_host_stays_inside_its_json_string() {
        let answer = written(|out| error_json(out, EngineError::Forbidden, "a\"\r\nb", &envelope(b"")));
        assert!(answer.ends_with("\r\n\r\n{\"code\":4,\"message\":\"a\\\"\\u000d\\u000ab\"}"));
    }

    #[test]
    fn the_whole_head_has_nodes_order() {
        let closing = Envelope { keep_alive: false, ..envelope(b"X: y\r\n") };
        let answer = written(|out| empty(out, 413, &closing));
        let expected = "HTTP/1.1 413 Payload Too Large\r\nX: y\r\nContent-Length: 0\r\n\
                        Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\n\r\n";
        assert_eq!(answer, expected);
    }

    #[test]
    fn a_compressed_payload_names_its_coding() {
        let answer = written(|out| polling_payload(out, b"zip", true, Encoding::Gzip, b"", &envelope(b"")));
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Encoding: gzip\r\n\
                        Content-Length: 3\r\ncache-control: no-store\r\n";
        assert!(answer.starts_with(expected));
    }

    #[test]
    fn the_opening_of_a_websocket_carries_the_extra_lines() {
        let answer = written(|out| switching_protocols(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"X: y\r\n"));
        assert!(
            answer.starts_with("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        );
        assert!(answer.ends_with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX: y\r\n\r\n"));
    }

    #[test]
    fn host_given_headers_cannot_inject_or_reframe() {
        let mut lines = HeaderLines::new();
        lines.push("X-Powered-By", "Zoë".as_bytes()).unwrap();
        for value in [&b"a\r\nSet-Cookie: x"[..], b"a\n", b"a\0", b"\x7f"] {
            assert_eq!(lines.push("X", value), Err(HeaderError::Value));
        }
        for name in ["", "X:", "X Y", "X\r\nY", "é"] {
            assert_eq!(lines.push(name, b"v"), Err(HeaderError::Name));
        }
        assert_eq!(lines.push("content-LENGTH", b"3"), Err(HeaderError::Framing));
        assert_eq!(lines.as_bytes(), "X-Powered-By: Zoë\r\n".as_bytes());
    }

    #[test]
    fn internet_explorer_gets_its_line() {
        let head = |agent: &str| {
            let text = format!("GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\n\r\n");
            parse_head(text.as_bytes(), &HeadLimits::default()).unwrap().unwrap().0
        };
        assert_eq!(xss_protection_line(&head("Mozilla/5.0 (Windows; Trident/7.0)")), b"X-XSS-Protection: 0\r\n");
        assert_eq!(xss_protection_line(&head("Mozilla/5.0 Firefox/130")), b"");
    }

    #[test]
    fn an_answer_without_its_body_ends_with_its_head() {
        let mut answer =
            written(|out| error_json(out, EngineError::BadRequest, "a\r\n\r\nb", &envelope(b""))).into_bytes();
        drop_body(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 400 ") && answer.ends_with(b"\r\nConnection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn numbers_are_decimal() {
        for n in [0, 7, 10, 1024, usize::MAX] {
            assert_eq!(written(|out| push_decimal(out, n)), n.to_string());
        }
    }
}
