//! A namespace: its sockets and rooms, and who of them a target means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use indexmap::IndexMap;
use parking_lot::RwLock;

use super::sid::Sid;
use super::socket::{Socket, State};
use crate::proto::ack_id::AckId;
use crate::queue::Queue;

/// What a namespace does beyond the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Each CONNECT waits for the host.
    pub authorize: bool,
    /// Rooms' comings and goings are events.
    pub room_events: bool,
    /// Of a pattern: a name that matches still waits for the host.
    pub ask: bool,
}

/// A change of a room, for ROOM events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomChange {
    Create = 1,
    Join = 2,
    Leave = 3,
    Delete = 4,
}

/// Changes that a call made, in the order in which the official adapter tells them.
pub type RoomChanges = Vec<(RoomChange, Arc<str>)>;

type SocketMap = IndexMap<u64, Arc<Socket>, DefaultHashBuilder>;

#[derive(Default)]
struct Members {
    sockets: SocketMap,
    /// Rooms but for the sockets' own, which are found by their id. A room that is empty is not there.
    rooms: HashMap<Arc<str>, SocketMap>,
}

impl Members {
    /// Whether a socket that joins these rooms is in more than `max` then.
    fn would_exceed(&self, socket: &Socket, rooms: &[&str], max: u64) -> bool {
        let inside = socket.joined_count() as u64;
        if inside.saturating_add(rooms.len() as u64) <= max {
            return false;
        }
        let is_in = |room: &str| self.rooms.get(room).is_some_and(|members| members.contains_key(&socket.id));
        let is_new = |room: &&&str| **room != socket.sid.as_str() && !is_in(room);
        let new: HashSet<&str> = rooms.iter().filter(is_new).copied().collect();
        !new.is_empty() && inside.saturating_add(new.len() as u64) > max
    }
}

/// Whom an operation concerns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// Left out.
    pub from: u64,
    /// None is everyone.
    pub rooms: &'a [&'a str],
    pub except: &'a [&'a str],
    /// Only this server.
    pub local: bool,
}

/// A namespace, or the pattern that namespaces are made by.
pub struct Namespace {
    /// Id for the host; `/` is 1.
    pub id: u32,
    pub name: Box<str>,
    pub flags: Flags,
    pub queue: Arc<Queue>,
    /// Id of the pattern that made it, else 0.
    pub parent: u32,
    /// A client's CONNECT made it, and the host has not made it its own since.
    dynamic: AtomicBool,
    /// Sockets that are in it or on their way: from the look at its name until they are forgotten.
    occupants: AtomicU32,
    ack_ids: AtomicU64,
    members: RwLock<Members>,
    /// By the number of the slot that the sid ends in.
    find: Arc<dyn Fn(u32) -> Option<Arc<Socket>> + Send + Sync>,
}

impl Namespace {
    /// An empty namespace; `find` gives the socket of a slot, for rooms that are named by a socket's id.
    pub fn new(
        id: u32,
        name: &str,
        parent: u32,
        flags: Flags,
        queue: Arc<Queue>,
        find: Arc<dyn Fn(u32) -> Option<Arc<Socket>> + Send + Sync>,
    ) -> Namespace {
        let (ack_ids, members) = (AtomicU64::new(0), RwLock::default());
        let (dynamic, occupants) = (AtomicBool::new(false), AtomicU32::new(0));
        Namespace { id, name: name.into(), flags, queue, parent, dynamic, occupants, ack_ids, members, find }
    }

    /// Whether a client's CONNECT made it.
    pub fn is_dynamic(&self) -> bool {
        self.dynamic.load(Ordering::Acquire)
    }

    /// Says whether a client's CONNECT made it; if not, it stays.
    pub fn set_dynamic(&self, dynamic: bool) {
        self.dynamic.store(dynamic, Ordering::Release);
    }

    /// A socket is on its way. Under the lock of the table that it was found in, so that it is not unmade meanwhile.
    pub fn occupy(&self) {
        self.occupants.fetch_add(1, Ordering::AcqRel);
    }

