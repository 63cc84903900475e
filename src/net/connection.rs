//! A connection: its bytes in and out, and what they mean at present.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr};
use std::task::{Context, Waker};

use super::accept::Arrival;
use super::admission::Permit;
use super::http::{BodyDecoder, Head};
use super::stream::Stream;
use super::table::Key;
use crate::proto::websocket::Assembler;
use crate::server::meter::{Meter, Tally};
use crate::server::{Level, Run, give_buffer};
use crate::sys;

/// Bytes of an answer that its peer must take in `requestTimeMs`, or all that is left: a kilobyte a second by default, so that who takes
/// a byte at a time does not hold an answer for hours.
const PROGRESS_MIN: usize = 64 * 1024;

/// What a connection's bytes mean.
pub enum Role {
    /// A request head is to come.
    Head,
    /// The body of this request is coming.
    Body(Box<Incoming>),
    /// A poll of this session waits for its answer.
    Poll { session: Key, head: Box<Head> },
    /// This request's packets wait until the host has taken more events, or the session may send more.
    Stalled(Box<Held>),
    /// The host decides about this handshake, by this token.
    Deciding { token: u64, head: Box<Head> },
    /// Frames of this session; `candidate` while it probes.
    WebSocket { session: Key, candidate: bool, assembler: Assembler },
    /// Nothing more is wanted; what is unsent is sent, then the peer may close.
    Closing,
}

impl Role {
    /// Bytes of a request that is not whole, or not taken yet.
    pub fn held_len(&self) -> usize {
        match self {
            Role::Body(incoming) => incoming.body.capacity(),
            Role::Stalled(held) => held.body.capacity(),
            _ => 0,
        }
    }
}

/// A request of which packets are still to be taken.
pub struct Held {
    pub head: Head,
    pub session: Key,
    pub body: String,
    /// How much of the body's end those packets are.
    pub left: usize,
}

/// Where a connection is between its requests, which tells what its deadline means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has sent no whole request; the time of the first one runs since the connection was accepted.
    New,
    /// No request has begun since the last one.
    Idle,
    /// A request has begun, and is to be whole in time.
    Begun,
}

/// A request whose body is coming.
pub struct Incoming {
    pub head: Head,
    pub decoder: BodyDecoder,
    /// Without what came so far if nobody wants it.
    pub body: Vec<u8>,
    pub is_wanted: bool,
}

/// How a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The kernel has it all.
    All,
    /// The rest waits until the kernel takes more.
    Blocked,
    /// The peer is gone.
    Failed,
}

/// The peer of a connection without an address, such as one on a Unix socket.
pub const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// [`NO_ADDRESS`] if there is none.
    pub address: IpAddr,
    /// Whether the host speaks TLS with it.
    pub secure: bool,
}

/// The answer to a poll that the kernel has not taken whole: it still counts as waiting for its session.
#[derive(Clone, Copy, Debug)]
pub struct Unread {
    pub session: Key,
    /// Bytes that are left, and all of its packets.
    pub left: Level,
}

/// A connection.
pub struct Connection {
    stream: Stream,
    waker: Waker,
    pub permit: Permit,
    pub role: Role,
    pub stage: Stage,
    /// Bytes that came and could not be used yet.
    pub input: Vec<u8>,
    /// Bytes that the kernel did not take yet.
    unsent: Option<Box<Unsent>>,
    /// When it ends unless something changes; milliseconds since the engine was made.
    pub deadline_ms: u64,
    /// Reading stopped: the input is full, or a queue is.
    pub paused: bool,
    /// Known to hold bytes in buffers.
    pub noted: bool,
}

/// A run of frames of which a part was sent.
#[derive(Default)]
struct Unsent {
    run: Run,
    /// Bytes that the kernel took since [`Connection::is_read_by_its_peer`] was asked last.
    taken: usize,
    /// Sent of `run.bytes`.
    bytes_sent: usize,
    /// Shared frames sent, and of the next one.
    shared_sent: usize,
    within: usize,
    /// The answer to the last of the peer's pings.
    pong: Vec<u8>,
    /// The session that this answers a poll of, and with how many packets.
    answers: Option<(Key, u32)>,
}

