//! The TaskManagers as placement fills them: what is free on each, in the order in which it is taken.
//!
//! The emptiest comes first, so that jobs spread: fewer of them share the fate of a TaskManager, and of one job fewer
//! slots do.

use super::TaskManager;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Slots by index of the room.
pub(super) type Held = BTreeMap<usize, u32>;

/// All TaskManagers.
pub(super) struct Rooms {
    rooms: Vec<Room>,
    /// Rooms with free slots that take new tasks, by load.
    order: BTreeSet<(u64, usize)>,
}

struct Room {
    slots: u32,
    free: u32,
    memory: u64,
    /// All of its memory.
    whole: u64,
    /// Takes what is new.
    open: bool,
    /// Keeps what is there.
    keeps: bool,
}

impl Room {
    /// Slots of so much memory that fit.
    fn fits(&self, memory: u64) -> u32 {
        match self.memory.checked_div(memory) {
            Some(slots) => u32::try_from(slots).unwrap_or(u32::MAX).min(self.free),
            None => self.free,
        }
    }

    fn load(&self) -> u64 {
        let used = u64::from(self.slots.saturating_sub(self.free));
        (used << 32).checked_div(u64::from(self.slots)).unwrap_or(u64::MAX)
    }
}

impl Rooms {
    /// Empty rooms; indexes are those of `taskmanagers`.
    pub(super) fn new(taskmanagers: &[&TaskManager]) -> Self {
        use super::Availability::{Active, Cordoned};
        let room = |offer: &&TaskManager| Room {
            slots: offer.slots,
            free: offer.slots,
            memory: offer.memory,
            whole: offer.memory,
            open: offer.state == Active,
            keeps: matches!(offer.state, Active | Cordoned),
        };
        let rooms: Vec<Room> = taskmanagers.iter().map(room).collect();
        let open = rooms.iter().enumerate().filter(|(_, room)| room.open && room.free > 0);
        let order = open.map(|(index, room)| (room.load(), index)).collect();
        Self { rooms, order }
    }

    /// Slots and memory of all rooms that hold anything.
    pub(super) fn total(&self) -> (u64, u64) {
        let usable = self.rooms.iter().filter(|room| room.keeps);
        usable.fold((0, 0), |(slots, memory), room| {
            (u64::saturating_add(slots, room.slots.into()), u64::saturating_add(memory, room.whole))
        })
    }

    /// Whether new tasks may come here.
    pub(super) fn is_open(&self, index: usize) -> bool {
        self.rooms.get(index).is_some_and(|room| room.open)
    }

    /// Takes no new tasks into the rooms of `class` from now on.
    pub(super) fn close(&mut self, class: &[bool]) {
        for (index, room) in self.rooms.iter_mut().enumerate() {
            if class.get(index) == Some(&true) {
                self.order.remove(&(room.load(), index));
                room.open = false;
            }
        }
    }

    /// How many of `slots` a job that has them here may keep.
    pub(super) fn kept(&self, index: usize, slots: u32, memory: u64) -> u32 {
        self.rooms.get(index).filter(|room| room.keeps).map_or(0, |room| room.fits(memory).min(slots))
    }

    /// Takes slots of so much memory each, which are known to be there.
    pub(super) fn take(&mut self, index: usize, slots: u32, memory: u64) {
        self.change(index, |room| {
            room.free = room.free.saturating_sub(slots);
            room.memory = room.memory.saturating_sub(memory.saturating_mul(slots.into()));
        });
    }

    /// Gives them back.
    pub(super) fn give(&mut self, index: usize, slots: u32, memory: u64) {
        self.change(index, |room| {
            room.free = room.free.saturating_add(slots).min(room.slots);
            room.memory = room.memory.saturating_add(memory.saturating_mul(slots.into()));
        });
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut Room)) {
        let Some(room) = self.rooms.get_mut(index) else { return };
        self.order.remove(&(room.load(), index));
        change(room);
        if room.open && room.free > 0 {
            self.order.insert((room.load(), index));
        }
    }

    /// How many slots of so much memory fit into a room, if it is open.
    pub(super) fn fits(&self, index: usize, memory: u64) -> u64 {
        self.rooms.get(index).filter(|room| room.open).map_or(0, |room| room.fits(memory).into())
    }

    /// How many slots of so much memory fit into the open rooms of `class`.
    pub(super) fn capacity(&self, class: &[bool], memory: u64) -> u64 {
        let open = self.order.iter().filter(|(_, index)| class.get(*index) == Some(&true));
        open.map(|(_, index)| self.fits(*index, memory)).sum()
    }

    /// How many would fit if all open rooms were empty.
    pub(super) fn could(&self, class: &[bool], memory: u64) -> u64 {
        let rooms = self.rooms.iter().zip(class).filter(|(room, offers)| room.open && **offers);
        rooms.map(|(room, _)| room.whole.checked_div(memory).unwrap_or(u64::MAX).min(room.slots.into())).sum()
    }

    /// Where `slots` more of a job that holds `held` would go: into rooms that have fewest of it, of those into the
    /// emptiest. None if they do not all fit.
    pub(super) fn find(&self, class: &[bool], memory: u64, slots: u32, held: &Held) -> Option<Held> {
        let fitting = self.order.iter().map(|(_, index)| *index).filter(|index| class.get(*index) == Some(&true));
        let fitting = fitting.map(|index| (index, self.fits(index, memory))).filter(|(_, fits)| *fits > 0);
        // So many rooms are enough for each slot to have one to itself that holds none of the job yet.
        let rooms: Vec<(usize, u64)> = fitting.take((slots as usize).saturating_add(held.len())).collect();
        let first = rooms
            .iter()
            .enumerate()
            .map(|(at, (index, fits))| Reverse((held.get(index).copied().unwrap_or_default(), at, *index, *fits)));
        let mut next: BinaryHeap<_> = first.collect();
        let mut found = Held::new();
        for _ in 0..slots {
            let Reverse((count, at, index, left)) = next.pop()?;
            *found.entry(index).or_default() += 1;
            if left > 1 {
                next.push(Reverse((count.saturating_add(1), at, index, left - 1)));
            }
        }
        Some(found)
    }
}
