//! Owns [`Samples`]: the table of sampled blocks that are alive, and what was
//! sampled by place. It has memory of its own, of a fixed size. Used by `sample`.

use core::cell::Cell;
use core::mem::size_of;
use core::ptr::NonNull;

use super::chance::{Chance, likelihood};
use super::sample::{Estimate, Sampling, SiteProfile};
use super::site::Site;
use super::slots::Slots;
use crate::layout::GRAIN_SHIFT;

/// A sampled block that is alive.
#[derive(Clone, Copy)]
struct Record {
    address: usize,
    /// Its bytes, and how many bytes were allocated to get it there, which decided how likely it was to be sampled.
    size: usize,
    charged: usize,
    /// Where in the table of sites.
    site: u32,
    /// How many blocks it stands for. Kept, because it takes long to work out.
    count: f32,
}

impl Record {
    /// What it stands for.
    fn estimate(&self) -> Estimate {
        let count = f64::from(self.count);
        Estimate {
            samples: 1,
            count,
            bytes: count * self.size as f64,
        }
    }
}

/// Multiplied by this, numbers that differ little differ in their upper bits.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// The fewest records worth a table.
const FEWEST: usize = 64;

/// The head of the table. Behind it lie the slots of its records and sites.
pub(super) struct Samples {
    pub sampling: Sampling,
    /// Bytes of all this.
    pub size: usize,
    chance: Chance,
    /// A power of two.
    records: Slots<Record>,
    /// What is known of each place. The one at number 0 stands for all that found no room.
    sites: Slots<SiteProfile>,
    alive: Cell<usize>,
    lost: Cell<u64>,
}

impl Samples {
    /// Makes a table in the `size` bytes at `start`. `None` if that is too little.
    ///
    /// # Safety
    /// They are the caller's, aligned to a page, and live as long as the table is used.
    pub unsafe fn set_up(
        start: NonNull<u8>,
        size: usize,
        sampling: Sampling,
        seed: u64,
    ) -> Option<NonNull<Self>> {
        // Beside the head, words for bits that are not all used.
        let room = size.checked_sub(size_of::<Self>() + 2 * size_of::<u64>())?;
        // Records name them by 32 bits.
        let sites = (room / 4 / (size_of::<SiteProfile>() + 1)).min(u32::MAX as usize);
        let rest = room - room / 4;
        let records = 1 << (rest / (size_of::<Record>() + 1)).checked_ilog2()?;
        if sites < 2 || records < FEWEST {
            return None;
        }
        // SAFETY: a bit and a value for each were counted to fit, and words for bits that are left over.
        let first = unsafe { start.add(size_of::<Self>()) };
        // SAFETY: as above.
        let second = unsafe { first.add(Slots::<Record>::bytes(records)) };
        let table = start.cast::<Self>();
        let content = Self {
            sampling,
            size,
            chance: Chance::new(seed),
            // SAFETY: there is room for them, and all sizes are multiples of a word.
            records: unsafe { Slots::set_up(first, records) },
            // SAFETY: as above.
            sites: unsafe { Slots::set_up(second, sites) },
            alive: Cell::new(0),
            lost: Cell::new(0),
        };
        // SAFETY: there is room for it, and a page is aligned enough.
        unsafe { table.write(content) };
        Some(table)
    }

    /// The record at `number`, counted around, if there is one.
    #[inline(always)]
    fn record(&self, number: usize) -> Option<Record> {
        self.records.get(self.around(number))
    }

    /// Bytes to the next sample.
    pub fn gap(&self) -> usize {
        self.chance.gap(self.sampling.bytes())
    }

    /// Samples that found no room.
    pub fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// Where to look for a block at `address` first: all blocks that begin in a grain are found from one place on.
    fn home(&self, address: usize) -> usize {
        let hash = ((address >> GRAIN_SHIFT) as u64).wrapping_mul(MIX);
        self.around((hash >> 32) as usize)
    }

    /// Where the records are in which a block of the grain of `address` may be.
    fn near(&self, address: usize) -> impl Iterator<Item = (usize, Record)> {
        let home = self.home(address);
        (home..).map_while(|number| Some((number, self.record(number)?)))
    }

    fn find(&self, address: usize) -> Option<(usize, Record)> {
        self.near(address)
            .find(|(_, record)| record.address == address)
    }

    /// Whether a block that begins in the same grain as `address` is among the sampled ones.
    pub fn has_grain(&self, address: usize) -> bool {
        let grain = address >> GRAIN_SHIFT;
        self.near(address)
            .any(|(_, record)| record.address >> GRAIN_SHIFT == grain)
    }

    /// Takes note of the block at `address`, of `size` bytes, that was allocated at `at`. Says whether it is among the sampled
    /// ones now.
    pub fn enter(&self, address: usize, size: usize, at: Site<'_>) -> bool {
        let mut number = self.home(address);
        while let Some(record) = self.record(number) {
            if record.address == address {
                // It grew where it is, and is known.
                return true;
            }
            number += 1;
        }
        let record = Record {
            address,
            size,
            charged: size,
            site: self.site_of(at) as u32,
            count: self.count(size),
        };
        let has_room = self.alive.get() < self.records.count() / 8 * 7;
        self.change(record.site, |profile| {
            profile.allocated.add(record.estimate());
            if has_room {
                profile.live.add(record.estimate());
            }
        });
        if has_room {
            self.put_at(number, record);
        } else {
            self.lost.set(self.lost.get() + 1);
        }
        has_room
    }

