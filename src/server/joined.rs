//! The sockets of one session, found by the namespace that a packet names.
//!
//! Nearly all sessions have one or a few. A client that joins as many as it may must not make each of its packets a walk through as many
//! sockets' memory, so a key of the name stands beside each.

use std::sync::Arc;

use super::socket::Socket;
use crate::queue::Queue;

/// What names are compared by before they are compared: the same for the same name, and mostly different for others.
#[derive(Clone, Copy, PartialEq, Eq)]
struct NameKey(u64);

impl NameKey {
    fn of(name: &str) -> NameKey {
        // All names start with a slash, so those of one character are the same.
        if name.len() == 1 {
            return NameKey(0);
        }
        // FNV-1a, eight bytes at a time.
        let (chunks, rest) = name.as_bytes().as_chunks::<8>();
        let words = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk));
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0100_0000_01b3);
        let last = rest.iter().fold(name.len() as u64, |word, byte| word << 8 | u64::from(*byte));
        NameKey(mix(words.fold(0xcbf2_9ce4_8422_2325, mix), last))
    }
}

/// Sockets in the order in which they came.
#[derive(Default)]
pub struct Joined {
    sockets: Vec<(NameKey, Arc<Socket>)>,
    /// The queues that the sockets' events go to, but for the first socket's; mostly none. With no socket left, that of the last one.
    #[expect(clippy::box_collection, reason = "most sessions have none, and pay for one pointer")]
    more_queues: Option<Box<Vec<Arc<Queue>>>>,
}

impl Joined {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Adds one; its namespace has none yet.
    pub fn add(&mut self, socket: Arc<Socket>) {
        self.note_queue(&socket.nsp.queue);
        self.sockets.push((NameKey::of(&socket.nsp.name), socket));
    }

    /// Takes one out.
    pub fn remove(&mut self, socket: &Arc<Socket>) {
        let before = self.sockets.len();
        self.sockets.retain(|(_, known)| !Arc::ptr_eq(known, socket));
        if before > 0 && self.sockets.is_empty() {
            self.more_queues = Some(Box::new(vec![socket.nsp.queue.clone()]));
        } else if self.more_queues.take().is_some() {
            for at in 0..self.sockets.len() {
                let queue = self.sockets.get(at).map(|(_, socket)| socket.nsp.queue.clone());
                queue.iter().for_each(|queue| self.note_queue(queue));
            }
        }
    }

    /// Takes all out.
    pub fn take(&mut self) -> Vec<Arc<Socket>> {
        std::mem::take(self).sockets.into_iter().map(|(_, socket)| socket).collect()
    }

    fn note_queue(&mut self, queue: &Arc<Queue>) {
        let Some(first) = self.iter().next().map(|socket| &socket.nsp.queue) else { return };
        let more = self.more_queues.iter().flat_map(|more| more.iter());
        if !std::iter::once(first).chain(more).any(|known| Arc::ptr_eq(known, queue)) {
            self.more_queues.get_or_insert_default().push(queue.clone());
        }
    }

    /// Whether a queue that the sockets' events go to is full. Where those of the first socket will go is not known yet, and taken to be
    /// `default`: who joins and leaves all the time, or comes for it anew, is held up as all others are.
    pub fn is_stalled(&self, default: &Queue) -> bool {
        let first = self.iter().next().map_or(default, |socket| &socket.nsp.queue);
        let mut more = self.more_queues.iter().flat_map(|more| more.iter());
        first.is_full() || more.any(|queue| queue.is_full())
    }

    /// The socket of a namespace.
    pub fn find(&self, nsp: &str) -> Option<&Arc<Socket>> {
        let key = NameKey::of(nsp);
        let is_it = |socket: &Socket| nsp.len() == 1 || *socket.nsp.name == *nsp;
        self.sockets.iter().find(|(known, socket)| *known == key && is_it(socket)).map(|(_, socket)| socket)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Socket>> {
        self.sockets.iter().map(|(_, socket)| socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_names_have_the_same_key_and_others_mostly_not() {
        let mut keys: Vec<u64> = (0..10_000).map(|n| NameKey::of(&format!("/room-{n}")).0).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 10_000);
        assert!(NameKey::of("/") == NameKey::of("/") && NameKey::of("/a") != NameKey::of("/"));
        assert!(
            NameKey::of("/12345678") != NameKey::of("/1234567") && NameKey::of("/1234567\0") != NameKey::of("/1234567")
        );
    }
}
