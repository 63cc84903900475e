//! A whole engine behind its C ABI: a few connections that send anything, in any order and partly at the right moments, to a host that
//! answers, refuses, broadcasts and disconnects. Afterwards each connection has ended, another client is served, and memory returns.
//!
//! The input is a list of steps. Its times are short, so that heartbeats and timeouts happen between the steps.
#![no_main]

use std::ffi::c_void;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sockeye::ffi::*;
use sockeye_fuzz::{byte, live, take};

const OPTIONS: &str = r#"{"pingInterval":60,"pingTimeout":60,"upgradeTimeout":40,"connectTimeout":40,"maxHttpBufferSize":5000,
    "connectionErrors":true,"allowRequest":true,"cors":{"origin":["http://a"],"credentials":true},"cookie":true,
    "limits":{"requestTimeMs":1000,"keepAliveMs":1000,"attachmentsTimeMs":100}}"#;
const CONNECTIONS: usize = 4;
/// A peer that waits this long for the end of its connection, or for an answer, has found something.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often memory is looked at, in inputs, and what may be kept: spare buffers, tables that have grown.
const LOOK_EVERY: usize = 2000;
const KEPT_MAX: usize = 4 << 20;

fuzz_target!(|data: &[u8]| {
    let engine = Engine::get();
    let mut peer = Peer { engine, connections: [const { None }; CONNECTIONS], sid: String::new() };
    let mut data = data;
    while !data.is_empty() {
        peer.step(&mut data);
    }
    peer.end();
    engine.serves_another();
    engine.memory_returns();
});

// ---- the host -------------------------------------------------------------------------------------------------------------

struct Engine(*mut sockeye_engine);

// SAFETY: the functions of the library may be called from any thread.
unsafe impl Send for Engine {}
// SAFETY: as above.
unsafe impl Sync for Engine {}

impl Engine {
    fn get() -> &'static Engine {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        ENGINE.get_or_init(|| {
            let mut engine = null_mut();
            let options = nsp_options(SOCKEYE_NSP_AUTHORIZE | SOCKEYE_NSP_ROOM_EVENTS);
            let ask = nsp_options(SOCKEYE_NSP_ASK);
            let mut nsp = 0;
            // SAFETY: texts are valid for their lengths, and the engine is never freed.
            unsafe {
                ok(sockeye_engine_new_json(OPTIONS.as_ptr().cast(), OPTIONS.len(), &mut engine));
                ok(sockeye_queue_deliver(
                    sockeye_engine_queue(engine),
                    SOCKEYE_DELIVER_INLINE,
                    Some(deliver),
                    engine.cast(),
                    None,
                ));
                for (name, options) in [("/a", Some(&options)), ("/other", None)] {
                    let options = options.map_or(null(), |options| options);
                    ok(sockeye_namespace(engine, name.as_ptr().cast(), name.len(), options, &mut nsp));
                }
                let pattern = "^/p[0-9]$";
                ok(sockeye_namespace_pattern(engine, pattern.as_ptr().cast(), pattern.len(), &ask, &mut nsp));
            }
            Engine(engine)
        })
    }

    /// Our end of a connection that the engine has taken over.
    fn connect(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        ours.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        // SAFETY: a struct of plain data and pointers, for which 0 is none.
        let mut connection: sockeye_connection = unsafe { std::mem::zeroed() };
        connection.size = size_of::<sockeye_connection>() as u32;
        connection.fd = theirs.into_raw_fd() as isize;
        // SAFETY: the struct is valid; the descriptor is the engine's from here on.
        ok(unsafe { sockeye_engine_adopt(self.0, &connection, null_mut()) });
        ours
    }

    /// A client that behaves gets its answer, whatever the others did.
    fn serves_another(&self) {
        for _ in 0..5 {
            if self.try_another().is_some() {
                return;
            }
            // The machine may have slept longer than a heartbeat's patience.
            sleep(Duration::from_millis(100));
        }
        panic!("a client that does nothing wrong is not served");
    }

    fn try_another(&self) -> Option<()> {
        let mut stream = self.connect();
        let open = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(open.as_bytes()).ok()?;
        stream.write_all(&frame(0x81, b"40/other,")).ok()?;
        stream.write_all(&frame(0x81, b"42/other,7[\"x\",1]")).ok()?;
        let mut heard = Vec::new();
        while !heard.windows(11).any(|window| window == b"43/other,7[") {
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(len) => heard.extend_from_slice(&buffer[..len]),
            }
        }
        Some(())
    }

    fn memory_returns(&self) {
        static INPUTS: AtomicUsize = AtomicUsize::new(0);
        static FIRST: OnceLock<usize> = OnceLock::new();
        if INPUTS.fetch_add(1, Ordering::Relaxed) % LOOK_EVERY != LOOK_EVERY - 1 {
            return;
        }
        // Sessions without a connection are gone after a heartbeat's patience; a busy machine may take longer.
        let mut held = 0;
        for _ in 0..50 {
            sleep(Duration::from_millis(200));
            held = live();
            if held <= FIRST.get_or_init(|| held) + KEPT_MAX {
                return;
            }
        }
        panic!("{held} bytes are held by an engine without connections");
    }
}

