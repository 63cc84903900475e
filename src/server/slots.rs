//! Ids that go stale: a table of slots, each with a generation that counts its tenants.
//!
//! An id is the slot in its low 32 bits, the generation in the next 30 and the kind in the top 2, so that an id of another kind is
//! told from one that is stale. Generations start at 1, so no id is 0; a slot whose generation would wrap is retired.

use std::sync::Arc;

use parking_lot::RwLock;

/// Slots that a table can have: ids that peers see carry the slot in 24 bits.
pub const SLOTS_MAX: usize = 1 << 24;
const GENERATION_MAX: u32 = (1 << 30) - 1;

/// What an id names: its top two bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A socket.
    Socket = 0,
    /// An acknowledgement that the host owes a client.
    Ack = 1,
    /// A decision that the host owes.
    Request = 2,
    /// An answer that the host waits for; it names no slot.
    Completion = 3,
}

/// The kind that an id claims.
pub fn kind_of(id: u64) -> Kind {
    match id >> 62 {
        0 => Kind::Socket,
        1 => Kind::Ack,
        2 => Kind::Request,
        _ => Kind::Completion,
    }
}

/// An id from its parts.
pub fn id(kind: Kind, generation: u32, slot: u32) -> u64 {
    (kind as u64) << 62 | u64::from(generation) << 32 | u64::from(slot)
}

/// The slot that an id names.
pub fn slot_of(id: u64) -> u32 {
    id as u32
}

/// The generation that an id names.
pub fn generation_of(id: u64) -> u32 {
    (id >> 32) as u32 & GENERATION_MAX
}

struct Slot<T> {
    generation: u32,
    value: Option<Arc<T>>,
}

struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

/// A table of shared values by id.
pub struct Slots<T> {
    kind: Kind,
    table: RwLock<Table<T>>,
}

impl<T> Slots<T> {
    /// An empty table for ids of one kind.
    pub fn new(kind: Kind) -> Slots<T> {
        Slots { kind, table: RwLock::new(Table { slots: Vec::new(), free: Vec::new() }) }
    }

    /// Adds what `make` gives for the id that it gets; `None` if the table is full.
    pub fn insert(&self, make: impl FnOnce(u64) -> Arc<T>) -> Option<Arc<T>> {
        self.try_insert(|id| Some(make(id)))
    }

    /// As [`Slots::insert`], but `make` can fail too.
    pub fn try_insert(&self, make: impl FnOnce(u64) -> Option<Arc<T>>) -> Option<Arc<T>> {
        let mut table = self.table.write();
        let slot = match table.free.pop() {
            Some(slot) => slot,
            None if table.slots.len() < SLOTS_MAX => {
                table.slots.push(Slot { generation: 0, value: None });
                (table.slots.len() - 1) as u32
            }
            None => return None,
        };
        let entry = table.slots.get_mut(slot as usize)?;
        entry.generation += 1;
        let value = make(id(self.kind, entry.generation, slot));
        entry.value = value.clone();
        if value.is_none() && entry.generation < GENERATION_MAX {
            table.free.push(slot);
        }
        value
    }

    /// The value of an id, if it still lives.
    pub fn get(&self, id: u64) -> Option<Arc<T>> {
        let table = self.table.read();
        let entry = table.slots.get(slot_of(id) as usize)?;
        if entry.generation != generation_of(id) || kind_of(id) != self.kind { None } else { entry.value.clone() }
    }

    /// The present tenant of a slot.
    pub fn at(&self, slot: u32) -> Option<Arc<T>> {
        self.table.read().slots.get(slot as usize)?.value.clone()
    }

    /// Ends an id; its value, if it still lived. One caller gets it.
    pub fn remove(&self, id: u64) -> Option<Arc<T>> {
        let mut table = self.table.write();
        let entry = table.slots.get_mut(slot_of(id) as usize)?;
        if entry.generation != generation_of(id) || kind_of(id) != self.kind {
            return None;
        }
        let value = entry.value.take()?;
        if entry.generation < GENERATION_MAX {
            table.free.push(slot_of(id));
        }
        Some(value)
    }

    /// How many values there are. A slot that was retired counts too: it takes a thousand million tenants.
    pub fn count(&self) -> usize {
        let table = self.table.read();
        table.slots.len() - table.free.len()
    }

    /// All values.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.table.read().slots.iter().filter_map(|slot| slot.value.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_does_not_answer_to_its_old_id() {
        let slots = Slots::new(Kind::Socket);
        let mut ids = Vec::new();
        for value in 0..3 {
            slots.insert(|id| {
                ids.push(id);
                Arc::new(value)
            });
        }
        assert_eq!(slots.get(ids[1]).as_deref(), Some(&1));
        assert_eq!(slots.remove(ids[1]).as_deref(), Some(&1));
        assert!(slots.remove(ids[1]).is_none());
        let mut renewed = 0;
        slots.insert(|id| {
            renewed = id;
            Arc::new(9)
        });
        assert_eq!(slot_of(renewed), slot_of(ids[1]));
        assert!(slots.get(ids[1]).is_none());
        assert_eq!(slots.get(renewed).as_deref(), Some(&9));
        assert_eq!(slots.at(slot_of(renewed)).as_deref(), Some(&9));
        assert_eq!((slots.all().len(), slots.count()), (3, 3));
        slots.remove(ids[0]);
        assert_eq!(slots.count(), 2);
    }

    #[test]
    fn an_id_of_another_kind_is_not_found() {
        let slots = Slots::new(Kind::Request);
        let mut made = 0;
        slots.insert(|id| {
            made = id;
            Arc::new(())
        });
        assert_eq!(kind_of(made), Kind::Request);
        assert!(slots.get(id(Kind::Socket, generation_of(made), slot_of(made))).is_none());
        assert!(slots.get(0).is_none());
    }

    #[test]
    fn of_many_who_end_an_id_one_gets_its_value() {
        let slots = Slots::new(Kind::Ack);
        for _ in 0..if cfg!(miri) { 3 } else { 300 } {
            let value = slots.insert(Arc::new).unwrap();
            let got = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| slots.remove(*value).is_some())).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).filter(|got| *got).count()
            });
            assert_eq!((got, slots.get(*value)), (1, None));
        }
    }
}
