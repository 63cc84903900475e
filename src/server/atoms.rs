//! Names that the host interned: events then carry a number, and an emission needs no quoting. Peers add none.
//!
//! Names are only ever added, so that reading takes no lock: numbers lead to their names through tables that do not move, and
//! each shard keeps a copy of the way back, which it renews when names were added.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::proto::json;
use crate::proto::socket_packet::RESERVED_EVENTS;

/// Names in a page, and pages: an engine interns 65536 names at most, and a host that interns data has a bug that this shows.
const PAGE_LEN: usize = 256;
const PAGES: usize = 256;

/// An interned name.
pub struct Atom {
    /// The name.
    pub text: Box<str>,
    /// The name as JSON string.
    pub json: Box<str>,
    /// Socket.IO keeps the name for itself.
    pub reserved: bool,
}

type Page = Box<[OnceLock<Atom>]>;

/// The names of an engine; numbers start at 1.
pub struct Atoms {
    pages: [OnceLock<Page>; PAGES],
    by_name: Mutex<HashMap<Box<str>, u32>>,
    count: AtomicUsize,
}

impl Default for Atoms {
    fn default() -> Atoms {
        Atoms { pages: [const { OnceLock::new() }; PAGES], by_name: Mutex::default(), count: AtomicUsize::new(0) }
    }
}

impl Atoms {
    /// The number of a name, new or known; `None` if there are too many.
    pub fn intern(&self, name: &str) -> Option<u32> {
        let mut by_name = self.by_name.lock();
        if let Some(&atom) = by_name.get(name) {
            return Some(atom);
        }
        let at = by_name.len();
        let page = self.pages.get(at / PAGE_LEN)?;
        let page = page.get_or_init(|| (0..PAGE_LEN).map(|_| OnceLock::new()).collect());
        let mut quoted = Vec::new();
        json::write_string(name, &mut quoted);
        let quoted = String::from_utf8(quoted).ok()?;
        let reserved = RESERVED_EVENTS.contains(&name);
        page.get(at % PAGE_LEN)?.get_or_init(|| Atom { text: name.into(), json: quoted.into(), reserved });
        let atom = at as u32 + 1;
        by_name.insert(name.into(), atom);
        self.count.store(by_name.len(), Ordering::Release);
        Some(atom)
    }

    /// The name of a number.
    pub fn get(&self, atom: u32) -> Option<&Atom> {
        let at = (atom as usize).checked_sub(1)?;
        self.pages.get(at / PAGE_LEN)?.get()?.get(at % PAGE_LEN)?.get()
    }
}

/// A shard's copy of the names.
#[derive(Default)]
pub struct AtomCache {
    by_name: HashMap<Box<str>, u32>,
}

impl AtomCache {
    /// The number of a name that the host interned, else 0.
    pub fn find(&mut self, atoms: &Atoms, name: &str) -> u32 {
        if self.by_name.len() != atoms.count.load(Ordering::Acquire) {
            self.by_name = atoms.by_name.lock().clone();
        }
        self.by_name.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number() {
        let (atoms, mut cache) = (Atoms::default(), AtomCache::default());
        assert_eq!(cache.find(&atoms, "move"), 0);
        let moved = atoms.intern("move").unwrap();
        assert_eq!(
            (atoms.intern("move"), cache.find(&atoms, "move"), cache.find(&atoms, "jump")),
            (Some(moved), moved, 0)
        );
        assert_eq!(&*atoms.get(moved).unwrap().json, "\"move\"");
        assert!(atoms.get(0).is_none() && atoms.get(99).is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "65,536 names take Miri minutes")]
    fn there_are_at_most_so_many_names() {
        let atoms = Atoms::default();
        for number in 0..PAGE_LEN * PAGES {
            assert_eq!(atoms.intern(&number.to_string()), Some(number as u32 + 1));
        }
        assert_eq!(atoms.intern("one more"), None);
        assert_eq!(atoms.intern("0"), Some(1));
        assert_eq!(&*atoms.get(65_536).unwrap().text, "65535");
    }

    #[test]
    fn a_number_that_another_thread_gave_leads_to_its_name() {
        const NAMES: usize = if cfg!(miri) { 8 } else { 2 * PAGE_LEN };
        let atoms = Atoms::default();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for name in 0..NAMES {
                        let name = name.to_string();
                        let atom = atoms.intern(&name).unwrap();
                        assert_eq!(&*atoms.get(atom).unwrap().text, name);
                    }
                });
            }
            scope.spawn(|| {
                let mut cache = AtomCache::default();
                for name in 0..NAMES {
                    let name = name.to_string();
                    let mut atom = 0;
                    while atom == 0 {
                        std::thread::yield_now();
                        atom = cache.find(&atoms, &name);
                    }
                    assert_eq!(&*atoms.get(atom).unwrap().text, name);
                }
            });
        });
    }
}
