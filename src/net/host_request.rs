//! Requests that the host received on its own listener. Each becomes a connection of one request, so that the answer is what a client
//! on a listener of the engine's would get: there is one way from a request to its answer.
//!
//! What belongs to the host's connection and not to the request (`Connection`, transfer coding, `Expect`) stays on the host's side.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use httparse::Status;
use parking_lot::Mutex;

use super::adopt::open_fed;
use super::engine::Engine;
use super::fed::Host;
use super::http::EngineQuery;
use super::http::response::{is_field_value, is_token};
use super::stream::Detached;
use crate::server::{Code, Error, Sid};

/// Headers of an answer: the engine's own, those of CORS, and what a host adds.
const ANSWER_HEADERS_MAX: usize = 128;
/// Headers that tell how a message travels on the host's connection, which is not this one.
const OF_THE_CONNECTION: [&str; 9] = [
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request.
pub struct HostRequest<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub headers: Vec<(&'a str, &'a [u8])>,
    pub body: &'a [u8],
    pub address: Option<IpAddr>,
    pub secure: bool,
}

/// An answer.
pub struct Answer<'a> {
    pub status: u16,
    /// Without `Connection`, which is the host's.
    pub headers: Vec<(&'a str, &'a [u8])>,
    pub body: &'a [u8],
}

