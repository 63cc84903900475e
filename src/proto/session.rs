//! The state of one Engine.IO 4 session between its packets: heartbeat and upgrade.
//!
//! Time and packets come in, what to do comes out; milliseconds on the caller's clock. Transports, buffers and closing are the
//! caller's.

use super::engine_packet::PacketType;

/// How often a poll that waits while the client probes is released with a noop (server-behaviour.md 2.1).
pub const UPGRADE_NOOP_INTERVAL_MS: u64 = 100;

/// A ping that goes out this late at most counts as sent in time, so that timers' coarseness does not add up.
const LATENESS_MAX_MS: u64 = 50;

/// A time that never comes.
const NEVER: u64 = u64::MAX;

/// The times that a session runs on, milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From a pong, or the start, to the next ping.
    pub ping_interval_ms: u32,
    /// From a ping to the end of patience.
    pub ping_timeout_ms: u32,
    /// From the start of a probe to its end.
    pub upgrade_timeout_ms: u32,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Send a ping.
    Ping,
    /// Close: no pong came.
    PingTimeout,
    /// Release a poll that waits with a noop.
    Noop,
    /// Close the transport that probes; the session stays.
    UpgradeTimeout,
}

/// What a packet on the session's transport means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Its data is a message.
    Message,
    /// The client closes (polling alone sends this).
    Close,
    /// Nothing to do.
    Ignored,
    /// Close with `transport error`: pings go the other way.
    InvalidHeartbeatDirection,
}

/// What a packet on a transport that probes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// Answer with a pong `probe`.
    Pong,
    /// Move the session to it.
    Upgrade,
    /// Close it; the session stays where it is.
    Reject,
}

#[derive(Clone, Copy, Debug)]
enum Heartbeat {
    /// The next ping is due then.
    Beating { ping_at: u64 },
    /// A pong must come until then. A packet that shows the client alive restarts the wait, once.
    Waiting { until: u64, restarted: bool },
}

#[derive(Clone, Copy, Debug)]
enum Upgrade {
    /// On polling; no other transport has come.
    Open,
    /// Another transport is there; `noop_at` once it has probed.
    Probing { until: u64, noop_at: u64 },
    /// No transport may come any more: the session was upgraded, or began on WebSocket. The official server lets a second
    /// WebSocket take the latter over, which no client of it does and a thief of a session id could.
    Done,
}

/// The state of one session.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    heartbeat: Heartbeat,
    upgrade: Upgrade,
}

impl Session {
    /// A session that opens now; `upgradable` if it is on polling.
    pub fn new(now_ms: u64, timing: &Timing, upgradable: bool) -> Session {
        Session {
            heartbeat: Heartbeat::Beating { ping_at: now_ms + u64::from(timing.ping_interval_ms) },
            upgrade: if upgradable { Upgrade::Open } else { Upgrade::Done },
        }
    }

    /// When [`Session::tick`] has something to say.
    pub fn deadline(&self) -> u64 {
        let heartbeat = match self.heartbeat {
            Heartbeat::Beating { ping_at } => ping_at,
            Heartbeat::Waiting { until, .. } => until,
        };
        match self.upgrade {
            Upgrade::Probing { until, noop_at } => heartbeat.min(until).min(noop_at),
            Upgrade::Open | Upgrade::Done => heartbeat,
        }
    }

    /// When patience with a client ends that is not heard any more.
    pub fn patience(&self, timing: &Timing) -> u64 {
        match self.heartbeat {
            Heartbeat::Beating { ping_at } => ping_at + u64::from(timing.ping_timeout_ms),
            Heartbeat::Waiting { until, .. } => until,
        }
    }

    /// One thing that is due, if any; ask again until none is.
    pub fn tick(&mut self, now_ms: u64, timing: &Timing) -> Option<Tick> {
        if let Upgrade::Probing { until, noop_at } = self.upgrade {
            if now_ms >= until {
                self.upgrade = Upgrade::Open;
                return Some(Tick::UpgradeTimeout);
            }
            if now_ms >= noop_at {
                self.upgrade = Upgrade::Probing { until, noop_at: now_ms + UPGRADE_NOOP_INTERVAL_MS };
                return Some(Tick::Noop);
            }
        }
        match self.heartbeat {
            Heartbeat::Beating { ping_at } if now_ms >= ping_at => {
                let late = now_ms - ping_at;
                self.await_pong(if late <= LATENESS_MAX_MS { ping_at } else { now_ms }, timing);
                Some(Tick::Ping)
            }
            Heartbeat::Waiting { until, .. } if now_ms >= until => Some(Tick::PingTimeout),
            _ => None,
        }
    }

    fn await_pong(&mut self, now_ms: u64, timing: &Timing) {
        let until = now_ms + u64::from(timing.ping_timeout_ms);
        self.heartbeat = Heartbeat::Waiting { until, restarted: false };
    }

    /// The session could not be read from until now, because the host was slow: a pong may lie unread.
    pub fn extend(&mut self, now_ms: u64, timing: &Timing) {
        if let Heartbeat::Waiting { .. } = self.heartbeat {
            self.await_pong(now_ms, timing);
        }
    }

