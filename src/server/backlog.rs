//! Packets that wait as objects: to be dropped, superseded, expired or overtaken one by one.
//!
//! Three lanes, each in the order of emission, so that adding, taking and dropping the oldest cost the same however many wait: urgent
//! packets, packets that are never dropped to make room, and events. Numbers given at emission put the lanes back into one order. A
//! connection has a backlog only while it needs one (see `outbound`).

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::encoded::Encoded;
use super::frames::Class;

/// Holes in the lane of events from which on it may be closed up.
const HOLES_MIN: usize = 64;

/// What an emission wants beyond being sent; one for all its receivers.
#[derive(Debug, Default)]
pub struct Special {
    /// Not to be written from this time on; microseconds since the engine was made.
    pub expires_us: Option<u64>,
    /// When it was emitted, if it can expire.
    pub now_us: u64,
    /// Of the packets with this key the latest is worth the most.
    pub key: Option<Arc<[u8]>>,
    /// It passes ordinary events.
    pub priority: bool,
}

impl Special {
    /// Bytes of the key.
    pub fn key_len(&self) -> usize {
        self.key.as_ref().map_or(0, |key| key.len())
    }
}

/// A packet that waits.
#[derive(Debug)]
pub struct Waiting {
    number: u64,
    pub class: Class,
    /// Empty in a hole, which a dropped event left.
    pub packet: Encoded,
    /// Its answer may be compressed.
    pub compress: bool,
    special: Option<Arc<Special>>,
}

impl Waiting {
    /// Bytes that it costs: its frames, and the key that it keeps.
    pub fn len(&self) -> usize {
        self.packet.len() + self.special.as_ref().map_or(0, |special| special.key_len())
    }

    fn is_hole(&self) -> bool {
        self.packet.first.is_empty()
    }

    fn has_expired(&self, now_us: u64) -> bool {
        self.special.as_ref().and_then(|special| special.expires_us).is_some_and(|at_us| at_us <= now_us)
    }

    /// The key by which it can be superseded.
    fn key(&self) -> Option<&Arc<[u8]>> {
        self.special.as_ref()?.key.as_ref().filter(|_| self.class == Class::Event)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    Urgent,
    Kept,
    Events,
}

/// The packets that wait for one connection.
#[derive(Debug, Default)]
pub struct Backlog {
    urgent: VecDeque<Waiting>,
    kept: VecDeque<Waiting>,
    /// Never starts with a hole.
    events: VecDeque<Waiting>,
    /// Numbers of the barriers among `kept`.
    barriers: VecDeque<u64>,
    next_number: u64,
    bytes: usize,
    packets: u32,
    holes: usize,
    /// The number of the latest packet with each key, and how many have keys.
    latest: HashMap<Arc<[u8]>, u64>,
    keyed: usize,
    /// The latest time that was told.
    now_us: u64,
}

impl Backlog {
    /// Bytes of all packets.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Packets, Engine.IO's own left out.
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.kept.is_empty() && self.events.is_empty()
    }

    /// Adds a packet behind the others, or, if it is urgent, behind the last that it may not pass.
    pub fn push(&mut self, class: Class, packet: Encoded, compress: bool, special: Option<&Arc<Special>>) {
        self.next_number += 1;
        let waiting = Waiting { number: self.next_number, class, packet, compress, special: special.cloned() };
        self.bytes += waiting.len();
        self.packets += u32::from(class != Class::Control);
        if let Some(special) = special {
            self.now_us = self.now_us.max(special.now_us);
        }
        if let Some(key) = waiting.key() {
            self.keyed += 1;
            self.latest.insert(key.clone(), waiting.number);
        }
        let urgent = special.is_some_and(|special| special.priority);
        match class {
            _ if urgent => self.urgent.push_back(waiting),
            Class::Event => self.events.push_back(waiting),
            Class::Control | Class::Ack | Class::Asking => self.kept.push_back(waiting),
            Class::Barrier => {
                self.barriers.push_back(waiting.number);
                self.kept.push_back(waiting);
            }
        }
    }

    /// Takes the next packet that is worth writing, at most `len_max` bytes long; those whose time is over are dropped and counted.
    pub fn pop(&mut self, now_us: u64, len_max: usize, expired: &mut u64) -> Option<Waiting> {
        self.now_us = self.now_us.max(now_us);
        *expired += self.expire();
        let lane = self.next_lane()?;
        if self.lane(lane).front()?.len() > len_max {
            return None;
        }
        self.take(lane)
    }

