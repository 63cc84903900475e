//! The other servers of a namespace, in formats whose servers tell each other that they are there.

use hashbrown::HashMap;

/// The name that all emitters go by, which is no server's.
pub const EMITTER: &str = "emitter";

/// How often servers tell, and how long a silent one is believed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub interval_ms: u32,
    pub timeout_ms: u32,
}

/// The servers that are known, and when this one has to be heard again. Times are microseconds.
#[derive(Debug, Default)]
pub struct Peers {
    heard_us: HashMap<Box<str>, u64>,
    beat_us: u64,
}

impl Peers {
    /// A server was heard.
    pub fn heard(&mut self, uid: &str, now_us: u64) {
        match self.heard_us.get_mut(uid) {
            Some(at_us) => *at_us = now_us,
            None if uid != EMITTER => drop(self.heard_us.insert(uid.into(), now_us)),
            None => {}
        }
    }

    /// A server has left.
    pub fn gone(&mut self, uid: &str) {
        self.heard_us.remove(uid);
    }

    /// Those that are believed to be there.
    pub fn uids(&self) -> impl Iterator<Item = &str> {
        self.heard_us.keys().map(|uid| &**uid)
    }

    /// Takes those out that have been silent for too long.
    pub fn expire(&mut self, heartbeat: Heartbeat, now_us: u64) -> Vec<Box<str>> {
        let timeout_us = u64::from(heartbeat.timeout_ms) * 1000;
        self.heard_us.extract_if(|_, at_us| now_us >= *at_us + timeout_us).map(|(uid, _)| uid).collect()
    }

    /// This server is heard now, by a message that all others hear at once.
    pub fn told(&mut self, heartbeat: Heartbeat, now_us: u64) {
        self.beat_us = now_us + u64::from(heartbeat.interval_ms) * 1000;
    }

    /// Whether it has to be heard.
    pub fn must_tell(&self, now_us: u64) -> bool {
        now_us >= self.beat_us
    }

    /// When the next of these is due.
    pub fn next_us(&self, heartbeat: Heartbeat) -> u64 {
        let timeout_us = u64::from(heartbeat.timeout_ms) * 1000;
        self.heard_us.values().map(|at_us| at_us + timeout_us).fold(self.beat_us, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_forgotten_and_an_emitter_never_known() {
        let heartbeat = Heartbeat { interval_ms: 5, timeout_ms: 10 };
        let mut peers = Peers::default();
        peers.heard("a", 0);
        peers.heard("b", 0);
        peers.heard("emitter", 0);
        peers.told(heartbeat, 0);
        assert_eq!((peers.uids().count(), peers.next_us(heartbeat)), (2, 5000));
        peers.heard("a", 6000);
        assert!(!peers.must_tell(4999) && peers.must_tell(5000));
        assert!(peers.expire(heartbeat, 9999).is_empty());
        assert_eq!(peers.expire(heartbeat, 10_000), [Box::from("b")]);
        peers.gone("a");
        assert_eq!(peers.uids().count(), 0);
    }
}
