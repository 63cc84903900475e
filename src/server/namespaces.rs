//! The namespaces of an engine, and the patterns by which clients make more of them.
//!
//! An id is a place in a table in its low 16 bits, counted from 1, and in the others how many namespaces had that place before. Places are
//! given anew as late as can be: only when all have been used once, and then the one that is free for longest. So a host that keeps an
//! id meets another namespace under it after 2³² others at the earliest, unless nearly all places are taken.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use regex_lite::Regex;

use super::error::{Code, Error};
use super::event::{EVENT_NAMESPACE, EVENT_NAMESPACE_GONE};
use super::namespace::{Flags, Namespace};
use super::root::Server;
use crate::queue::{Event, Outbox, Queue};

/// Namespaces that an engine has at most, patterns included, since patterns let peers make them: what 16 bits tell apart.
pub const NAMESPACES_MAX: usize = 65_535;
/// Bytes of a namespace's name, since patterns let peers choose it.
pub const NAMESPACE_NAME_MAX: usize = 256;

/// Bits of the place in an id.
const PLACE_BITS: u32 = 16;
const PLACE_MASK: u32 = (1 << PLACE_BITS) - 1;

/// Where a namespace is, and how many were there before it.
#[derive(Default)]
struct Place {
    generation: u16,
    namespace: Option<Arc<Namespace>>,
}

/// The table.
#[derive(Default)]
pub struct Namespaces {
    by_name: HashMap<Arc<str>, Arc<Namespace>>,
    /// By id, patterns included.
    places: Vec<Place>,
    /// Places that are empty, the one that is so for longest first.
    free: VecDeque<u32>,
    /// In the order in which they were made, as they are tried. No expression matches every name.
    patterns: Vec<(Option<Regex>, Arc<Namespace>)>,
}

/// What a client's CONNECT asks for.
pub enum Resolved {
    /// This one, which stays until it is vacated.
    Namespace(Arc<Namespace>),
    /// This pattern allows it if the host agrees.
    Ask(Arc<Namespace>),
    Unknown,
}

impl Namespaces {
    /// The id of the next namespace; `None` if there are too many.
    fn next_id(&mut self) -> Option<u32> {
        let at = if self.places.len() < NAMESPACES_MAX {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        } else {
            self.free.pop_front()?
        };
        let place = self.places.get(at as usize)?;
        Some(u32::from(place.generation) << PLACE_BITS | (at + 1))
    }

    fn place(&mut self, id: u32) -> Option<&mut Place> {
        let place = self.places.get_mut(((id & PLACE_MASK) as usize).checked_sub(1)?)?;
        (u32::from(place.generation) == id >> PLACE_BITS).then_some(place)
    }

    fn get(&self, id: u32) -> Option<&Arc<Namespace>> {
        let place = self.places.get(((id & PLACE_MASK) as usize).checked_sub(1)?)?;
        place.namespace.as_ref().filter(|namespace| namespace.id == id)
    }

    /// Puts a namespace where its id says.
    fn put(&mut self, namespace: Arc<Namespace>) {
        if let Some(place) = self.place(namespace.id) {
            place.namespace = Some(namespace);
        }
    }

    /// Takes out a namespace that clients made and left; false if it is another's by now.
    fn remove(&mut self, namespace: &Arc<Namespace>) -> bool {
        let known = self.by_name.get(&*namespace.name).is_some_and(|known| Arc::ptr_eq(known, namespace));
        if !known || namespace.is_occupied() || !namespace.is_dynamic() {
            return false;
        }
        self.by_name.remove(&*namespace.name);
        if let Some(place) = self.place(namespace.id) {
            place.namespace = None;
            place.generation = place.generation.wrapping_add(1);
            self.free.push_back((namespace.id & PLACE_MASK) - 1);
        }
        true
    }

    /// The first pattern that a name matches.
    fn matching(&self, name: &str) -> Option<&Arc<Namespace>> {
        let matches = |regex: &Option<Regex>| regex.as_ref().is_none_or(|regex| regex.is_match(name));
        self.patterns.iter().find(|(regex, _)| matches(regex)).map(|(_, pattern)| pattern)
    }
}

