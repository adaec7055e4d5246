//! Owns [`Samples`]: the table of sampled blocks that are alive, and what was
//! sampled by place. It has memory of its own, of a fixed size. Used by `sample`.

use core::cell::Cell;
use core::mem::size_of;
use core::ptr::NonNull;

use super::chance::{Chance, likelihood};
use super::sample::{Estimate, Sampling, SiteProfile};
use super::site::Site;
use crate::layout::GRAIN_SHIFT;

/// A sampled block that is alive; an empty place if its address is 0.
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
    const NONE: Self = Self {
        address: 0,
        size: 0,
        charged: 0,
        site: 0,
        count: 0.0,
    };

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

/// Bits in a word.
const WORD: usize = u64::BITS as usize;

/// What is known of one place. The one at number 0 stands for all that found no room.
type Entry = Option<SiteProfile>;

/// The head of the table. Behind it lie `sites` entries, `records` records, and a bit for each of these.
pub(super) struct Samples {
    pub sampling: Sampling,
    /// Bytes of all this.
    pub size: usize,
    chance: Chance,
    sites: usize,
    /// A power of two.
    records: usize,
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
        let room = size.checked_sub(size_of::<Self>())?;
        // Records name them by 32 bits.
        let sites = (room / 4 / size_of::<Cell<Entry>>()).min(u32::MAX as usize);
        let rest = room - sites * size_of::<Cell<Entry>>();
        let records = 1 << (rest / (size_of::<Cell<Record>>() + 1)).checked_ilog2()?;
        if sites < 2 || records < WORD {
            return None;
        }
        let table = start.cast::<Self>();
        let content = Self {
            sampling,
            size,
            chance: Chance::new(seed),
            sites,
            records,
            alive: Cell::new(0),
            lost: Cell::new(0),
        };
        // SAFETY: there is room for it, and a page is aligned enough.
        unsafe { table.write(content) };
        // SAFETY: just written; the caller keeps it alive.
        let samples = unsafe { table.as_ref() };
        for number in 0..sites {
            // SAFETY: sites and records were counted to fit.
            unsafe { samples.site_at(number).write(Cell::new(None)) };
        }
        for number in 0..records {
            // SAFETY: as above.
            unsafe { samples.record_at(number).write(Cell::new(Record::NONE)) };
        }
        for number in 0..records / WORD {
            // SAFETY: a byte more was counted for each record, which is more than a bit.
            unsafe { samples.used_at(number).write(Cell::new(0)) };
        }
        Some(table)
    }

    fn site_at(&self, number: usize) -> *mut Cell<Entry> {
        let first = (&raw const *self).wrapping_add(1).cast::<Cell<Entry>>();
        first.wrapping_add(number).cast_mut()
    }

    fn record_at(&self, number: usize) -> *mut Cell<Record> {
        let first = self.site_at(self.sites).cast::<Cell<Record>>();
        first.wrapping_add(number)
    }

    fn used_at(&self, number: usize) -> *mut Cell<u64> {
        let first = self.record_at(self.records).cast::<Cell<u64>>();
        first.wrapping_add(number)
    }

    fn site(&self, number: usize) -> &Cell<Entry> {
        debug_assert!(number < self.sites);
        // SAFETY: that many were written when the table was set up.
        unsafe { &*self.site_at(number) }
    }

    /// The record at `number`, counted around.
    fn record(&self, number: usize) -> &Cell<Record> {
        // SAFETY: that many were written when the table was set up.
        unsafe { &*self.record_at(number & (self.records - 1)) }
    }

    /// Writes the record at `number`, counted around.
    fn set(&self, number: usize, record: Record) {
        let number = number & (self.records - 1);
        self.record(number).set(record);
        // SAFETY: that many words were written when the table was set up.
        let used = unsafe { &*self.used_at(number / WORD) };
        let bit = 1 << (number % WORD);
        used.set(if record.address != 0 {
            used.get() | bit
        } else {
            used.get() & !bit
        });
    }

    /// The numbers of all records in use.
    fn used(&self) -> impl Iterator<Item = usize> {
        (0..self.records / WORD).flat_map(|word| {
            // SAFETY: as above.
            let mut bits = unsafe { &*self.used_at(word) }.get();
            core::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
                (bit < WORD).then_some(word * WORD + bit)
            })
        })
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
        let hash = ((address >> GRAIN_SHIFT) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash >> 32) as usize & (self.records - 1)
    }

    /// Where the records are in which a block of the grain of `address` may be.
    fn near(&self, address: usize) -> impl Iterator<Item = (usize, Record)> {
        let home = self.home(address);
        (home..)
            .map(|number| (number, self.record(number).get()))
            .take_while(|(_, record)| record.address != 0)
    }

    fn find(&self, address: usize) -> Option<usize> {
        let mut found = self
            .near(address)
            .filter(|(_, record)| record.address == address);
        found.next().map(|(number, _)| number)
    }

    /// Whether a block that begins in the same grain as `address` is among the sampled ones.
    pub fn has_grain(&self, address: usize) -> bool {
        let grain = address >> GRAIN_SHIFT;
        self.near(address)
            .any(|(_, record)| record.address >> GRAIN_SHIFT == grain)
    }

    /// Takes note of the block at `address`, of `size` bytes, that was allocated at `at`.
    pub fn enter(&self, address: usize, size: usize, at: Site<'_>) {
        if self.find(address).is_some() {
            // It grew where it is, and is known.
            return;
        }
        let record = Record {
            address,
            size,
            charged: size,
            site: self.site_of(at) as u32,
            count: self.count(size),
        };
        self.change(record.site, |profile| {
            profile.allocated.add(record.estimate());
        });
        if self.alive.get() >= self.records / 8 * 7 {
            self.lost.set(self.lost.get() + 1);
            return;
        }
        self.put(record);
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
        for number in self.used() {
            let record = self.record(number).get();
            self.set(number, Record::NONE);
            self.change(record.site, |profile| {
                profile.left.add(record.estimate());
                profile.live = Estimate::NONE;
            });
        }
        self.alive.set(0);
    }

    /// The addresses of all sampled blocks.
    pub fn addresses(&self) -> impl Iterator<Item = usize> {
        self.used().map(|number| self.record(number).get().address)
    }

    /// What is known of the first place from number `from` on, and its number.
    pub fn profile_from(&self, from: usize) -> Option<(usize, SiteProfile)> {
        (from..self.sites).find_map(|number| Some((number, self.site(number).get()?)))
    }

    fn put(&self, record: Record) {
        let mut number = self.home(record.address);
        while self.record(number).get().address != 0 {
            number += 1;
        }
        self.set(number, record);
        self.alive.set(self.alive.get() + 1);
        self.change(record.site, |profile| profile.live.add(record.estimate()));
    }

    fn take(&self, address: usize) -> Option<Record> {
        let mut gap = self.find(address)?;
        let record = self.record(gap).get();
        self.set(gap, Record::NONE);
        // What follows must be found without the record: whatever the gap would cut off moves into it.
        let mut number = gap;
        loop {
            number += 1;
            let next = self.record(number).get();
            if next.address == 0 {
                break;
            }
            let behind = |from: usize| number.wrapping_sub(from) & (self.records - 1);
            if behind(self.home(next.address)) >= behind(gap) {
                self.set(gap, next);
                self.set(number, Record::NONE);
                gap = number;
            }
        }
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
        let site = self.site(number as usize);
        if let Some(mut profile) = site.get() {
            change(&mut profile);
            site.set(Some(profile));
        }
    }

    /// The number of the place `at`, which is entered if it is new.
    fn site_of(&self, at: Site<'_>) -> usize {
        let (at, origin) = at.parts();
        let file = at.file_bytes();
        let last = file.iter().rev().take(16);
        let hash = last.fold(at.line() as usize, |hash, &byte| {
            hash.wrapping_mul(31).wrapping_add(byte.into())
        });
        // (Number 0 is not among these.)
        let count = self.sites - 1;
        for step in 0..count.min(64) {
            let number = 1 + hash.wrapping_add(step) % count;
            match self.site(number).get() {
                Some(profile) if profile.at == at && profile.origin == origin => return number,
                Some(_) => {}
                None => {
                    self.site(number).set(Some(SiteProfile::new(at, origin)));
                    return number;
                }
            }
        }
        if self.site(0).get().is_none() {
            self.site(0)
                .set(Some(SiteProfile::new(Site::unknown(), None)));
        }
        0
    }
}