    /// A socket was forgotten, or did not come; true for the last one.
    pub fn vacate(&self) -> bool {
        self.occupants.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether sockets are in it or on their way.
    pub fn is_occupied(&self) -> bool {
        self.occupants.load(Ordering::Acquire) > 0
    }

    /// The next id for an acknowledgement: counted for each namespace, as the official server does.
    pub fn next_ack(&self) -> (u64, AckId) {
        let id = self.ack_ids.fetch_add(1, Ordering::Relaxed);
        (id, AckId::from_u64(id))
    }

    /// A socket is connected: broadcasts find it.
    pub fn add(&self, socket: &Arc<Socket>) {
        self.members.write().sockets.insert(socket.id, socket.clone());
    }

    /// A socket is gone: leaves its rooms and the namespace. Gives the rooms that it was in, and what that changed.
    pub fn remove(&self, socket: &Socket) -> (Vec<Arc<str>>, RoomChanges) {
        let mut members = self.members.write();
        members.sockets.swap_remove(&socket.id);
        let mut changes = RoomChanges::new();
        let mut left = Vec::new();
        if socket.set_own_room(false) {
            let own: Arc<str> = socket.sid.as_str().into();
            changes.push((RoomChange::Leave, own.clone()));
            if !members.rooms.contains_key(&*own) {
                changes.push((RoomChange::Delete, own.clone()));
            }
            left.push(own);
        }
        for room in socket.take_rooms() {
            self.leave_room(&mut members, socket, &room, &mut changes);
            left.push(room);
        }
        (left, changes)
    }

    /// Puts a socket into rooms: all, or (`None`) none because it would be in more than `rooms_max` beside its own.
    pub fn join(&self, socket: &Arc<Socket>, rooms: &[&str], rooms_max: u64) -> Option<RoomChanges> {
        let mut members = self.members.write();
        let mut changes = RoomChanges::new();
        // A socket that left has given its rooms back, and would keep these for ever.
        if !socket.is_open() {
            return Some(changes);
        }
        if members.would_exceed(socket, rooms, rooms_max) {
            return None;
        }
        for &room in rooms {
            if room == socket.sid.as_str() {
                if socket.set_own_room(true) {
                    if !members.rooms.contains_key(room) {
                        changes.push((RoomChange::Create, room.into()));
                    }
                    changes.push((RoomChange::Join, room.into()));
                }
                continue;
            }
            let known = members.rooms.get_key_value(room).map(|(name, _)| name.clone());
            let is_new = known.is_none() && self.owner(&members, room).is_none();
            let name: Arc<str> = known.unwrap_or_else(|| room.into());
            let inside = members.rooms.entry(name.clone()).or_default();
            if inside.insert(socket.id, socket.clone()).is_some() {
                continue;
            }
            if is_new {
                changes.push((RoomChange::Create, name.clone()));
            }
            changes.push((RoomChange::Join, name.clone()));
            socket.add_room(name);
        }
        Some(changes)
    }

    /// Takes a socket out of rooms.
    pub fn leave<'a>(&self, socket: &Socket, rooms: impl Iterator<Item = &'a str>) -> RoomChanges {
        let mut members = self.members.write();
        let mut changes = RoomChanges::new();
        for room in rooms {
            if room == socket.sid.as_str() && socket.set_own_room(false) {
                changes.push((RoomChange::Leave, room.into()));
                if !members.rooms.contains_key(room) {
                    changes.push((RoomChange::Delete, room.into()));
                }
            } else if let Some(name) = self.leave_room(&mut members, socket, room, &mut changes) {
                socket.remove_room(&name);
            }
        }
        changes
    }