fn ok(result: sockeye_result) {
    // SAFETY: the text lives until the thread's next call.
    let error = unsafe { std::ffi::CStr::from_ptr(sockeye_last_error()) };
    assert!(result >= 0, "{result} {error:?}");
}

fn nsp_options(flags: u32) -> sockeye_nsp_options {
    sockeye_nsp_options { size: size_of::<sockeye_nsp_options>() as u32, flags, queue: null_mut() }
}

unsafe extern "C" fn deliver(user: *mut c_void, events: *const sockeye_event, count: usize) {
    // SAFETY: by the contract of the callback.
    for event in unsafe { std::slice::from_raw_parts(events, count) } {
        answer(user.cast(), event);
    }
}

/// What a host might do with an event; results are errors now and then, since sockets go while events wait.
fn answer(engine: *mut sockeye_engine, event: &sockeye_event) {
    let even = event.data_len.is_multiple_of(2);
    // SAFETY: what an event points to is valid during the callback.
    unsafe {
        match event.kind {
            SOCKEYE_EVENT_FAULT => panic!("the library had a bug"),
            SOCKEYE_EVENT_HTTP_REQUEST | SOCKEYE_EVENT_NAMESPACE_REQUEST | SOCKEYE_EVENT_AUTHORIZE => {
                // Admission is left open sometimes: such tokens expire, or go with their engine.
                let refused = event.kind == SOCKEYE_EVENT_AUTHORIZE && event.data_len % 5 == 3;
                let (message, data) = ("no", "{\"a\":1}");
                if refused {
                    sockeye_reject(engine, event.token, message.as_ptr().cast(), 2, data.as_ptr().cast(), data.len());
                } else if event.kind != SOCKEYE_EVENT_AUTHORIZE || event.data_len % 5 != 4 {
                    sockeye_accept(engine, event.token, 7, null(), 0);
                }
            }
            SOCKEYE_EVENT_CONNECT => {
                let room = sockeye_bytes { ptr: c"r".as_ptr().cast(), len: 1 };
                sockeye_socket_join(engine, event.socket, &room, 1);
            }
            SOCKEYE_EVENT_MESSAGE => message(engine, event, even),
            _ => {}
        }
    }
}

/// # Safety
/// The event is valid.
unsafe fn message(engine: *mut sockeye_engine, event: &sockeye_event, even: bool) {
    // SAFETY: what an event points to is valid during the callback.
    unsafe {
        let (attachments, count) = (event.attachments, event.attachment_count as usize);
        if event.token != 0 {
            sockeye_ack(engine, event.token, event.data, event.data_len, attachments, count);
        }
        let mut emission: sockeye_emission = std::mem::zeroed();
        emission.size = size_of::<sockeye_emission>() as u32;
        (emission.name_ptr, emission.name_len) = (event.name_ptr, event.name_len);
        (emission.data, emission.data_len) = (event.data, event.data_len);
        (emission.attachments, emission.attachment_count) = (attachments, count);
        (emission.flags, emission.timeout_ms) = (if even { SOCKEYE_EXPECT_ACK } else { 0 }, 20);
        let mut token = 0;
        sockeye_emit(engine, event.socket, &emission, &mut token);
        if event.data_len.is_multiple_of(3) {
            let mut target: sockeye_target = std::mem::zeroed();
            target.size = size_of::<sockeye_target>() as u32;
            (target.nsp, target.from) = (event.nsp, event.socket);
            sockeye_broadcast(engine, &target, &emission, &mut token);
        }
        if event.name_len == 3 {
            sockeye_socket_disconnect(engine, event.socket, u32::from(even));
        }
    }
}