/// What is done with an answer. It is dropped without a call if the host ends the request first.
pub type OnAnswer = Box<dyn FnOnce(&Answer<'_>) + Send>;

impl Engine {
    /// Answers a request, at once or later. `tell` gets its id before that.
    pub fn http(
        &self,
        request: &HostRequest<'_>,
        on_answer: impl FnOnce() -> OnAnswer,
        tell: impl FnOnce(u64),
    ) -> Result<(), Error> {
        if !self.server.is_open() {
            return Err(Error::new(Code::Closed, "the engine is closing"));
        }
        let input = request.written(self.config.message_max)?;
        let head_only = request.method == "HEAD";
        let permit = self.admit(request.address, request.secure)?;
        let host = || Box::new(Answering::new(head_only, on_answer())) as Box<dyn Host>;
        let fed = open_fed(self, host)?;
        tell(fed.id());
        // Straight to its session's shard: a client's requests are then taken in the order of these calls.
        let shard = self.shard_of(request.target).unwrap_or_else(|| self.peers.next_shard());
        self.hand_over(shard, Detached::Fed(fed), permit, input);
        Ok(())
    }

    /// The shard of the session that a request names.
    fn shard_of(&self, target: &str) -> Option<usize> {
        let (_, query) = target.split_once('?')?;
        let sid = EngineQuery::parse(query).sid?;
        let client = self.server.sessions.at(Sid::slot(&sid)?)?;
        (client.sid.as_str() == sid).then_some(client.shard)
    }
}

impl HostRequest<'_> {
    /// The request as a client would have sent it. A body beyond `body_max` is announced and left out: the engine refuses it by its
    /// length.
    fn written(&self, body_max: usize) -> Result<Vec<u8>, Error> {
        self.check()?;
        let is = |name: &str, field: &str| name.eq_ignore_ascii_case(field);
        // Without a Host it can only have been HTTP/1.0.
        let version = if self.headers.iter().any(|(name, _)| is(name, "host")) { "1.1" } else { "1.0" };
        let mut out = Vec::with_capacity(1024 + self.body.len());
        out.extend_from_slice(format!("{} {} HTTP/{version}\r\n", self.method, self.target).as_bytes());
        for (name, value) in &self.headers {
            if !OF_THE_CONNECTION.iter().any(|field| is(name, field)) {
                for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
        if !self.body.is_empty() || self.method == "POST" {
            out.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if self.body.len() <= body_max {
            out.extend_from_slice(self.body);
        }
        Ok(out)
    }

    /// What a host gives reaches the parser only if it means there what it means here.
    fn check(&self) -> Result<(), Error> {
        let invalid = |text: String| Err(Error::new(Code::Invalid, text));
        if !is_token(self.method) {
            return invalid(format!("request.method is no method: {:?}", self.method));
        }
        if self.target.is_empty() || self.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return invalid(format!("request.target is no target: {:?}", self.target));
        }
        for (name, value) in &self.headers {
            if !is_token(name) {
                return invalid(format!("request.headers: {name:?} is no header name"));
            }
            if !is_field_value(value) {
                return invalid(format!("request.headers: the value of {name:?} holds a control character"));
            }
            let value = String::from_utf8_lossy(value).to_ascii_lowercase();
            if name.eq_ignore_ascii_case("upgrade") && value.contains("websocket") {
                let text = "a WebSocket needs its connection: hand it over with sockeye_engine_adopt";
                return Err(Error::new(Code::Unsupported, text));
            }
        }
        Ok(())
    }
}

/// The host's side of a request's connection: takes the answer apart.
struct Answering {
    /// The request was HEAD: the answer has no body, whatever its length says.
    head_only: bool,
    answered: AtomicBool,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    /// The answer so far.
    bytes: Vec<u8>,
    on_answer: Option<OnAnswer>,
}

impl Answering {
    fn new(head_only: bool, on_answer: OnAnswer) -> Answering {
        let waiting = Mutex::new(Waiting { bytes: Vec::new(), on_answer: Some(on_answer) });
        Answering { head_only, answered: AtomicBool::new(false), waiting }
    }

    fn answer(&self, answer: &Answer<'_>) {
        let on_answer = self.waiting.lock().on_answer.take();
        self.answered.store(true, Ordering::Release);
        if let Some(on_answer) = on_answer {
            on_answer(answer);
        }
    }

    /// Calls the host if `bytes` are a whole answer.
    fn take(&self, bytes: &[u8]) -> bool {
        let mut slots = [httparse::EMPTY_HEADER; ANSWER_HEADERS_MAX];
        let mut response = httparse::Response::new(&mut slots);
        let Ok(Status::Complete(head_len)) = response.parse(bytes) else { return false };
        let rest = bytes.get(head_len..).unwrap_or_default();
        let named = |name: &str| response.headers.iter().find(move |header| header.name.eq_ignore_ascii_case(name));
        let length = named("content-length").and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
        let length: usize = if self.head_only { 0 } else { length.unwrap_or(0) };
        let Some(body) = rest.get(..length) else { return false };
        let of_host = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("connection");
        let headers = response.headers.iter().filter(|header| !of_host(header));
        let headers = headers.map(|header| (header.name, header.value)).collect();
        self.answer(&Answer { status: response.code.unwrap_or(500), headers, body });
        true
    }
}

impl Host for Answering {
    fn send(&self, bytes: &[u8]) -> usize {
        // Nearly always the answer comes in one piece.
        let mut whole = std::mem::take(&mut self.waiting.lock().bytes);
        if whole.is_empty() && self.take(bytes) {
            return bytes.len();
        }
        whole.extend_from_slice(bytes);
        if !self.take(&whole) {
            self.waiting.lock().bytes = whole;
        }
        bytes.len()
    }

    fn close(&self, ended: bool) {
        if !ended && !self.is_served() {
            self.answer(&Answer { status: 503, headers: Vec::new(), body: b"" });
        }
    }

    fn is_request(&self) -> bool {
        true
    }

    fn is_served(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    type Seen = Arc<Mutex<Vec<(u16, String, Vec<u8>)>>>;

    fn answering(head_only: bool) -> (Answering, Seen) {
        let seen = Seen::default();
        let keep = seen.clone();
        let on_answer = move |answer: &Answer<'_>| {
            let headers = answer.headers.iter().map(|(name, value)| format!("{name}={} ", value.escape_ascii()));
            keep.lock().push((answer.status, headers.collect(), answer.body.to_vec()));
        };
        (Answering::new(head_only, Box::new(on_answer)), seen)
    }

    #[test]
    fn an_answer_may_come_in_pieces_and_is_given_once() {
        let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\nConnection: keep-alive\r\n\r\nhello";
        for step in [1, 7, wire.len()] {
            let (answering, seen) = answering(false);
            for piece in wire.chunks(step) {
                assert!(!answering.is_served());
                assert_eq!(answering.send(piece), piece.len());
            }
            answering.close(false);
            assert_eq!(*seen.lock(), [(200, "Content-Length=5 X=y ".to_owned(), b"hello".to_vec())]);
        }
    }

    #[test]
    fn the_answer_to_head_has_the_length_of_a_body_that_does_not_come() {
        let (answering, seen) = answering(true);
        answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(seen.lock()[0].0, 200);
    }

    #[test]
    fn a_request_without_an_answer_gets_503_unless_its_client_left() {
        let (left, none) = answering(false);
        left.close(true);
        assert!(none.lock().is_empty());
        let (cut, seen) = answering(false);
        cut.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
        cut.close(false);
        assert_eq!(*seen.lock(), [(503, String::new(), Vec::new())]);
    }

    #[test]
    fn what_the_host_did_with_its_connection_is_not_handed_on() {
        let headers: Vec<(&str, &[u8])> =
            vec![("Host", b"h"), ("Content-Length", b"99"), ("transfer-encoding", b"chunked"), ("EXPECT", b"x")];
        let mut request =
            HostRequest { method: "POST", target: "/t?q", headers, body: b"body", address: None, secure: false };
        assert_eq!(request.written(4).unwrap(), b"POST /t?q HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(request.written(3).unwrap(), b"POST /t?q HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
        request.headers.clear();
        assert!(request.written(4).unwrap().starts_with(b"POST /t?q HTTP/1.0\r\nContent-Length: 4\r\n"));
    }
}
