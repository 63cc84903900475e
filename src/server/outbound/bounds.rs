//! The budget of a queue: what makes room, who is told, and how it ends.

use std::sync::Arc;

use super::{Outbound, UsedUp};
use crate::server::backlog::Special;
use crate::server::budget::{Notice, Refused};
use crate::server::frames::Class;
use crate::server::limits::OutboundPolicy;
use crate::server::metrics::Count;

impl Outbound {
    /// Makes sure that a packet may be added, by the engine's policy; the host hears of the high mark.
    pub(super) fn make_room(
        &mut self,
        class: Class,
        len: usize,
        special: Option<&Arc<Special>>,
    ) -> Result<(), Refused> {
        if self.used_up.is_some() {
            return Err(Refused::Ending);
        }
        if !self.has_room(len) {
            self.free_room(class, len, special)?;
        }
        if !self.raised && self.level().bytes + len >= self.budget.high {
            self.raised = true;
            self.high_due = true;
            self.set_alarm();
            self.tell_shard();
        }
        Ok(())
    }

    /// Whether the budget has room for a packet of `len` bytes. One may always wait, or large ones could never be sent.
    fn has_room(&self, len: usize) -> bool {
        let level = self.level();
        let fits = level.packets < self.budget.packets_max && level.bytes.saturating_add(len) <= self.budget.bytes_max;
        fits || level.packets == self.in_flight.packets
    }

    fn free_room(&mut self, class: Class, len: usize, special: Option<&Arc<Special>>) -> Result<(), Refused> {
        if let (Some(backlog), Some(special)) = (&mut self.backlog, special) {
            backlog.set_now(special.now_us);
            let expired = backlog.expire();
            self.count_dropped(Count::Expired, expired);
            if self.has_room(len) {
                return Ok(());
            }
        }
        match self.budget.policy {
            OutboundPolicy::Disconnect => {}
            OutboundPolicy::DropNewest if matches!(class, Class::Event | Class::Asking) => {
                self.budget.metrics.count(Count::DroppedNewest);
                return Err(Refused::Full);
            }
            OutboundPolicy::DropNewest => {}
            OutboundPolicy::DropOldest => {
                let mut dropped = 0;
                while !self.has_room(len) && self.unfold().drop_oldest() {
                    dropped += 1;
                }
                self.count_dropped(Count::DroppedOldest, dropped);
            }
            OutboundPolicy::Conflate => {
                let key = special.and_then(|special| special.key.as_deref());
                let mut dropped = u64::from(key.is_some_and(|key| self.unfold().supersede(key)));
                if !self.has_room(len) {
                    dropped += self.backlog.as_mut().map_or(0, |backlog| backlog.drop_superseded());
                }
                self.count_dropped(Count::Conflated, dropped);
            }
        }
        if self.has_room(len) {
            return Ok(());
        }
        self.overflow();
        Err(Refused::Ending)
    }

    /// The budget is used up, and the session will end: what waits is freed at once.
    fn overflow(&mut self) {
        let by_packets = self.level().packets >= self.budget.packets_max;
        self.used_up = Some(if by_packets { UsedUp::Packets } else { UsedUp::Bytes });
        self.backlog = None;
        self.set_alarm();
        self.clear_flat();
        self.budget.metrics.count(Count::OutboundOverflows);
        self.tell_shard();
    }

    /// Says from which level on a packet is looked at more closely.
    pub(super) fn set_alarm(&mut self) {
        self.alarm = match (&self.backlog, self.used_up) {
            (None, None) if self.raised => self.budget.bytes_max,
            (None, None) => self.budget.alarm(),
            _ => 0,
        };
    }

    fn tell_shard(&mut self) {
        self.notice = true;
        self.dirty = false;
    }