    /// Drops packets whose time is over, as long as one is the next; how many.
    pub fn expire(&mut self) -> u64 {
        let mut expired = 0;
        while let Some(lane) = self.next_lane() {
            let now_us = self.now_us;
            if !self.lane(lane).front().is_some_and(|waiting| waiting.has_expired(now_us)) {
                break;
            }
            self.take(lane);
            expired += 1;
        }
        expired
    }

    /// Tells the time.
    pub fn set_now(&mut self, now_us: u64) {
        self.now_us = self.now_us.max(now_us);
    }

    /// Drops the oldest event, urgent ones last; false if there is none.
    pub fn drop_oldest(&mut self) -> bool {
        if self.take(Lane::Events).is_some() {
            return true;
        }
        let droppable = self.urgent.iter().position(|waiting| waiting.class == Class::Event);
        let dropped = droppable.and_then(|at| self.urgent.remove(at));
        dropped.is_some_and(|waiting| {
            self.forget(&waiting);
            true
        })
    }

    /// Drops the latest packet with this key, as one with the same key is coming; false if there is none.
    pub fn supersede(&mut self, key: &[u8]) -> bool {
        let Some(number) = self.latest.get(key).copied() else { return false };
        if let Ok(at) = self.events.binary_search_by_key(&number, |waiting| waiting.number)
            && let Some(waiting) = self.events.get_mut(at)
        {
            let hole = Waiting { packet: Encoded::default(), special: None, ..*waiting };
            let dropped = std::mem::replace(waiting, hole);
            self.holes += 1;
            self.forget(&dropped);
            self.close_up();
            return true;
        }
        let urgent = self.urgent.binary_search_by_key(&number, |waiting| waiting.number).ok();
        urgent.and_then(|at| self.urgent.remove(at)).is_some_and(|dropped| {
            self.forget(&dropped);
            true
        })
    }

    /// Drops every packet of which a later one has the key; how many.
    pub fn drop_superseded(&mut self) -> u64 {
        if self.keyed == self.latest.len() {
            return 0;
        }
        let (latest, mut dropped, mut bytes) = (&self.latest, 0, 0);
        let mut stays = |waiting: &Waiting| {
            let stays = waiting.key().is_none_or(|key| latest.get(key) == Some(&waiting.number));
            if !stays {
                dropped += 1;
                bytes += waiting.len();
            }
            stays && !waiting.is_hole()
        };
        self.urgent.retain(&mut stays);
        self.events.retain(&mut stays);
        self.holes = 0;
        self.keyed -= dropped;
        self.packets -= dropped as u32;
        self.bytes -= bytes;
        dropped as u64
    }

