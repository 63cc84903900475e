//! Connections and requests that the host received on its own listener.

use std::ffi::{c_char, c_void};
use std::net::{IpAddr, SocketAddr};

use super::boundary::*;
use super::constants::*;
use super::engine::sockeye_engine;
use super::types::*;
use crate::net::http::HeaderLines;
use crate::net::{Answer, Handover, Host, HostRequest, OnAnswer};
use crate::server::{Code, Decision, Error};

/// More headers than any server reads; a larger count is a mistake.
const HEADERS_MAX: usize = 4096;

/// A connection, or a request, that the host feeds. 0 is none. Stale ids are refused, never misread.
pub type sockeye_stream = u64;
/// Takes bytes that are to be sent to the peer: copies as many as it wants and returns how many; the rest is offered again after
/// `sockeye_stream_writable`. Called on a thread of the engine, never two at once for a stream; it must not block, and may call the
/// engine.
pub type sockeye_send_fn = Option<unsafe extern "C" fn(user: *mut c_void, data: *const c_void, len: usize) -> usize>;
/// Tells something about a stream, under the rules of `sockeye_send_fn`.
pub type sockeye_stream_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// A connection that the host accepted: a descriptor, or (with `send`) a stream of its own, such as TLS.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_connection {
    pub size: u32,
    /// `SOCKEYE_CONNECTION_SECURE`
    pub flags: u32,
    /// A connected stream socket: TCP, or a Unix one. Not looked at if there is `send`.
    pub fd: isize,
    /// Bytes that were read from the connection already: part of a request, one, or several. Copied.
    pub head: *const c_void,
    pub head_len: usize,
    /// The peer's IP address, `handshake.address`; a port after it is ignored. NULL: the descriptor's peer, or none.
    pub remote: *const c_char,
    pub remote_len: usize,
    /// The host's stream: what came is given by `sockeye_stream_input`, what is to be sent comes here. NULL with a descriptor.
    pub send: sockeye_send_fn,
    /// Input that was refused may be given again. Needed with `send`.
    pub room: sockeye_stream_fn,
    /// Nothing more will be sent: send what was taken, then close. Called once. Needed with `send`.
    pub close: sockeye_stream_fn,
    /// For the three functions, and freed by `drop`.
    pub user: *mut c_void,
    pub drop: sockeye_drop_fn,
}

/// The host's functions for a stream.
struct HostStream {
    send: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> usize,
    room: unsafe extern "C" fn(*mut c_void),
    close: unsafe extern "C" fn(*mut c_void),
    user: User,
}

impl Host for HostStream {
    fn send(&self, bytes: &[u8]) -> usize {
        // SAFETY: the host gave the function for this; the bytes are valid until it returns.
        unsafe { (self.send)(self.user.value, bytes.as_ptr().cast(), bytes.len()) }
    }

    fn room(&self) {
        // SAFETY: the host gave the function for this.
        unsafe { (self.room)(self.user.value) };
    }

    fn close(&self, _ended: bool) {
        // SAFETY: the host gave the function for this.
        unsafe { (self.close)(self.user.value) };
    }
}