    /// The name that all members share, if the socket was one.
    fn leave_room(
        &self,
        members: &mut Members,
        socket: &Socket,
        room: &str,
        changes: &mut RoomChanges,
    ) -> Option<Arc<str>> {
        let (name, inside) = members.rooms.get_key_value_mut(room)?;
        inside.swap_remove(&socket.id)?;
        let name = name.clone();
        changes.push((RoomChange::Leave, name.clone()));
        if inside.is_empty() {
            members.rooms.remove(&name);
            if self.owner(members, &name).is_none() {
                changes.push((RoomChange::Delete, name.clone()));
            }
        }
        Some(name)
    }

    /// Calls `visit` for each connected socket that the target means, once.
    pub fn each(&self, target: &Target<'_>, mut visit: impl FnMut(&Arc<Socket>)) {
        let members = self.members.read();
        let mut excluded: Vec<u64> = Vec::new();
        for room in target.except {
            self.each_in(&members, room, |socket| excluded.push(socket.id));
        }
        excluded.sort_unstable();
        let mut visit = |socket: &Arc<Socket>| {
            let left_out = socket.id == target.from || excluded.binary_search(&socket.id).is_ok();
            if !left_out && socket.state() == State::Connected {
                visit(socket);
            }
        };
        match target.rooms {
            [] => members.sockets.values().for_each(visit),
            [room] => self.each_in(&members, room, visit),
            rooms => {
                let mut seen = HashSet::new();
                for room in rooms {
                    self.each_in(&members, room, |socket| {
                        if seen.insert(socket.id) {
                            visit(socket);
                        }
                    });
                }
            }
        }
    }

    /// The sockets of one room: the one whose own room it is, and those who joined it.
    fn each_in(&self, members: &Members, room: &str, mut visit: impl FnMut(&Arc<Socket>)) {
        if let Some(owner) = self.owner(members, room) {
            visit(owner);
        }
        if let Some(inside) = members.rooms.get(room) {
            inside.values().for_each(visit);
        }
    }

    fn owner<'a>(&self, members: &'a Members, room: &str) -> Option<&'a Arc<Socket>> {
        let socket = (self.find)(Sid::slot(room)?)?;
        let owner = socket.sid.as_str() == room && socket.in_own_room();
        if owner { members.sockets.get(&socket.id) } else { None }
    }

    /// Whether somebody is in a room.
    pub fn has_room(&self, room: &str) -> bool {
        let members = self.members.read();
        members.rooms.contains_key(room) || self.owner(&members, room).is_some()
    }

    /// How many rooms have members, the sockets' own not counted.
    pub fn room_count(&self) -> usize {
        self.members.read().rooms.len()
    }

    /// All rooms that have members, the sockets' own included.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        let members = self.members.read();
        let own = members.sockets.values().filter(|socket| socket.in_own_room());
        own.map(|socket| Arc::from(socket.sid.as_str())).chain(members.rooms.keys().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::RoomChange::{Create, Delete, Join, Leave};
    use super::*;
    use crate::server::testing::{Peer, server};

    #[test]
    fn a_room_is_there_as_long_as_its_owner_or_another_is_in_it() {
        let server = server(1000);
        let mut peers = [Peer::new(&server), Peer::new(&server)];
        peers.iter_mut().for_each(|peer| peer.says("0").unwrap());
        let (owner, other, root) = (peers[0].socket("/"), peers[1].socket("/"), server.root());
        let room: Arc<str> = owner.sid.as_str().into();
        let changes = |kinds: &[RoomChange]| kinds.iter().map(|kind| (*kind, room.clone())).collect::<RoomChanges>();
        let join = |socket| root.join(socket, &[&room], 10).unwrap();
        let leave = |socket| root.leave(socket, [&*room].into_iter());
        assert_eq!(join(&other), changes(&[Join]));
        assert_eq!(leave(&owner), changes(&[Leave]));
        assert_eq!(join(&owner), changes(&[Join]));
        assert_eq!(leave(&other), changes(&[Leave]));
        assert_eq!(leave(&owner), changes(&[Leave, Delete]));
        assert_eq!(join(&other), changes(&[Create, Join]));
        assert_eq!(leave(&other), changes(&[Leave, Delete]));
        assert_eq!(join(&owner), changes(&[Create, Join]));
    }
}