impl Connection {
    /// Takes over an accepted stream; `waker` is woken when it is readable, or writable after a write that was blocked.
    pub fn new(stream: Stream, permit: Permit, waker: Waker, deadline_ms: u64) -> Connection {
        stream.begin(&Context::from_waker(&waker));
        Connection {
            stream,
            waker,
            permit,
            role: Role::Head,
            stage: Stage::New,
            input: Vec::new(),
            unsent: None,
            deadline_ms,
            paused: false,
            noted: false,
        }
    }

    /// Waits for the kernel to tell that there is something to read, whatever the runtime assumes of a new stream: a client's requests
    /// on two connections are then taken in the order in which they came.
    pub fn await_first_bytes(&mut self) {
        self.stream.assume_nothing();
        if self.await_readable() {
            self.waker.wake_by_ref();
        }
    }

    /// Asks to be woken when there is something to read; true if that is so already.
    pub fn await_readable(&mut self) -> bool {
        let mut cx = Context::from_waker(&self.waker);
        self.stream.poll_readable(&mut cx)
    }

    /// Reads into `buffer`; 0 is the peer's end, `WouldBlock` means that there is nothing.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }

    /// Bytes that wait for the kernel.
    pub fn unsent_len(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.len())
    }

    /// Whether the host carries its bytes.
    pub fn is_fed(&self) -> bool {
        matches!(self.stream, Stream::Fed(_))
    }

    /// Whether bytes wait for the kernel.
    pub fn is_blocked(&self) -> bool {
        self.unsent.is_some()
    }

    /// Says that the bytes that wait, if any, answer a poll of this session with so many packets.
    pub fn set_answer(&mut self, session: Key, packets: u32) {
        if let Some(unsent) = &mut self.unsent {
            unsent.answers = Some((session, packets));
        }
    }

    /// The answer to a poll that waits for the kernel.
    pub fn unread(&self) -> Option<Unread> {
        let (session, packets) = self.unsent.as_ref()?.answers?;
        Some(Unread { session, left: Level { bytes: self.unsent_len(), packets } })
    }

    /// Whether bytes wait, but the peer has taken a fair share of them since this was asked last.
    pub fn is_read_by_its_peer(&mut self) -> bool {
        self.unsent.as_mut().is_some_and(|unsent| std::mem::take(&mut unsent.taken) >= PROGRESS_MIN)
    }

    /// Writes bytes, after those that wait; `meter` counts what the kernel took, here and below.
    pub fn write(&mut self, bytes: &[u8], meter: &Meter) -> Written {
        if let Some(unsent) = &mut self.unsent {
            unsent.run.bytes.extend_from_slice(bytes);
            return Written::Blocked;
        }
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.send(rest) {
                Ok(written) => {
                    meter.add(Tally::BytesOut, written as u64);
                    sent += written;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let run = Run { bytes: rest.to_vec(), ..Run::default() };
                    self.unsent = Some(Box::new(Unsent { run, ..Unsent::default() }));
                    return self.await_writable();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Written::Failed,
            }
        }
        Written::All
    }

    /// Writes a pong. While bytes wait, only the last is kept, as RFC 6455 §5.5.3 allows: who pings and does not read costs no memory.
    pub fn write_pong(&mut self, frame: &[u8], meter: &Meter) -> Written {
        match &mut self.unsent {
            None => self.write(frame, meter),
            Some(unsent) => {
                frame.clone_into(&mut unsent.pong);
                Written::Blocked
            }
        }
    }

    /// Writes a run of frames; what the kernel does not take is kept. Not to be called while bytes wait.
    pub fn write_run(&mut self, run: Run, meter: &Meter) -> Written {
        if run.shared.is_empty() {
            let written = self.write(&run.bytes, meter);
            give_buffer(run.bytes);
            return written;
        }
        let unsent = Unsent { run, ..Unsent::default() };
        self.unsent = Some(Box::new(unsent));
        self.write_unsent(meter)
    }

    /// Goes on with what waits.
    pub fn write_unsent(&mut self, meter: &Meter) -> Written {
        while let Some(unsent) = &mut self.unsent {
            match unsent.send(&self.stream) {
                Ok(written) => {
                    meter.add(Tally::BytesOut, written as u64);
                    if !unsent.advance(written) {
                        unsent.taken += written;
                        continue;
                    }
                    let pong = std::mem::take(&mut unsent.pong);
                    self.unsent = None;
                    // Nothing may follow a close frame.
                    if !pong.is_empty() && matches!(self.role, Role::WebSocket { .. }) {
                        return self.write(&pong, meter);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.await_writable();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Written::Failed,
            }
        }
        Written::All
    }

    fn await_writable(&mut self) -> Written {
        let mut cx = Context::from_waker(&self.waker);
        if self.stream.poll_writable(&mut cx) {
            // It became writable in between: come back in the next turn.
            self.waker.wake_by_ref();
        }
        Written::Blocked
    }

    /// Ends the sending side: the peer sees the end after all that was written.
    pub fn shut_down(&self) {
        self.stream.shut_down();
    }

    /// Ends the connection at once; what was written and not taken by the peer is forgotten.
    pub fn reset(self) {
        self.stream.reset();
    }

    /// Looks at the connection again in the next turn.
    pub fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// What another shard needs of it to go on: the stream, and the bytes that came and were not used.
    pub fn release(self) -> io::Result<Arrival> {
        let (permit, input, deadline_ms) = (self.permit, self.input, self.deadline_ms);
        Ok(Arrival { stream: self.stream.detach()?, permit, input, deadline_ms })
    }
}

impl Unsent {
    /// One vectored write of as many pieces as a call takes.
    fn send(&self, stream: &Stream) -> io::Result<usize> {
        let mut pieces = [IoSlice::new(&[]); sys::IOV_MAX];
        let mut count = 0;
        let mut from = self.bytes_sent;
        let mut within = self.within;
        for (at, frame) in self.run.shared.iter().skip(self.shared_sent) {
            if count + 2 > pieces.len() {
                return stream.send_vectored(&pieces[..count]);
            }
            if *at > from {
                pieces[count] = IoSlice::new(&self.run.bytes[from..*at]);
                count += 1;
                from = *at;
            }
            pieces[count] = IoSlice::new(&frame[within..]);
            count += 1;
            within = 0;
        }
        if count < pieces.len() && from < self.run.bytes.len() {
            pieces[count] = IoSlice::new(&self.run.bytes[from..]);
            count += 1;
        }
        stream.send_vectored(&pieces[..count])
    }

    /// Bytes that are left.
    fn len(&self) -> usize {
        let shared = self.run.shared.iter().skip(self.shared_sent).map(|(_, frame)| frame.len()).sum::<usize>();
        self.run.bytes.len() - self.bytes_sent + shared - self.within
    }

    /// Counts what was sent; true if that was all.
    fn advance(&mut self, mut written: usize) -> bool {
        while written > 0 {
            let next = self.run.shared.get(self.shared_sent);
            let bytes_end = next.map_or(self.run.bytes.len(), |(at, _)| *at);
            let of_bytes = written.min(bytes_end - self.bytes_sent);
            self.bytes_sent += of_bytes;
            written -= of_bytes;
            let Some((_, frame)) = next else { break };
            let of_frame = written.min(frame.len() - self.within);
            self.within += of_frame;
            written -= of_frame;
            if self.within == frame.len() {
                self.within = 0;
                self.shared_sent += 1;
            }
        }
        self.shared_sent == self.run.shared.len() && self.bytes_sent == self.run.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn an_idle_connection_stays_small() {
        // What 100,000 idle clients pay 100,000 times.
        assert!(size_of::<Connection>() <= 160);
    }

    #[test]
    fn progress_counts_through_bytes_and_shared_frames_in_order() {
        let shared = vec![(2, Bytes::from_static(b"SHARED")), (2, Bytes::from_static(b"!"))];
        for step in 1..=11 {
            let run = Run { bytes: b"abcd".to_vec(), shared: shared.clone(), ..Run::default() };
            let mut unsent = Unsent { run, ..Unsent::default() };
            let mut left = 11;
            while left > step {
                assert_eq!(unsent.len(), left);
                assert!(!unsent.advance(step), "{left} left, {step} written");
                left -= step;
            }
            assert!(unsent.advance(left));
        }
    }
}