    /// What the shard has to see to next, if anything.
    pub fn take_notice(&mut self) -> Option<Notice> {
        let noticed = std::mem::take(&mut self.notice);
        if let Some(used_up) = self.used_up.filter(|_| noticed) {
            return Some(match used_up {
                UsedUp::Packets => Notice::Overflow("outboundPacketsMax", self.budget.packets_max.into()),
                UsedUp::Bytes => Notice::Overflow("outboundBytesMax", self.budget.bytes_max as u64),
            });
        }
        let level = self.level();
        if std::mem::take(&mut self.high_due) {
            return Some(Notice::High(level));
        }
        if self.raised && level.bytes <= self.budget.low {
            self.raised = false;
            self.set_alarm();
            return Some(Notice::Low(level));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PLAIN, outbound, parts};
    use super::super::{Delivery, Outbound};
    use super::*;
    use crate::server::budget::Level;
    use crate::server::frames;

    /// What a flush at this time would write, as text.
    fn taken(out: &mut Outbound, now_us: u64) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let run = out.take_run(now_us);
            frames::each_in_run(&run.bytes, &run.shared, false, |_, packet| {
                all.push(String::from_utf8_lossy(frames::payload(&packet.first)).into_owned());
            });
            if !run.rest {
                return all;
            }
        }
    }

    fn emit(out: &mut Outbound, number: u32) -> Result<(), Refused> {
        out.event(&parts(&format!("[{number}]")), &[], PLAIN)
    }

    fn event(number: u32) -> String {
        format!("42[\"a\",{number}]")
    }

    #[test]
    fn a_full_queue_ends_the_session_and_frees_what_waits() {
        let mut out = outbound(true, r#"{"outboundPacketsMax":2}"#);
        emit(&mut out, 1).unwrap();
        emit(&mut out, 2).unwrap();
        assert!(out.turned_dirty());
        assert_eq!(emit(&mut out, 3), Err(Refused::Ending));
        assert!(out.turned_dirty() && out.is_empty() && out.take_run(0).rest);
        assert_eq!(out.take_notice(), Some(Notice::Overflow("outboundPacketsMax", 2)));
        assert_eq!((out.take_notice(), emit(&mut out, 4)), (None, Err(Refused::Ending)));
        out.control(b"1");
        assert_eq!(taken(&mut out, 0), ["1"]);
    }

    #[test]
    fn one_packet_may_always_wait() {
        let mut out = outbound(true, r#"{"outboundBytesMax":5,"outboundPolicy":"dropNewest"}"#);
        assert_eq!((emit(&mut out, 1), emit(&mut out, 2)), (Ok(()), Err(Refused::Full)));
        assert_eq!(taken(&mut out, 0), [event(1)]);
        out.set_blocked(Level { bytes: 8, packets: 1 });
        assert_eq!((emit(&mut out, 3), emit(&mut out, 4)), (Ok(()), Err(Refused::Full)));
        assert_eq!(out.level(), Level { bytes: 19, packets: 2 });
        assert_eq!(out.budget.metrics.get(Count::DroppedNewest), 2);
    }

    #[test]
    fn what_somebody_waits_for_is_not_dropped_to_make_room() {
        for policy in ["dropNewest", "dropOldest", "conflate"] {
            let mut out = outbound(true, &format!(r#"{{"outboundPacketsMax":2,"outboundPolicy":"{policy}"}}"#));
            out.text(b"40{}").unwrap();
            out.text(b"430[]").unwrap();
            assert_eq!(out.text(b"431[]"), Err(Refused::Ending), "{policy}");
            assert_eq!(out.take_notice(), Some(Notice::Overflow("outboundPacketsMax", 2)));
        }
    }

    #[test]
    fn the_oldest_makes_room_in_flat_queues_too() {
        let mut out = outbound(true, r#"{"outboundPacketsMax":3,"outboundPolicy":"dropOldest"}"#);
        out.text(b"40{}").unwrap();
        out.control(b"2");
        (1..=5).for_each(|number| emit(&mut out, number).unwrap());
        assert_eq!(taken(&mut out, 0), ["40{}".into(), "2".into(), event(4), event(5)]);
        assert_eq!(out.budget.metrics.get(Count::DroppedOldest), 3);
    }

    #[test]
    fn the_host_hears_of_the_marks_once() {
        let mut out = outbound(true, r#"{"outboundHighBytes":22,"outboundLowBytes":11}"#);
        emit(&mut out, 1).unwrap();
        assert!(out.turned_dirty() && out.take_notice().is_none());
        emit(&mut out, 2).unwrap();
        assert!(out.turned_dirty(), "the shard is told again");
        emit(&mut out, 3).unwrap();
        assert!(!out.turned_dirty() && out.take_run(0).rest);
        assert_eq!(out.take_notice(), Some(Notice::High(Level { bytes: 33, packets: 3 })));
        assert_eq!(out.take_notice(), None);
        let run = out.take_run(0);
        assert!(run.rest && run.packets == 3);
        out.set_blocked(Level { bytes: 12, packets: 3 });
        assert_eq!(out.take_notice(), None);
        out.set_left(11);
        assert_eq!(out.take_notice(), Some(Notice::Low(Level { bytes: 11, packets: 3 })));
        assert_eq!(out.take_notice(), None);
        emit(&mut out, 4).unwrap();
        assert_eq!(out.take_notice(), Some(Notice::High(Level { bytes: 22, packets: 4 })));
    }

    #[test]
    fn an_event_whose_time_is_over_makes_room() {
        let mut out = outbound(true, r#"{"outboundPacketsMax":2}"#);
        for now_us in [0, 0, 100] {
            let special = Arc::new(Special { expires_us: Some(now_us + 50), now_us, ..Special::default() });
            out.event(&parts("[]"), &[], Delivery { special: Some(&special), ..PLAIN }).unwrap();
        }
        assert_eq!((taken(&mut out, 149).len(), out.budget.metrics.get(Count::Expired)), (1, 2));
    }
}
