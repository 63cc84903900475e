//! A simple model of the queue, which keeps one list and looks through all of it for each question; random operations must have
//! the same outcome on both.

use std::collections::HashMap;
use std::sync::Arc;

use super::tests::{PLAIN, outbound};
use super::{Delivery, Outbound};
use crate::proto::ack_id::AckId;
use crate::proto::socket_packet::EventParts;
use crate::proto::testing::Random;
use crate::server::backlog::Special;
use crate::server::budget::{Level, Refused};
use crate::server::frames::{self, Class, frame_len};

const BYTES_MAX: usize = 600;
const PACKETS_MAX: usize = 12;

#[derive(Clone, Debug)]
struct Packet {
    number: usize,
    class: Class,
    text: String,
    attachments: usize,
    key: String,
    urgent: bool,
    expires_us: u64,
}

impl Packet {
    fn len(&self) -> usize {
        frame_len(self.text.len()) + self.attachments * frame_len(1) + self.key.len()
    }
}

#[derive(Default)]
struct Model {
    policy: &'static str,
    /// In the order in which they will be taken.
    list: Vec<Packet>,
    latest: HashMap<String, usize>,
    /// Whether the queue has packets as objects, and the latest time that they know.
    objects: bool,
    now_us: u64,
    ended: bool,
}

impl Model {
    fn len(&self) -> usize {
        self.list.iter().map(Packet::len).sum()
    }

    fn counted(&self) -> usize {
        self.list.iter().filter(|packet| packet.class != Class::Control).count()
    }

    fn has_room(&self, len: usize) -> bool {
        self.counted() == 0 || (self.counted() < PACKETS_MAX && self.len() + len <= BYTES_MAX)
    }

    fn expire(&mut self) {
        while self.list.first().is_some_and(|packet| packet.expires_us <= self.now_us) {
            self.list.remove(0);
        }
    }

    /// Removes the first packet for which `goes` holds.
    fn remove(&mut self, goes: impl Fn(&Packet) -> bool) -> bool {
        let at = self.list.iter().position(goes);
        at.inspect(|at| drop(self.list.remove(*at))).is_some()
    }