// ---- the peer -------------------------------------------------------------------------------------------------------------

struct Peer {
    engine: &'static Engine,
    connections: [Option<UnixStream>; CONNECTIONS],
    /// The session id that the engine last gave.
    sid: String,
}

impl Peer {
    fn step(&mut self, data: &mut &[u8]) {
        let op = byte(data);
        let at = usize::from(op) % CONNECTIONS;
        let even = op & 0x40 == 0;
        let len = match op >> 2 & 15 {
            0..=4 => usize::from(byte(data)),
            5 => usize::from(byte(data)) * 32,
            _ => 0,
        };
        let bytes = take(data, len);
        match op >> 2 & 15 {
            0 => self.write(at, bytes),
            1 | 5 => self.write(at, &frame(0x81, bytes)),
            2 => self.write(at, &frame(0x82, bytes)),
            3 => self.write(at, &frame(0x81, &[b"4", bytes].concat())),
            4 => {
                let head = format!("Content-Length: {len}\r\n\r\n");
                self.request(at, "POST", true, &head);
                self.write(at, bytes);
            }
            6 => self.request(at, "GET", true, "\r\n"),
            7 => {
                self.request(at, "GET", false, "\r\n");
                self.read_sid(at);
            }
            8 | 9 => {
                let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
                let with_sid = op >> 2 & 15 == 9;
                let sid = if with_sid { self.sid.as_str() } else { "" };
                let head = format!(
                    "GET /socket.io/?EIO=4&transport=websocket{}{sid} HTTP/1.1\r\nHost: h\r\n{upgrade}",
                    if with_sid { "&sid=" } else { "" }
                );
                self.write(at, head.as_bytes());
            }
            10 => self.write(at, &[frame(0x81, b"2probe"), if even { frame(0x81, b"5") } else { Vec::new() }].concat()),
            11 => self.write(at, &frame(0x81, b"3")),
            12 => self.write(at, &frame(0x81, if even { b"40" } else { b"40/a," })),
            13 => sleep(Duration::from_millis(if even { 1 } else { 8 })),
            14 => drop(self.connections[at].take()),
            _ => self.read_sid(at),
        }
    }

    /// Failure is no matter: the engine may have closed the connection.
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let stream = self.connections[at].get_or_insert_with(|| self.engine.connect());
        drop(stream.write_all(bytes));
    }

    fn request(&mut self, at: usize, method: &str, with_sid: bool, rest: &str) {
        let sid = if with_sid { format!("&sid={}", self.sid) } else { String::new() };
        let head = format!(
            "{method} /socket.io/?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\n{rest}"
        );
        self.write(at, head.as_bytes());
    }

    /// Reads what is there, and the id of a session in it.
    fn read_sid(&mut self, at: usize) {
        let Some(stream) = &mut self.connections[at] else { return };
        let mut buffer = [0; 4096];
        stream.set_read_timeout(Some(Duration::from_millis(2))).expect("a timeout");
        let len = stream.read(&mut buffer).unwrap_or(0);
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let text = String::from_utf8_lossy(&buffer[..len]);
        if let Some((_, rest)) = text.split_once("0{\"sid\":\"")
            && let Some((sid, _)) = rest.split_once('"')
        {
            self.sid = sid.to_owned();
        }
    }

    /// Says that nothing more comes, and waits for the end of each connection.
    fn end(&mut self) {
        for stream in self.connections.iter_mut().filter_map(Option::take) {
            let mut stream = stream;
            drop(stream.shutdown(Shutdown::Write));
            let mut buffer = [0; 4096];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                    Err(error) => panic!("a connection did not end: {error}"),
                }
            }
        }
    }
}

/// A client's frame, with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len => frame.extend([&[0xfe], &(len as u16).to_be_bytes()[..]].concat()),
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}
