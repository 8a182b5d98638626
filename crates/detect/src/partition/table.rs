//! Processes by key, in the order they were last heard of: a map into slots that form a ring.

use std::collections::HashMap;

use super::{Key, Process};

const NONE: usize = usize::MAX;

#[derive(Debug)]
struct Slot {
    key: Key,
    process: Process,
    bytes: usize,
    newer: usize,
    older: usize,
}

#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    places: HashMap<Key, usize>,
    newest: usize,
    oldest: usize,
    bytes: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { slots: vec![], free: vec![], places: HashMap::new(), newest: NONE, oldest: NONE, bytes: 0 }
    }
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, key: Key) -> Option<&Process> {
        self.places.get(&key).and_then(|place| self.slots[*place].as_ref()).map(|slot| &slot.process)
    }

    /// The process, which is now the newest heard of.
    pub(super) fn touch(&mut self, key: Key) -> Option<&Process> {
        let place = *self.places.get(&key)?;
        if place != self.newest {
            self.unlink(place);
            self.link(place);
        }
        self.slots[place].as_ref().map(|slot| &slot.process)
    }

    pub(super) fn insert(&mut self, key: Key, process: Process) {
        self.remove(key);
        let bytes = process.bytes();
        let slot = Slot { key, process, bytes, newer: NONE, older: NONE };
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place] = Some(slot);
                place
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() - 1
            }
        };
        self.bytes += bytes;
        self.places.insert(key, place);
        self.link(place);
    }

    pub(super) fn remove(&mut self, key: Key) -> bool {
        let Some(place) = self.places.remove(&key) else { return false };
        self.unlink(place);
        if let Some(slot) = self.slots[place].take() {
            self.bytes -= slot.bytes;
        }
        self.free.push(place);
        true
    }

    /// Forgets the one not heard of for longest, unless it is `spare`.
    pub(super) fn evict_oldest(&mut self, spare: Key) -> bool {
        let oldest = self.slots.get(self.oldest).and_then(Option::as_ref).map(|slot| slot.key);
        oldest.is_some_and(|key| key != spare && self.remove(key))
    }

    fn slot(&mut self, place: usize) -> Option<&mut Slot> {
        self.slots.get_mut(place).and_then(Option::as_mut)
    }

    fn link(&mut self, place: usize) {
        let newest = self.newest;
        if let Some(slot) = self.slot(place) {
            (slot.newer, slot.older) = (NONE, newest);
        }
        match self.slot(newest) {
            Some(former) => former.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }

    fn unlink(&mut self, place: usize) {
        let Some((newer, older)) = self.slot(place).map(|slot| (slot.newer, slot.older)) else { return };
        match self.slot(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slot(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }
}
