//! Names that the host interned: events then carry a number, and an emission needs no quoting. Peers add none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::proto::json;
use crate::proto::socket_packet::RESERVED_EVENTS;

/// Names that an engine interns at most: a host that interns data has a bug that this makes visible.
pub const ATOMS_MAX: usize = 65_536;

/// An interned name.
pub struct Atom {
    /// The name.
    pub text: Box<str>,
    /// The name as JSON string.
    pub json: Box<str>,
    /// Socket.IO keeps the name for itself.
    pub reserved: bool,
}

#[derive(Default)]
struct Table {
    by_name: HashMap<Arc<str>, u32>,
    atoms: Vec<Arc<Atom>>,
}

/// The names of an engine; numbers start at 1.
#[derive(Default)]
pub struct Atoms {
    table: RwLock<Table>,
    count: AtomicUsize,
}

impl Atoms {
    /// The number of a name, new or known; `None` if there are too many.
    pub fn intern(&self, name: &str) -> Option<u32> {
        let mut table = self.table.write();
        if let Some(&atom) = table.by_name.get(name) {
            return Some(atom);
        }
        if table.atoms.len() >= ATOMS_MAX {
            return None;
        }
        let mut quoted = Vec::new();
        json::write_string(name, &mut quoted);
        let quoted = String::from_utf8(quoted).ok()?;
        table.atoms.push(Arc::new(Atom {
            text: name.into(),
            json: quoted.into(),
            reserved: RESERVED_EVENTS.contains(&name),
        }));
        let atom = table.atoms.len() as u32;
        table.by_name.insert(name.into(), atom);
        self.count.store(table.atoms.len(), Ordering::Release);
        Some(atom)
    }

    /// The number of a name that the host interned, else 0.
    pub fn find(&self, name: &str) -> u32 {
        if self.count.load(Ordering::Acquire) == 0 {
            return 0;
        }
        self.table.read().by_name.get(name).copied().unwrap_or(0)
    }

    /// The name of a number.
    pub fn get(&self, atom: u32) -> Option<Arc<Atom>> {
        self.table.read().atoms.get((atom as usize).checked_sub(1)?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number() {
        let atoms = Atoms::default();
        assert_eq!(atoms.find("move"), 0);
        let moved = atoms.intern("move").unwrap();
        assert_eq!((atoms.intern("move"), atoms.find("move"), atoms.find("jump")), (Some(moved), moved, 0));
        assert_eq!(&*atoms.get(moved).unwrap().json, "\"move\"");
        assert!(atoms.get(0).is_none() && atoms.get(99).is_none());
    }
}