    /// A text packet, or with [`PacketType::Message`] a binary one, on the session's transport.
    pub fn receive(&mut self, kind: PacketType, now_ms: u64, timing: &Timing) -> Received {
        match kind {
            PacketType::Ping => return Received::InvalidHeartbeatDirection,
            PacketType::Pong => {
                self.heartbeat = Heartbeat::Beating { ping_at: now_ms + u64::from(timing.ping_interval_ms) };
                return Received::Ignored;
            }
            _ => {}
        }
        if let Heartbeat::Waiting { until, restarted } = &mut self.heartbeat
            && !*restarted
        {
            *until = now_ms + u64::from(timing.ping_timeout_ms);
            *restarted = true;
        }
        match kind {
            PacketType::Message => Received::Message,
            PacketType::Close => Received::Close,
            _ => Received::Ignored,
        }
    }

    /// Another transport has come with this session's id; false if it must be closed.
    pub fn begin_upgrade(&mut self, now_ms: u64, timing: &Timing) -> bool {
        let open = matches!(self.upgrade, Upgrade::Open);
        if open {
            let until = now_ms + u64::from(timing.upgrade_timeout_ms);
            self.upgrade = Upgrade::Probing { until, noop_at: NEVER };
        }
        open
    }

    /// A text packet on the transport that probes. After [`Probed::Upgrade`] the session is upgraded.
    pub fn probe(&mut self, kind: PacketType, data: &str, now_ms: u64, timing: &Timing) -> Probed {
        match (self.upgrade, kind) {
            (Upgrade::Probing { until, .. }, PacketType::Ping) if data == "probe" => {
                self.upgrade = Upgrade::Probing { until, noop_at: now_ms + UPGRADE_NOOP_INTERVAL_MS };
                Probed::Pong
            }
            (Upgrade::Probing { .. }, PacketType::Upgrade) => {
                self.upgrade = Upgrade::Done;
                // A ping that went out on the old transport is waited for anew; the official server forgets the wait.
                self.extend(now_ms, timing);
                Probed::Upgrade
            }
            _ => {
                self.abandon_upgrade();
                Probed::Reject
            }
        }
    }

    /// The transport that probed is gone.
    pub fn abandon_upgrade(&mut self) {
        if let Upgrade::Probing { .. } = self.upgrade {
            self.upgrade = Upgrade::Open;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing { ping_interval_ms: 300, ping_timeout_ms: 200, upgrade_timeout_ms: 400 };

    #[test]
    fn the_next_ping_is_counted_from_the_pong() {
        let mut session = Session::new(0, &TIMING, true);
        assert_eq!((session.deadline(), session.tick(299, &TIMING)), (300, None));
        assert_eq!(session.tick(300, &TIMING), Some(Tick::Ping));
        assert_eq!(session.receive(PacketType::Pong, 350, &TIMING), Received::Ignored);
        assert_eq!(session.deadline(), 650);
    }

    #[test]
    fn silence_after_a_ping_is_a_timeout() {
        let mut session = Session::new(0, &TIMING, true);
        session.tick(300, &TIMING);
        assert_eq!(session.tick(499, &TIMING), None);
        assert_eq!(session.tick(500, &TIMING), Some(Tick::PingTimeout));
    }

    #[test]
    fn data_instead_of_a_pong_restarts_the_wait_once() {
        let mut session = Session::new(0, &TIMING, true);
        session.tick(300, &TIMING);
        assert_eq!(session.receive(PacketType::Message, 450, &TIMING), Received::Message);
        assert_eq!(session.deadline(), 650);
        session.receive(PacketType::Message, 600, &TIMING);
        assert_eq!(session.deadline(), 650);
    }

    #[test]
    fn a_ping_from_the_client_is_an_error() {
        let mut session = Session::new(0, &TIMING, true);
        assert_eq!(session.receive(PacketType::Ping, 1, &TIMING), Received::InvalidHeartbeatDirection);
    }

    #[test]
    fn a_probe_then_an_upgrade_move_the_session() {
        let mut session = Session::new(0, &TIMING, true);
        assert!(session.begin_upgrade(10, &TIMING));
        assert!(!session.begin_upgrade(11, &TIMING));
        assert_eq!(session.probe(PacketType::Ping, "probe", 20, &TIMING), Probed::Pong);
        assert_eq!(session.tick(119, &TIMING), None);
        assert_eq!(session.tick(120, &TIMING), Some(Tick::Noop));
        assert_eq!(session.tick(220, &TIMING), Some(Tick::Noop));
        assert_eq!(session.probe(PacketType::Upgrade, "", 230, &TIMING), Probed::Upgrade);
        assert!(!session.begin_upgrade(240, &TIMING));
        assert_eq!(session.deadline(), 300);
    }

    #[test]
    fn a_failed_probe_leaves_the_session_open_for_another() {
        let mut session = Session::new(0, &TIMING, true);
        session.begin_upgrade(0, &TIMING);
        assert_eq!(session.probe(PacketType::Ping, "probe!", 1, &TIMING), Probed::Reject);
        assert!(session.begin_upgrade(2, &TIMING));
        session.receive(PacketType::Pong, 390, &TIMING);
        assert_eq!(session.tick(402, &TIMING), Some(Tick::UpgradeTimeout));
        assert!(session.begin_upgrade(403, &TIMING));
    }

    #[test]
    fn an_upgrade_restarts_the_wait_for_a_pong() {
        let mut session = Session::new(0, &TIMING, true);
        session.begin_upgrade(250, &TIMING);
        assert_eq!(session.tick(300, &TIMING), Some(Tick::Ping));
        session.probe(PacketType::Upgrade, "", 400, &TIMING);
        assert_eq!(session.deadline(), 600);
    }

    #[test]
    fn a_session_on_websocket_takes_no_other_transport() {
        assert!(!Session::new(0, &TIMING, false).begin_upgrade(1, &TIMING));
    }
}