impl Server {
    fn make_namespace(&self, id: u32, name: &str, parent: u32, flags: Flags, queue: Arc<Queue>) -> Arc<Namespace> {
        let sockets = Arc::downgrade(&self.sockets);
        let find = Arc::new(move |slot| sockets.upgrade()?.at(slot));
        Arc::new(Namespace::new(id, name, parent, flags, queue, find))
    }

    /// Makes the namespace `/`, whose id is 1.
    pub(super) fn make_root(&self) {
        let mut namespaces = self.namespaces.write();
        self.add_namespace(&mut namespaces, "/", 0, Flags::default(), self.queue().clone());
    }

    /// The namespace `/`.
    pub fn root(&self) -> Arc<Namespace> {
        self.namespaces.read().by_name["/"].clone()
    }

    /// A namespace or pattern by its id.
    pub fn namespace_by_id(&self, id: u32) -> Option<Arc<Namespace>> {
        self.namespaces.read().get(id).cloned()
    }

    /// The namespaces that an id means: itself, or those that its pattern made.
    pub fn namespaces_of(&self, id: u32) -> Vec<Arc<Namespace>> {
        let namespaces = self.namespaces.read();
        let children = || namespaces.by_name.values().filter(|namespace| namespace.parent == id).cloned().collect();
        match namespaces.get(id) {
            Some(pattern) if pattern.name.is_empty() => children(),
            Some(namespace) => vec![namespace.clone()],
            None => Vec::new(),
        }
    }

    /// A namespace by its name.
    pub fn namespace_by_name(&self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces.read().by_name.get(name).cloned()
    }

    /// Runs `run` if there is no namespace of this name; none comes to be meanwhile.
    pub fn unless_named(&self, name: &str, run: impl FnOnce()) {
        let namespaces = self.namespaces.read();
        if !namespaces.by_name.contains_key(name) {
            run();
        }
    }

    /// The names of all namespaces.
    pub(super) fn namespace_names(&self) -> Vec<Arc<str>> {
        self.namespaces.read().by_name.keys().cloned().collect()
    }

    /// The ids of all namespaces; patterns are none.
    pub fn all_namespaces(&self) -> Vec<u32> {
        self.namespaces.read().by_name.values().map(|namespace| namespace.id).collect()
    }

    /// How many namespaces there are, patterns left out, and how many rooms in them.
    pub(super) fn count_namespaces(&self) -> (u64, u64) {
        let namespaces = self.namespaces.read();
        let rooms: usize = namespaces.by_name.values().map(|namespace| namespace.room_count()).sum();
        (namespaces.by_name.len() as u64, rooms as u64)
    }

    /// Makes a namespace, or changes flags and queue of one without sockets. It is the host's own from now on.
    pub fn define(&self, name: &str, flags: Flags, queue: Arc<Queue>) -> Result<u32, Error> {
        self.check_namespaces()?;
        let name = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
        let mut namespaces = self.namespaces.write();
        if let Some(known) = namespaces.by_name.get(&*name).cloned() {
            if known.flags == flags && Arc::ptr_eq(&known.queue, &queue) {
                known.set_dynamic(false);
                return Ok(known.id);
            }
            if known.is_occupied() {
                return Err(Error::new(Code::Invalid, format!("namespace {name} has sockets already")));
            }
            let renewed = self.make_namespace(known.id, &name, known.parent, flags, queue);
            namespaces.put(renewed.clone());
            namespaces.by_name.insert(name.into(), renewed);
            return Ok(known.id);
        }
        let parent = namespaces.matching(&name).map_or(0, |pattern| pattern.id);
        let added = self.add_namespace(&mut namespaces, &name, parent, flags, queue);
        added.map(|namespace| namespace.id).ok_or_else(too_many)
    }