/// Takes over a connection that the host accepted, as if it had come in on a listener of the engine's. It may carry any request, not
/// only those on the engine's path.
///
/// A descriptor is the engine's from success on: it makes it non-blocking and closes it; on failure it stays the host's, as it was. An
/// event loop that holds on to its descriptors hands over a duplicate (`dup`), and closes its own.
///
/// A host's stream (`send` is set) is fed by `sockeye_stream_input` and `sockeye_stream_end`, and asks to be written to again by
/// `sockeye_stream_writable`; `*out` is its id, written before anything is sent. After `close` the connection waits 5 s at most for the
/// end of its peer, then `drop` is called, the last of the functions and once. On failure none is called.
///
/// `out` may be NULL for a descriptor, and is then set to 0 otherwise. INVALID: not a connected stream socket;
/// GONE: its peer is gone; FULL: `connections_max` or `connections_per_address_max` is reached.
///
/// # Safety
/// `engine` is NULL or an engine; `connection` is NULL or valid, pointers inside included; `out` is NULL or valid for writing. The
/// functions may be called from any thread until `drop` is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_adopt(
    engine: *mut sockeye_engine,
    connection: *const sockeye_connection,
    out: *mut sockeye_stream,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let given = sized(connection, "connection")?;
            let handover = handover_of(&given)?;
            let Some(send) = given.send else {
                if given.room.is_some() || given.close.is_some() || given.drop.is_some() {
                    return Err(Error::new(Code::Invalid, "connection has functions of a stream, but no send"));
                }
                let fd = i32::try_from(given.fd)
                    .map_err(|_| Error::new(Code::Invalid, format!("{} is no descriptor", given.fd)))?;
                engine.engine.adopt_fd(fd, &handover)?;
                if let Some(out) = out.as_mut() {
                    *out = 0;
                }
                return Ok(SOCKEYE_OK);
            };
            let room = given.room.ok_or_else(|| null("connection.room"))?;
            let close = given.close.ok_or_else(|| null("connection.close"))?;
            let out = place(out, "out")?;
            // Made last: whoever has it calls `drop`.
            let host = || {
                let user = User { value: given.user, drop: given.drop };
                Box::new(HostStream { send, room, close, user }) as Box<dyn Host>
            };
            engine.engine.adopt_fed(&handover, host, |id| *out = id)?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// # Safety
/// The pointers of `given` are NULL or valid for their lengths.
unsafe fn handover_of(given: &sockeye_connection) -> Outcome<Handover<'_>> {
    if given.flags & !SOCKEYE_CONNECTION_SECURE != 0 {
        return Err(Error::new(Code::Invalid, format!("connection.flags has unknown bits: {:#x}", given.flags)));
    }
    // SAFETY: the caller's promise.
    let (head, remote) = unsafe {
        (
            bytes(given.head.cast(), given.head_len, "connection.head")?,
            text(given.remote, given.remote_len, "connection.remote")?,
        )
    };
    Ok(Handover {
        head,
        address: address_of(remote, "connection.remote")?,
        secure: given.flags & SOCKEYE_CONNECTION_SECURE != 0,
    })
}

/// An IP address, with a port or without; none is the empty text.
fn address_of(text: &str, what: &str) -> Outcome<Option<IpAddr>> {
    if text.is_empty() {
        return Ok(None);
    }
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    let address = text.parse().or_else(|_| with_port());
    address.map(Some).map_err(|_| Error::new(Code::Invalid, format!("{what} is no IP address: {text:?}")))
}

/// A header of a request or an answer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_header {
    pub name: *const c_char,
    pub name_len: usize,
    pub value: *const c_char,
    pub value_len: usize,
}

/// A request that the host received.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_http_request {
    pub size: u32,
    /// `SOCKEYE_CONNECTION_SECURE`
    pub flags: u32,
    pub method: *const c_char,
    pub method_len: usize,
    /// Path and query, as they were sent.
    pub target: *const c_char,
    pub target_len: usize,
    pub headers: *const sockeye_header,
    pub header_count: usize,
    /// Without any transfer coding.
    pub body: *const c_void,
    pub body_len: usize,
    /// The peer's IP address; a port after it is ignored. NULL: none.
    pub remote: *const c_char,
    pub remote_len: usize,
}

/// The answer to a request.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockeye_http_answer {
    pub size: u32,
    /// The HTTP status.
    pub status: u32,
    /// In their order; `Date` and `Content-Length` are among them, `Connection` is not.
    pub headers: *const sockeye_header,
    pub header_count: usize,
    pub body: *const c_void,
    pub body_len: usize,
}

/// Called with the answer, which is valid until it returns; on a thread of the engine. It must not block, and may call the engine.
pub type sockeye_answer_fn = Option<unsafe extern "C" fn(user: *mut c_void, answer: *const sockeye_http_answer)>;