    /// The block at `old`, if it is a sampled one, is now one of `size` bytes at `new`.
    pub fn moved(&self, old: usize, new: usize, size: usize) {
        if let Some(mut record) = self.take(old) {
            if size > record.size {
                record.charged += size - record.size;
                record.count = self.count(record.charged);
            }
            (record.address, record.size) = (new, size);
            self.put(record);
        }
    }

    /// Forgets the block at `address`. Says whether it was a sampled one.
    pub fn remove(&self, address: usize) -> bool {
        self.take(address).is_some()
    }

    /// Forgets all blocks, which were left over.
    pub fn forget(&self) {
        if self.alive.replace(0) == 0 {
            return;
        }
        for number in self.records.taken() {
            if let Some(record) = self.record(number) {
                self.records.clear(number);
                self.change(record.site, |profile| {
                    profile.left.add(record.estimate());
                    profile.live = Estimate::NONE;
                });
            }
        }
    }

    /// The address of some sampled block.
    pub fn any(&self) -> Option<usize> {
        let number = self.records.taken().next()?;
        Some(self.record(number)?.address)
    }

    /// What is known of the first place from number `from` on, and its number.
    pub fn profile_from(&self, from: usize) -> Option<(usize, SiteProfile)> {
        (from..self.sites.count()).find_map(|number| Some((number, self.sites.get(number)?)))
    }

    fn put(&self, record: Record) {
        let mut number = self.home(record.address);
        while self.record(number).is_some() {
            number += 1;
        }
        self.put_at(number, record);
        self.change(record.site, |profile| profile.live.add(record.estimate()));
    }

    /// Puts a record at `number`, counted around, where there is none.
    fn put_at(&self, number: usize, record: Record) {
        self.records.put(self.around(number), record);
        self.alive.set(self.alive.get() + 1);
    }

    fn around(&self, number: usize) -> usize {
        number & (self.records.count() - 1)
    }

    fn take(&self, address: usize) -> Option<Record> {
        let (mut gap, record) = self.find(address)?;
        // What follows must be found without the record: whatever the gap would cut off moves into it.
        let mut number = gap + 1;
        while let Some(next) = self.record(number) {
            let behind = |from: usize| self.around(number.wrapping_sub(from));
            if behind(self.home(next.address)) >= behind(gap) {
                self.records.put(self.around(gap), next);
                gap = number;
            }
            number += 1;
        }
        self.records.clear(self.around(gap));
        self.alive.set(self.alive.get() - 1);
        self.change(record.site, |profile| {
            profile.live.subtract(record.estimate());
        });
        Some(record)
    }

    /// How many blocks one sample stands for that came to be by allocating `charged` bytes.
    fn count(&self, charged: usize) -> f32 {
        (1.0 / likelihood(charged, self.sampling.bytes())) as f32
    }

    fn change(&self, number: u32, change: impl FnOnce(&mut SiteProfile)) {
        if let Some(mut profile) = self.sites.get(number as usize) {
            change(&mut profile);
            self.sites.put(number as usize, profile);
        }
    }

    /// The number of the place `at`, which is entered if it is new.
    fn site_of(&self, at: Site<'_>) -> usize {
        let (at, origin) = at.parts();
        // The end of the file's name differs most. (A loop over bytes would take as long as all the rest.)
        let file = at.file_bytes();
        let (before, end) = file.split_at(file.len().saturating_sub(8));
        let word = |bytes: &[u8]| {
            bytes
                .last_chunk()
                .map_or(0, |&word| u64::from_ne_bytes(word))
        };
        let name = word(end) ^ word(before).rotate_left(29) ^ u64::from(at.line());
        let hash = (name.wrapping_mul(MIX) >> 32) as usize;
        // (Number 0 is not among these.)
        let count = self.sites.count() - 1;
        for step in 0..count.min(64) {
            let number = 1 + hash.wrapping_add(step) % count;
            match self.sites.get(number) {
                Some(profile) if profile.at == at && profile.origin == origin => return number,
                Some(_) => {}
                None => {
                    self.sites.put(number, SiteProfile::new(at, origin));
                    return number;
                }
            }
        }
        if self.sites.get(0).is_none() {
            self.sites.put(0, SiteProfile::new(Site::UNKNOWN, None));
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::PAGE;
    use crate::storage::{MALLOC, Storage};

    #[test]
    fn a_block_that_grows_stands_for_as_many_as_its_bytes_are_likely_to_be_hit() {
        const SIZE: usize = 16 * PAGE;
        const EVERY: usize = 100_000;
        let memory = MALLOC.allocate(SIZE, PAGE).unwrap().start;
        // SAFETY: granted above, and freed below.
        let table = unsafe { Samples::set_up(memory, SIZE, Sampling::every(EVERY), 1) };
        // SAFETY: it lives until it is freed.
        let samples = unsafe { table.unwrap().as_ref() };
        let live = || samples.profile_from(0).unwrap().1.live;
        samples.enter(PAGE, 1000, Site::UNKNOWN);
        // Smaller by now, it took no fewer bytes to get there.
        for (size, charged) in [(1000, 1000), (50_000, 50_000), (10, 50_000), (510, 50_500)] {
            samples.moved(PAGE, PAGE, size);
            let count = f64::from((1.0 / likelihood(charged, EVERY)) as f32);
            assert_eq!((live().samples, live().count), (1, count), "{size}");
            assert_eq!(live().bytes, count * size as f64);
        }
        // SAFETY: granted above, and used no more.
        unsafe { MALLOC.free(memory, SIZE, PAGE) };
    }
}
