//! The state of a session under packets and time in any order, against what the protocol promises: pings at their times, no
//! patience beyond its bound, one upgrade at most, and only after a probe's transport came.
//!
//! The input is a list of steps; bytes of a WebSocket take the way that they take in a server: frames, messages, packets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye::proto::binary::Reconstructor;
use sockeye::proto::engine_packet::{Packet, PacketType, decode_text};
use sockeye::proto::session::{Probed, Received, Session, Tick, Timing, UPGRADE_NOOP_INTERVAL_MS};
use sockeye::proto::socket_packet::Limits;
use sockeye::proto::websocket::{Assembler, Message, Step, decode};
use sockeye_fuzz::{byte, short, take};

const MESSAGE_MAX: usize = 1000;

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let timing = Timing {
        ping_interval_ms: short(&mut data) as u32 + 1,
        ping_timeout_ms: short(&mut data) as u32 + 1,
        upgrade_timeout_ms: short(&mut data) as u32 + 1,
    };
    let mut run = Run::new(timing, byte(&mut data) & 1 == 1);
    while !data.is_empty() && run.open {
        match byte(&mut data) % 8 {
            0 => run.sleep(short(&mut data) as u64),
            1 => run.sleep_until_due(i64::from(byte(&mut data) as i8)),
            2 => run.begin_upgrade(),
            3 => run.abandon(),
            4 => run.extend(),
            5 => {
                let kind = PacketType::from_byte(b'0' + byte(&mut data) % 7);
                let text = if byte(&mut data) & 1 == 0 { "probe" } else { "" };
                run.probe(kind.expect("a digit up to 6"), text);
            }
            6 => {
                let len = usize::from(byte(&mut data));
                run.bytes(take(&mut data, len));
            }
            _ => run.packet(PacketType::from_byte(b'0' + byte(&mut data) % 7).expect("a digit up to 6")),
        }
    }
});

struct Run {
    timing: Timing,
    session: Session,
    now_ms: u64,
    open: bool,
    /// When a ping went out that no pong has answered, and the last thing that may have prolonged the wait for it.
    ping: Option<(u64, u64)>,
    /// When the last pong came, or the session began.
    pong_ms: u64,
    /// When the transport that probes came, and the last noop or pong that it caused.
    candidate: Option<(u64, Option<u64>)>,
    upgraded: bool,
    stream: Vec<u8>,
    assembler: Assembler,
    reconstructor: Reconstructor,
}

impl Run {
    fn new(timing: Timing, upgradable: bool) -> Run {
        Run {
            session: Session::new(0, &timing, upgradable),
            timing,
            now_ms: 0,
            open: true,
            ping: None,
            pong_ms: 0,
            candidate: None,
            upgraded: !upgradable,
            stream: Vec::new(),
            assembler: Assembler::new(MESSAGE_MAX),
            reconstructor: Reconstructor::default(),
        }
    }

    fn sleep(&mut self, ms: u64) {
        self.now_ms += ms;
        self.ticks();
    }

    /// Sleeps until about when something is due, which random times would seldom hit.
    fn sleep_until_due(&mut self, offset_ms: i64) {
        let due = self.session.deadline().saturating_add_signed(offset_ms);
        self.now_ms = self.now_ms.max(due);
        self.ticks();
    }

    fn ticks(&mut self) {
        let due = self.session.deadline() <= self.now_ms;
        let mut ticks = 0;
        while let Some(tick) = self.session.tick(self.now_ms, &self.timing) {
            ticks += 1;
            assert!(ticks <= 4, "time stands still and there is always more to do");
            self.tick(tick);
            if !self.open {
                return;
            }
        }
        assert_eq!(due, ticks > 0, "the deadline tells when there is something to do");
        assert!(self.session.deadline() > self.now_ms);
        self.patience();
    }

    fn tick(&mut self, tick: Tick) {
        let now_ms = self.now_ms;
        match tick {
            Tick::Ping => {
                assert!(self.ping.is_none(), "two pings and no pong between them");
                assert!(now_ms >= self.pong_ms + u64::from(self.timing.ping_interval_ms));
                self.ping = Some((now_ms, now_ms));
            }
            Tick::PingTimeout => {
                let (ping, _) = self.ping.expect("nothing to be late for");
                // A ping that was a little late counts as sent in time.
                assert!(now_ms + 50 >= ping + u64::from(self.timing.ping_timeout_ms));
                self.open = false;
            }
            Tick::Noop => {
                let (_, probed) = self.candidate.expect("a transport that probes");
                let probed = probed.expect("it has probed");
                assert!(now_ms >= probed + UPGRADE_NOOP_INTERVAL_MS);
                self.candidate = self.candidate.map(|(came, _)| (came, Some(now_ms)));
            }
            Tick::UpgradeTimeout => {
                let (came, _) = self.candidate.take().expect("a transport that probes");
                assert!(now_ms >= came + u64::from(self.timing.upgrade_timeout_ms));
            }
        }
    }