/// Answers a request that the host received on its own listener, as a listener of the engine's would: on the engine's path, a mounted
/// folder, or 404. `answer` is called once, at once or (a poll) when there is something to tell; status 503 if the engine closes
/// before. If the client goes away, say so with `sockeye_stream_end` and the id in `*out`, which is written before anything is called;
/// then `answer` may not be called. `drop` is called once, as the last. On failure none is called. `out` may be NULL.
///
/// `Connection`, transfer coding and `Expect` are the host's; the engine does not look at them. Give `:authority` of HTTP/2 as
/// `host`. A request to open a WebSocket is UNSUPPORTED: hand over its connection with `sockeye_engine_adopt`, the request being the `head`.
/// FULL: `connections_max` or `connections_per_address_max`; a request that waits for its answer counts as a connection.
///
/// # Safety
/// `engine` is NULL or an engine; `request` is NULL or valid, pointers inside included; `out` is NULL or valid for writing. The
/// functions may be called from any thread until `drop` is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_engine_http(
    engine: *mut sockeye_engine,
    request: *const sockeye_http_request,
    answer: sockeye_answer_fn,
    user: *mut c_void,
    drop: sockeye_drop_fn,
    out: *mut sockeye_stream,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let given = sized(request, "request")?;
            let request = request_of(&given)?;
            let run = answer.ok_or_else(|| null("answer"))?;
            // Made last: whoever has it calls `drop`.
            let on_answer = || {
                let user = User { value: user, drop };
                Box::new(move |answer: &Answer<'_>| give_answer(run, &user, answer)) as OnAnswer
            };
            let tell = |id| {
                if let Some(out) = out.as_mut() {
                    *out = id;
                }
            };
            engine.engine.http(&request, on_answer, tell)?;
            Ok(SOCKEYE_OK)
        })
    }
}

fn give_answer(run: unsafe extern "C" fn(*mut c_void, *const sockeye_http_answer), user: &User, answer: &Answer<'_>) {
    let header = |(name, value): &(&str, &[u8])| sockeye_header {
        name: name.as_ptr().cast(),
        name_len: name.len(),
        value: value.as_ptr().cast(),
        value_len: value.len(),
    };
    let headers: Vec<sockeye_header> = answer.headers.iter().map(header).collect();
    let answer = sockeye_http_answer {
        size: size_of::<sockeye_http_answer>() as u32,
        status: u32::from(answer.status),
        headers: headers.as_ptr(),
        header_count: headers.len(),
        body: answer.body.as_ptr().cast(),
        body_len: answer.body.len(),
    };
    // SAFETY: the host gave the function for this; the answer is valid until it returns.
    unsafe { run(user.value, &answer) };
}

/// # Safety
/// The pointers of `given` are NULL or valid for their lengths.
unsafe fn request_of(given: &sockeye_http_request) -> Outcome<HostRequest<'_>> {
    if given.flags & !SOCKEYE_CONNECTION_SECURE != 0 {
        return Err(Error::new(Code::Invalid, format!("request.flags has unknown bits: {:#x}", given.flags)));
    }
    // SAFETY: the caller's promise.
    unsafe {
        let remote = text(given.remote, given.remote_len, "request.remote")?;
        Ok(HostRequest {
            method: text(given.method, given.method_len, "request.method")?,
            target: text(given.target, given.target_len, "request.target")?,
            headers: headers_of(given.headers, given.header_count, "request.headers")?,
            body: bytes(given.body.cast(), given.body_len, "request.body")?,
            address: address_of(remote, "request.remote")?,
            secure: given.flags & SOCKEYE_CONNECTION_SECURE != 0,
        })
    }
}

