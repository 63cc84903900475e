//! A shard's own objects by index, with a generation, so that a key which outlived its object finds nothing.

use slab::Slab;

/// A key: where an object is, and which of that place's tenants it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub index: u32,
    pub generation: u32,
}

/// Objects by key.
pub struct Table<T> {
    slab: Slab<(u32, T)>,
    next_generation: u32,
}

impl<T> Table<T> {
    /// An empty table.
    pub fn new() -> Table<T> {
        Table { slab: Slab::new(), next_generation: 0 }
    }

    /// The key that the next [`Table::insert`] will give.
    pub fn next_key(&self) -> Key {
        Key { index: self.slab.vacant_key() as u32, generation: self.next_generation }
    }

    /// Adds an object.
    pub fn insert(&mut self, value: T) -> Key {
        let key = self.next_key();
        self.slab.insert((key.generation, value));
        self.next_generation = self.next_generation.wrapping_add(1);
        key
    }

    /// The present object at an index.
    pub fn key_at(&self, index: u32) -> Option<Key> {
        self.slab.get(index as usize).map(|(generation, _)| Key { index, generation: *generation })
    }

    /// An object, if it is still there.
    pub fn get(&self, key: Key) -> Option<&T> {
        self.slab
            .get(key.index as usize)
            .filter(|(generation, _)| *generation == key.generation)
            .map(|(_, value)| value)
    }

    /// An object, if it is still there.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.slab.get_mut(key.index as usize).filter(|(generation, _)| *generation == key.generation);
        entry.map(|(_, value)| value)
    }

    /// Takes an object out, if it is still there.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        Some(self.slab.remove(key.index as usize).1)
    }

    /// All keys.
    pub fn keys(&self) -> Vec<Key> {
        let key = |(index, (generation, _)): (usize, &(u32, T))| Key { index: index as u32, generation: *generation };
        self.slab.iter().map(key).collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_outlived_its_object_finds_nothing() {
        let mut table = Table::new();
        let old = table.insert("old");
        assert_eq!(table.remove(old), Some("old"));
        let new = table.insert("new");
        assert_eq!(new.index, old.index);
        assert_eq!((table.get(old), table.get(new)), (None, Some(&"new")));
        assert_eq!(table.remove(old), None);
        assert_eq!(table.key_at(new.index), Some(new));
        assert_eq!(table.keys(), [new]);
    }
}