    /// The lane whose first packet is the next.
    fn next_lane(&self) -> Option<Lane> {
        let number = |lane: &VecDeque<Waiting>| lane.front().map(|waiting| waiting.number);
        if let Some(urgent) = number(&self.urgent)
            && self.barriers.front().is_none_or(|barrier| *barrier > urgent)
        {
            return Some(Lane::Urgent);
        }
        match (number(&self.kept), number(&self.events)) {
            (Some(kept), Some(event)) if event < kept => Some(Lane::Events),
            (Some(_), _) => Some(Lane::Kept),
            (None, event) => event.map(|_| Lane::Events),
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Waiting> {
        match lane {
            Lane::Urgent => &mut self.urgent,
            Lane::Kept => &mut self.kept,
            Lane::Events => &mut self.events,
        }
    }

    fn take(&mut self, lane: Lane) -> Option<Waiting> {
        let taken = self.lane(lane).pop_front()?;
        if taken.class == Class::Barrier {
            self.barriers.pop_front();
        }
        self.forget(&taken);
        self.close_up();
        Some(taken)
    }

    /// Takes a packet that has left its lane out of the counts.
    fn forget(&mut self, left: &Waiting) {
        self.bytes -= left.len();
        self.packets -= u32::from(left.class != Class::Control);
        if let Some(key) = left.key() {
            self.keyed -= 1;
            if self.latest.get(key) == Some(&left.number) {
                self.latest.remove(key);
            }
        }
    }

    /// Takes holes out of the lane of events: those at its front, and the others when they are the most of it.
    fn close_up(&mut self) {
        while self.holes > 0 && self.events.front().is_some_and(Waiting::is_hole) {
            self.events.pop_front();
            self.holes -= 1;
        }
        if self.holes >= HOLES_MIN && self.holes * 2 > self.events.len() {
            self.events.retain(|waiting| !waiting.is_hole());
            self.holes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::websocket::Opcode;
    use crate::server::frames::payload;

    fn special(key: &str, priority: bool, expires_us: Option<u64>) -> Arc<Special> {
        let key = (!key.is_empty()).then(|| key.as_bytes().into());
        Arc::new(Special { expires_us, now_us: 0, key, priority })
    }

    fn push(backlog: &mut Backlog, class: Class, text: &str, special: Option<&Arc<Special>>) {
        backlog.push(class, Encoded::single(Opcode::Text, text.as_bytes()), false, special);
    }

    fn taken(backlog: &mut Backlog, now_us: u64) -> String {
        let mut all = String::new();
        while let Some(waiting) = backlog.pop(now_us, usize::MAX, &mut 0) {
            all.push_str(std::str::from_utf8(payload(&waiting.packet.first)).unwrap());
        }
        assert_eq!((backlog.len(), backlog.packets(), backlog.is_empty(), backlog.keyed), (0, 0, true, 0));
        assert!(backlog.latest.is_empty() && backlog.barriers.is_empty());
        all
    }

    #[test]
    fn urgent_packets_pass_events_but_neither_each_other_nor_a_barrier() {
        let (mut backlog, urgent) = (Backlog::default(), special("", true, None));
        push(&mut backlog, Class::Event, "a", None);
        push(&mut backlog, Class::Event, "1", Some(&urgent));
        push(&mut backlog, Class::Barrier, "B", None);
        push(&mut backlog, Class::Event, "b", None);
        push(&mut backlog, Class::Ack, "c", None);
        push(&mut backlog, Class::Event, "2", Some(&urgent));
        push(&mut backlog, Class::Event, "3", Some(&urgent));
        assert_eq!(taken(&mut backlog, 0), "1aB23bc");
    }

    #[test]
    fn the_oldest_event_goes_first_and_urgent_ones_last() {
        let (mut backlog, urgent) = (Backlog::default(), special("", true, None));
        push(&mut backlog, Class::Event, "u", Some(&urgent));
        push(&mut backlog, Class::Ack, "k", None);
        push(&mut backlog, Class::Event, "a", None);
        push(&mut backlog, Class::Event, "b", None);
        assert!(backlog.drop_oldest());
        assert_eq!((backlog.packets(), backlog.len()), (3, 9));
        assert!(backlog.drop_oldest() && backlog.drop_oldest() && !backlog.drop_oldest());
        assert_eq!(taken(&mut backlog, 0), "k");
    }

    #[test]
    fn a_later_packet_supersedes_those_of_its_key() {
        let mut backlog = Backlog::default();
        let (x, y, urgent) = (special("x", false, None), special("y", false, None), special("x", true, None));
        for (text, special) in [("1", &x), ("2", &y), ("3", &x), ("4", &x), ("5", &urgent)] {
            push(&mut backlog, Class::Event, text, Some(special));
        }
        assert!(backlog.supersede(b"x") && !backlog.supersede(b"z"));
        push(&mut backlog, Class::Event, "6", Some(&x));
        assert_eq!(backlog.drop_superseded(), 3);
        assert_eq!(backlog.drop_superseded(), 0);
        assert_eq!(taken(&mut backlog, 0), "26");
    }

    #[test]
    fn many_holes_are_closed_up() {
        let mut backlog = Backlog::default();
        push(&mut backlog, Class::Event, "first", None);
        for number in 0..1000 {
            let key = special("x", false, None);
            backlog.supersede(b"x");
            push(&mut backlog, Class::Event, &format!("{number} "), Some(&key));
            assert!(backlog.events.len() <= 2 * HOLES_MIN + 2);
        }
        assert_eq!(taken(&mut backlog, 0), "first999 ");
    }

    #[test]
    fn what_has_expired_is_not_taken() {
        let mut backlog = Backlog::default();
        for (text, at_us) in [("a", Some(10)), ("b", Some(20)), ("c", None), ("d", Some(11))] {
            push(&mut backlog, Class::Event, text, Some(&special("k", false, at_us)));
        }
        let mut expired = 0;
        let next = backlog.pop(11, usize::MAX, &mut expired).unwrap();
        assert_eq!((payload(&next.packet.first), expired), (&b"b"[..], 1));
        assert_eq!(taken(&mut backlog, 12), "c");
    }
}