/// # Safety
/// `headers` is NULL or valid for `count` elements, pointers inside included.
unsafe fn headers_of<'a>(
    headers: *const sockeye_header,
    count: usize,
    what: &str,
) -> Outcome<Vec<(&'a str, &'a [u8])>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if headers.is_null() {
        return Err(Error::new(Code::Invalid, format!("{what} is NULL, its count {count}")));
    }
    if count > HEADERS_MAX {
        return Err(Error::new(Code::TooBig, format!("{what} has {count} elements; at most {HEADERS_MAX}")));
    }
    // SAFETY: not NULL, and the caller's promise.
    unsafe {
        let headers = std::slice::from_raw_parts(headers, count);
        let one = |header: &sockeye_header| {
            Ok((text(header.name, header.name_len, what)?, bytes(header.value.cast(), header.value_len, what)?))
        };
        headers.iter().map(one).collect()
    }
}

/// Answers the request of an HTTP event, from any thread: `status` 200..=599, the host's headers, and the body, which 204 and 304 do not
/// have. `Content-Length`, `Date` and `Connection` are the engine's, and those that its options add to every answer come too. STALE: it
/// was answered, has expired, or its client left.
///
/// # Safety
/// `engine` is NULL or an engine; `headers` is NULL or valid for `header_count` elements, pointers inside included; `body` is NULL or
/// valid for `body_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_http_respond(
    engine: *mut sockeye_engine,
    token: sockeye_token,
    status: u32,
    headers: *const sockeye_header,
    header_count: usize,
    body: *const c_void,
    body_len: usize,
) -> sockeye_result {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let headers = headers_of(headers, header_count, "headers")?;
            let body = bytes(body.cast(), body_len, "body")?;
            let no_body = matches!(status, 204 | 304);
            if !(200..=599).contains(&status) || (no_body && !body.is_empty()) {
                let text = format!("status {status} is not in 200..=599, or has a body that it cannot have");
                return Err(Error::new(Code::Invalid, text));
            }
            let mut lines = HeaderLines::new();
            for (name, value) in headers {
                lines
                    .push(name, value)
                    .map_err(|error| Error::new(Code::Invalid, format!("headers: {name:?}: {error}")))?;
            }
            let (lines, body) = (lines.as_bytes().into(), body.into());
            engine.server().decide(token, Decision::Answer { status: status as u16, lines, body })?;
            Ok(SOCKEYE_OK)
        })
    }
}

/// Gives bytes that came on a host's stream. The number of bytes that were taken (copied): fewer than `len`, 0 included, when the engine
/// has not read what it was given before (it holds 256 KiB at most); stop reading then, and give the rest when `room` is called. STALE
/// if the stream is closed; INVALID after `sockeye_stream_end`, and for a request.
///
/// # Safety
/// `engine` is NULL or an engine; `data` is NULL or valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_stream_input(
    engine: *mut sockeye_engine,
    stream: sockeye_stream,
    data: *const c_void,
    len: usize,
) -> i64 {
    // SAFETY: the caller's promises.
    unsafe {
        on_engine(engine, |engine| {
            let data = bytes(data.cast(), len, "data")?;
            let fed = engine.engine.fed(stream)?;
            if fed.is_request() {
                return Err(Error::new(Code::Invalid, format!("{stream:#x} is a request, which was given whole")));
            }
            let taken = fed.input(data);
            taken.map(|len| len as i64).ok_or_else(|| Error::new(Code::Invalid, "the stream was ended before"))
        })
    }
}

/// Says that the peer of a host's stream, or of a request, sends no more or is gone. What was given before is still read. STALE if the
/// stream is closed, or the request answered.
///
/// # Safety
/// `engine` is NULL or an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_stream_end(engine: *mut sockeye_engine, stream: sockeye_stream) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_engine(engine, |engine| {
            engine.engine.fed(stream)?.end();
            Ok(SOCKEYE_OK)
        })
    }
}

/// Says that a host's stream takes more after `send` took less than it was offered; what waits is offered again. STALE if the stream is
/// closed.
///
/// # Safety
/// `engine` is NULL or an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_stream_writable(
    engine: *mut sockeye_engine,
    stream: sockeye_stream,
) -> sockeye_result {
    // SAFETY: the caller's promise.
    unsafe {
        on_engine(engine, |engine| {
            engine.engine.fed(stream)?.writable();
            Ok(SOCKEYE_OK)
        })
    }
}