    fn make_room(&mut self, new: &Packet) {
        match self.policy {
            "dropOldest" => {
                self.objects = true;
                let droppable = |packet: &Packet| packet.class == Class::Event;
                while !self.has_room(new.len())
                    && (self.remove(|packet| droppable(packet) && !packet.urgent) || self.remove(droppable))
                {
                }
            }
            "conflate" => {
                self.objects |= !new.key.is_empty();
                let mut latest = self.latest.clone();
                if let Some(number) = latest.remove(&new.key) {
                    self.remove(|packet| packet.number == number);
                }
                if !self.has_room(new.len()) {
                    let stays = |packet: &Packet| {
                        packet.class != Class::Event
                            || packet.key.is_empty()
                            || latest.get(&packet.key) == Some(&packet.number)
                    };
                    self.list.retain(stays);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, new: Packet, now_us: u64) -> Result<(), Refused> {
        let special = new.urgent || !new.key.is_empty() || new.expires_us < u64::MAX;
        let told = if new.expires_us < u64::MAX { now_us } else { 0 };
        if self.ended {
            return Err(Refused::Ending);
        }
        if new.class != Class::Control && !self.has_room(new.len()) {
            if special && self.objects {
                self.now_us = self.now_us.max(told);
                self.expire();
            }
            if !self.has_room(new.len()) {
                if self.policy == "dropNewest" && matches!(new.class, Class::Event | Class::Asking) {
                    return Err(Refused::Full);
                }
                self.make_room(&new);
            }
            if !self.has_room(new.len()) {
                self.ended = true;
                self.list.clear();
                return Err(Refused::Ending);
            }
        }
        self.objects |= special;
        self.now_us = self.now_us.max(told);
        if !new.key.is_empty() && new.class == Class::Event {
            self.latest.insert(new.key.clone(), new.number);
        }
        let behind = |packet: &Packet| new.urgent && !packet.urgent && packet.class != Class::Barrier;
        let at = self.list.iter().rposition(|packet| !behind(packet)).map_or(0, |at| at + 1);
        self.list.insert(at, new);
        Ok(())
    }

    fn take(&mut self, now_us: u64) -> Vec<String> {
        let live = self.list.drain(..).filter(|packet| packet.expires_us > now_us);
        let taken = live.map(|packet| format!("{}+{}", packet.text, packet.attachments)).collect();
        (self.objects, self.now_us) = (false, 0);
        taken
    }
}

fn add(out: &mut Outbound, packet: &Packet, now_us: u64) -> Result<(), Refused> {
    let key = (!packet.key.is_empty()).then(|| packet.key.as_bytes().into());
    let expires_us = (packet.expires_us < u64::MAX).then_some(packet.expires_us);
    let now_us = if expires_us.is_some() { now_us } else { 0 };
    let special = Arc::new(Special { expires_us, now_us, key, priority: packet.urgent });
    let wants = packet.urgent || special.key.is_some() || expires_us.is_some();
    let how = Delivery { special: wants.then_some(&special), ..PLAIN };
    match packet.class {
        Class::Control => {
            out.control(packet.text.as_bytes());
            Ok(())
        }
        Class::Barrier | Class::Ack => out.text(packet.text.as_bytes()),
        Class::Asking | Class::Event => {
            let attachments = vec![&b"x"[..]; packet.attachments];
            let id = (packet.class == Class::Asking).then(|| AckId::from_u64(7));
            let args = format!("[{}]", packet.text.split_once(',').map_or("", |(_, args)| args.trim_end_matches(']')));
            let count = packet.attachments as u32;
            let parts = EventParts { nsp: "/", id, name_json: "\"e\"", args: &args, attachments: count };
            out.event(&parts, &attachments, how)
        }
    }
}

fn random_packet(random: &mut Random, number: usize, now_us: u64) -> Packet {
    let class = match random.below(20) {
        0 => Class::Control,
        1 => Class::Barrier,
        2 | 3 => Class::Asking,
        4 => Class::Ack,
        _ => Class::Event,
    };
    let is_event = matches!(class, Class::Asking | Class::Event);
    let attachments = if is_event && random.below(5) == 0 { 1 + random.below(3) } else { 0 };
    let head = if attachments > 0 { format!("45{attachments}-") } else { "42".to_owned() };
    let id = if class == Class::Asking { "7" } else { "" };
    let text = match class {
        Class::Control => "2".to_owned(),
        Class::Barrier => format!("40{number}"),
        Class::Ack => format!("43{number}[]"),
        Class::Asking | Class::Event => format!("{head}{id}[\"e\",{}]", "1".repeat(number % 9 + random.below(150) + 1)),
    };
    let urgent = is_event && attachments == 0 && random.below(8) == 0;
    let key = if is_event && random.below(3) == 0 { random.pick(&["a", "b", "c"]).to_owned() } else { String::new() };
    let expires_us = if is_event && random.below(6) == 0 { now_us + 1 + random.below(20) as u64 } else { u64::MAX };
    Packet { number, class, text, attachments, key, urgent, expires_us }
}

fn taken(out: &mut Outbound, now_us: u64) -> Vec<String> {
    let mut all = Vec::new();
    let run = out.take_run(now_us);
    frames::each_in_run(&run.bytes, &run.shared, false, |_, packet| {
        let text = String::from_utf8_lossy(frames::payload(&packet.first)).into_owned();
        all.push(format!("{text}+{}", packet.attachments.len()));
    });
    assert!(!run.rest);
    all
}

#[test]
fn random_operations_have_the_outcome_of_the_model() {
    let seeds = if cfg!(miri) { 4 } else { 400 };
    for (seed, policy) in (0..seeds).zip(["disconnect", "dropNewest", "dropOldest", "conflate"].iter().cycle()) {
        let limits = format!(
            r#"{{"outboundPolicy":"{policy}","outboundBytesMax":{BYTES_MAX},"outboundPacketsMax":{PACKETS_MAX}}}"#
        );
        let (mut random, mut out) = (Random::new(seed * 7919 + 3), outbound(true, &limits));
        let mut model = Model { policy, ..Model::default() };
        let mut now_us = 0;
        for number in 0..400 {
            now_us += random.below(4) as u64;
            if random.below(14) == 0 {
                assert_eq!(taken(&mut out, now_us), model.take(now_us), "{policy}, seed {seed}, packet {number}");
            }
            let packet = random_packet(&mut random, number, now_us);
            let (added, wanted) = (add(&mut out, &packet, now_us), model.add(packet.clone(), now_us));
            assert_eq!(added, wanted, "{policy}, seed {seed}, {packet:?}");
            if model.ended {
                break;
            }
            let level = Level { bytes: model.len(), packets: model.counted() as u32 };
            assert_eq!(out.level(), level, "{policy}, seed {seed}, {packet:?}");
        }
    }
}