    /// After its ticks no session is open that should not be.
    fn patience(&self) {
        let timing = &self.timing;
        match self.ping {
            Some((_, last)) => assert!(self.now_ms < last + u64::from(timing.ping_timeout_ms)),
            None => assert!(self.now_ms < self.pong_ms + u64::from(timing.ping_interval_ms)),
        }
        if let Some((came, _)) = self.candidate {
            assert!(self.now_ms < came + u64::from(timing.upgrade_timeout_ms));
        }
    }

    fn packet(&mut self, kind: PacketType) {
        let received = self.session.receive(kind, self.now_ms, &self.timing);
        match kind {
            PacketType::Ping => {
                assert_eq!(received, Received::InvalidHeartbeatDirection);
                self.open = false;
                return;
            }
            PacketType::Pong => {
                (self.ping, self.pong_ms) = (None, self.now_ms);
                assert_eq!(received, Received::Ignored);
            }
            PacketType::Message => assert_eq!(received, Received::Message),
            PacketType::Close => {
                assert_eq!(received, Received::Close);
                self.open = false;
            }
            PacketType::Open | PacketType::Upgrade | PacketType::Noop => assert_eq!(received, Received::Ignored),
        }
        // The first packet after a ping shows that the client is there, and the wait begins anew; the others do not.
        if let Some((sent, last)) = &mut self.ping
            && sent == last
        {
            *last = self.now_ms;
        }
    }

    fn begin_upgrade(&mut self) {
        let begins = self.session.begin_upgrade(self.now_ms, &self.timing);
        assert_eq!(begins, !self.upgraded && self.candidate.is_none());
        if begins {
            self.candidate = Some((self.now_ms, None));
        }
    }

    fn probe(&mut self, kind: PacketType, data: &str) {
        let probed = self.session.probe(kind, data, self.now_ms, &self.timing);
        let is_ping = kind == PacketType::Ping && data == "probe";
        match self.candidate {
            Some((came, _)) if is_ping => {
                assert_eq!(probed, Probed::Pong);
                self.candidate = Some((came, Some(self.now_ms)));
            }
            Some(_) if kind == PacketType::Upgrade => {
                assert_eq!(probed, Probed::Upgrade);
                (self.candidate, self.upgraded) = (None, true);
                self.prolonged();
            }
            _ => {
                assert_eq!(probed, Probed::Reject);
                self.candidate = None;
            }
        }
    }

    fn abandon(&mut self) {
        self.session.abandon_upgrade();
        self.candidate = None;
    }

    fn extend(&mut self) {
        self.session.extend(self.now_ms, &self.timing);
        self.prolonged();
    }

    /// The host, not the peer, made the wait begin anew, as if the ping went out now.
    fn prolonged(&mut self) {
        self.ping = self.ping.map(|_| (self.now_ms, self.now_ms));
    }

    /// Bytes of the session's WebSocket.
    fn bytes(&mut self, bytes: &[u8]) {
        let mut stream = std::mem::take(&mut self.stream);
        stream.extend_from_slice(bytes);
        let mut used = 0;
        while self.open && used < stream.len() {
            let rest = &mut stream[used..];
            let frame = match decode(rest, self.assembler.room()) {
                Ok(Step::Frame(frame)) => frame,
                Ok(Step::NeedMore { .. }) => break,
                Err(_) => return self.open = false,
            };
            used += frame.consumed;
            match self.assembler.accept(&frame, &rest[frame.payload.clone()]) {
                Ok(Some(Message::Text(text))) => match decode_text(&text) {
                    Ok(packet) => self.engine_packet(&packet),
                    Err(_) => self.open = false,
                },
                Ok(Some(Message::Binary(data))) => self.engine_packet(&Packet::Binary(data)),
                Ok(Some(Message::Close(_))) | Err(_) => self.open = false,
                Ok(Some(Message::Ping(_) | Message::Pong(_)) | None) => {}
            }
        }
        stream.drain(..used);
        self.stream = stream;
    }

    fn engine_packet(&mut self, packet: &Packet<'_>) {
        let limits = Limits::default();
        match packet {
            Packet::Text { kind, data } => {
                self.packet(*kind);
                if *kind == PacketType::Message && self.reconstructor.take_text(data, &limits).is_err() {
                    self.open = false;
                }
            }
            Packet::Binary(data) => {
                self.packet(PacketType::Message);
                match self.reconstructor.accept(data) {
                    Ok(complete) => drop(complete.map(|complete| complete.recycle())),
                    Err(_) => self.open = false,
                }
            }
        }
    }
}