    /// Makes a pattern by which clients' CONNECT make namespaces; no expression matches every name.
    pub fn define_pattern(&self, regex: Option<Regex>, flags: Flags, queue: Arc<Queue>) -> Result<u32, Error> {
        self.check_namespaces()?;
        let mut namespaces = self.namespaces.write();
        let id = namespaces.next_id().ok_or_else(too_many)?;
        let pattern = self.make_namespace(id, "", 0, flags, queue);
        namespaces.put(pattern.clone());
        namespaces.patterns.push((regex, pattern));
        Ok(id)
    }

    pub(super) fn check_namespaces(&self) -> Result<(), Error> {
        if !self.config.engine_only {
            return Ok(());
        }
        Err(Error::new(Code::Unsupported, "a bare Engine.IO engine has no namespaces"))
    }

    fn add_namespace(
        &self,
        namespaces: &mut Namespaces,
        name: &str,
        parent: u32,
        flags: Flags,
        queue: Arc<Queue>,
    ) -> Option<Arc<Namespace>> {
        let namespace = self.make_namespace(namespaces.next_id()?, name, parent, flags, queue);
        namespaces.put(namespace.clone());
        namespaces.by_name.insert(name.into(), namespace.clone());
        if let Some(adapter) = self.adapter() {
            adapter.open(self, name);
        }
        Some(namespace)
    }

    /// What a client that connects to `name` gets.
    pub fn resolve(&self, name: &str, out: &mut Outbox, now_us: u64) -> Resolved {
        let pattern = {
            let namespaces = self.namespaces.read();
            if let Some(namespace) = namespaces.by_name.get(name) {
                namespace.occupy();
                return Resolved::Namespace(namespace.clone());
            }
            // First the length: an expression may take long for a name of a megabyte.
            if name.len() > NAMESPACE_NAME_MAX {
                return Resolved::Unknown;
            }
            match namespaces.matching(name) {
                Some(pattern) => pattern.clone(),
                None => return Resolved::Unknown,
            }
        };
        if pattern.flags.ask {
            return Resolved::Ask(pattern);
        }
        self.child(&pattern, name, out, now_us).map_or(Resolved::Unknown, Resolved::Namespace)
    }

    /// The namespace that a pattern makes, or made meanwhile, and that stays until it is vacated; `None` if there are too many.
    pub fn child(&self, pattern: &Namespace, name: &str, out: &mut Outbox, now_us: u64) -> Option<Arc<Namespace>> {
        let mut namespaces = self.namespaces.write();
        if let Some(known) = namespaces.by_name.get(name) {
            known.occupy();
            return Some(known.clone());
        }
        let child = self.add_namespace(&mut namespaces, name, pattern.id, pattern.flags, pattern.queue.clone())?;
        child.set_dynamic(true);
        child.occupy();
        tell(&child, EVENT_NAMESPACE, out, now_us);
        Some(child)
    }

    /// A socket of a namespace was forgotten, or did not come. With the last one the namespace ends, if clients made it and the host does
    /// not want to keep it; nothing of it is told after that.
    pub fn vacate(&self, namespace: &Arc<Namespace>, out: &mut Outbox, now_us: u64) {
        if !namespace.vacate() || !namespace.is_dynamic() || !self.config.cleanup_empty_children || !self.is_open() {
            return;
        }
        let mut namespaces = self.namespaces.write();
        if namespaces.remove(namespace) {
            if let Some(adapter) = self.adapter() {
                adapter.shut(self, &namespace.name);
            }
            tell(namespace, EVENT_NAMESPACE_GONE, out, now_us);
        }
    }
}

fn too_many() -> Error {
    Error::new(Code::Full, format!("an engine has at most {NAMESPACES_MAX} namespaces"))
}

fn tell(child: &Namespace, kind: u32, out: &mut Outbox, time_us: u64) {
    let (name, status) = (&*child.name, child.parent as i32);
    out.push(&child.queue, &Event { kind, nsp: child.id, name, status, time_us, ..Event::default() });
}
