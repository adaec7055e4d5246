//! Owns the samples that are alive, by address, and the filter before them: most blocks that are freed were never
//! sampled, and that must be seen in a few instructions.

use core::cell::Cell;

use hashbrown::HashMap;

/// Places of the filter: 4 KiB, so that it stays in the cache.
const PLACES: usize = 1 << 12;

/// Which addresses may belong to a sample: one flag for many of them, and how many samples share it.
pub struct Filter {
    flags: [Cell<bool>; PLACES],
    counts: [Cell<u32>; PLACES],
}

impl Filter {
    pub const fn new() -> Self {
        Self {
            flags: [const { Cell::new(false) }; _],
            counts: [const { Cell::new(0) }; _],
        }
    }

    #[inline(always)]
    fn place(block: *mut u8) -> usize {
        // The lowest bits tell little: blocks are of 8 bytes and more.
        (block.addr() >> 4) % PLACES
    }

    /// Whether the block may have been entered. No is certain.
    #[inline(always)]
    pub fn may_know(&self, block: *mut u8) -> bool {
        self.flags[Self::place(block)].get()
    }

    fn enter(&self, block: *mut u8) {
        let count = &self.counts[Self::place(block)];
        count.set(count.get() + 1);
        self.flags[Self::place(block)].set(true);
    }

    fn remove(&self, block: *mut u8) {
        let count = &self.counts[Self::place(block)];
        count.set(count.get() - 1);
        self.flags[Self::place(block)].set(count.get() > 0);
    }

    fn clear(&self) {
        self.flags.iter().for_each(|flag| flag.set(false));
        self.counts.iter().for_each(|count| count.set(0));
    }
}

/// A sampled block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Bytes asked for.
    pub size: usize,
    /// The number of the stack that asked.
    pub stack: u32,
    /// Samples taken before this one.
    pub serial: u64,
}

/// The samples that are alive.
#[derive(Default)]
pub struct Live(HashMap<usize, Sample>);

impl Live {
    /// Enters one; what was there under this address is answered (its end was not seen).
    pub fn enter(&mut self, filter: &Filter, block: *mut u8, sample: Sample) -> Option<Sample> {
        let before = self.0.insert(block.addr(), sample);
        if before.is_none() {
            filter.enter(block);
        }
        before
    }

    pub fn remove(&mut self, filter: &Filter, block: *mut u8) -> Option<Sample> {
        let sample = self.0.remove(&block.addr())?;
        filter.remove(block);
        Some(sample)
    }

    pub fn clear(&mut self, filter: &Filter) {
        self.0.clear();
        filter.clear();
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Address and sample of each, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Sample)> {
        self.0.iter().map(|(&address, sample)| (address, sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr;

    #[test]
    fn the_filter_forgets_an_address_with_the_last_block_that_shares_its_place() {
        let filter = std::boxed::Box::new(Filter::new());
        let mut live = Live::default();
        let one = ptr::without_provenance_mut(0x10_0010);
        // The same place in the filter.
        let two = ptr::without_provenance_mut(0x10_0010 + (PLACES << 4));
        let (small, large) = (ptr::without_provenance_mut(0x10_0020), two);
        assert_eq!(Filter::place(one), Filter::place(two));
        let sample = Sample {
            size: 1,
            stack: 0,
            serial: 0,
        };
        assert!(!filter.may_know(one));
        assert_eq!(live.enter(&filter, one, sample), None);
        assert_eq!(live.enter(&filter, two, sample), None);
        assert!(filter.may_know(one) && filter.may_know(large) && !filter.may_know(small));
        assert_eq!(live.remove(&filter, one), Some(sample));
        assert!(filter.may_know(two));
        assert_eq!(live.remove(&filter, one), None);
        assert_eq!(live.remove(&filter, two), Some(sample));
        assert!(!filter.may_know(two));
        live.enter(&filter, two, sample);
        live.clear(&filter);
        assert!(!filter.may_know(two) && live.len() == 0);
    }
}
