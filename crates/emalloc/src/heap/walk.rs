//! Owns the walk through everything in a heap: segments, runs, live blocks.
//! Reports, maps and leak lists are made of it.

use super::Heap;
use super::collect::Run;
use super::fault::PageUse;
use super::modes::mode;
use super::place::page_use;
use super::segment::{Kind, class_in};
use super::state::State;
use crate::layout::PAGE;
use crate::size_class::{MAX_RUN, size_of_class};

/// One thing met on a walk. After a segment come its runs, after a run of blocks its live blocks,
/// all by rising address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// A segment.
    Segment {
        /// Where the storage granted it.
        address: usize,
        /// Its bytes.
        size: usize,
        /// Whether it holds one huge block rather than pages.
        huge: bool,
    },
    /// A run of pages with one use.
    Run {
        /// Its first byte.
        address: usize,
        /// Its bytes.
        size: usize,
        /// What it is for.
        holds: PageUse,
        /// For small blocks: bytes of each; otherwise 0.
        block_size: usize,
        /// For small blocks: how many there is room for; otherwise 0.
        blocks: usize,
    },
    /// A block in use.
    Block {
        /// Its first byte.
        address: usize,
        /// Bytes it can hold.
        size: usize,
    },
}

/// The most blocks any run has, in words of 64.
const WORDS: usize = 512 / 64;

/// Which blocks of a small run are free or not carved yet.
pub(super) struct FreeMap {
    words: [u64; WORDS],
}

impl FreeMap {
    /// Marks block `number`; says whether it was marked already.
    pub fn mark(&mut self, number: usize) -> bool {
        let (word, bit) = (&mut self.words[number / 64], 1 << (number % 64));
        let was = *word & bit != 0;
        *word |= bit;
        was
    }

    pub fn is_marked(&self, number: usize) -> bool {
        self.words[number / 64] & 1 << (number % 64) != 0
    }
}

impl State {
    /// The map of a small run's free blocks, while the lists are sorted by run.
    /// The second answer is whether no block was on the list twice.
    pub fn free_map(&self, class: usize, run: Run) -> (FreeMap, bool) {
        let size = size_of_class(class);
        let start = run.start();
        let mut map = FreeMap { words: [0; WORDS] };
        let mut once = true;
        for block in self.free_blocks(class, run) {
            once &= !map.mark((block.addr() - start) / size);
        }
        if self.holds_fresh(class, run) {
            let from = (self.fresh[class].next.get().addr() - start) / size;
            for number in from..run.blocks(class) {
                once &= !map.mark(number);
            }
        }
        (map, once)
    }

    fn visit_run(&self, run: Run, visit: &mut dyn FnMut(Item)) {
        let (address, size) = (run.start(), run.bytes());
        let holds = page_use(run.byte);
        let Some(class) = class_in(run.byte) else {
            visit(Item::Run {
                address,
                size,
                holds,
                block_size: 0,
                blocks: 0,
            });
            if holds == PageUse::Large {
                self.visit_block(address, size, visit);
            }
            return;
        };
        let (block_size, blocks) = (size_of_class(class), run.blocks(class));
        visit(Item::Run {
            address,
            size,
            holds,
            block_size,
            blocks,
        });
        let (map, _) = self.free_map(class, run);
        for number in (0..blocks).filter(|&number| !map.is_marked(number)) {
            self.visit_block(address + number * block_size, block_size, visit);
        }
    }

    /// A block, as the program knows it.
    fn visit_block(&self, address: usize, size: usize, visit: &mut dyn FnMut(Item)) {
        let block = match self.debugging() {
            Some(_) => self.block_in_raw(address),
            None => Some((address, size)),
        };
        if let Some((address, size)) = block {
            visit(Item::Block { address, size });
        }
    }
}

/// While it lives, the heap's lists are sorted by run and the heap hands out nothing.
pub(super) struct Walking<'a>(&'a State);

impl<'a> Walking<'a> {
    /// `None` if a walk is under way already.
    pub fn begin(state: &'a State) -> Option<Self> {
        if state.modes.is_walking() {
            return None;
        }
        state.sort_lists();
        state.set_mode(mode::WALKING, true);
        Some(Self(state))
    }
}

impl Drop for Walking<'_> {
    fn drop(&mut self) {
        self.0.set_mode(mode::WALKING, false);
        self.0.unsort_lists();
    }
}

/// Walking.
impl Heap {
    /// Whether somebody walks the heap at this moment, or is shown its leaks: it hands out and takes back nothing then.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// heap.walk(&mut |_| assert!(heap.is_at_rest()));
    /// assert!(!heap.is_at_rest());
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn is_at_rest(&self) -> bool {
        self.state().modes.is_walking()
    }

    /// Visits every segment, run and live block.
    ///
    /// Meanwhile the heap is at rest: requests are refused with [`AllocError::Walking`](super::AllocError), and
    /// blocks cannot be freed. A walk inside a walk visits nothing.
    ///
    /// ```
    /// # use emalloc::heap::{Heap, Item};
    /// let heap = Heap::new()?;
    /// heap.allocate(24);
    /// heap.allocate(100_000);
    /// let mut sizes = Vec::new();
    /// heap.walk(&mut |item| {
    ///     if let Item::Block { size, .. } = item {
    ///         sizes.push(size);
    ///     }
    /// });
    /// sizes.sort();
    /// assert_eq!(sizes, [24, 102_400]);
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn walk(&self, visit: &mut dyn FnMut(Item)) {
        let state = self.state();
        let Some(_walking) = Walking::begin(state) else {
            return;
        };
        for segment in state.segments() {
            let header = segment.header();
            let (address, size) = (header.base.get().addr().get(), header.size.get());
            let huge = header.kind.get() == Kind::Huge;
            visit(Item::Segment {
                address,
                size,
                huge,
            });
            if huge {
                let (address, size) = (state.huge_block(segment).addr(), state.huge_size(segment));
                visit(Item::Run {
                    address,
                    size,
                    holds: PageUse::Huge,
                    block_size: 0,
                    blocks: 0,
                });
                state.visit_block(address, size, visit);
            } else {
                for run in state.runs(segment) {
                    state.visit_run(run, visit);
                }
            }
        }
    }
}

// A run must fit the map: the smallest block is 8 bytes, and only it fills a page with 512.
const _: () = assert!(MAX_RUN <= 8 && WORDS * 64 == PAGE / 8);

#[cfg(test)]
mod tests {
    use super::*;

    // From outside it could only be seen by the time that requests take.
    #[test]
    fn the_fast_paths_are_shut_during_a_walk_and_open_afterwards() {
        for checked in [false, true] {
            let heap = Heap::builder().checked(checked).build().unwrap();
            let blocks = [heap.allocate(24), heap.allocate(24)];
            // SAFETY: alive, and used no more.
            unsafe { heap.free(blocks[0]) };
            let bins = &heap.state().bins;
            let lists = || bins.iter().any(|bin| !bin.list.is_empty());
            let gate = &heap.state().gate;
            let open = || [!gate.is_shut(), gate.is_sized(), lists()];
            assert_eq!(open(), [!checked; 3]);
            heap.walk(&mut |_| assert_eq!(open(), [false; 3]));
            assert_eq!(open(), [!checked; 3]);
            assert!(heap.check().is_ok());
            assert_eq!(open(), [!checked; 3]);
        }
    }
}
