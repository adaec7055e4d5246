//! Owns blocks of the size classes, beyond the fast path: carves blocks out of
//! runs, a few at a time, so that memory is not touched before it is needed.
//! Called by `allocate`, `free`, `resize`.

use core::ptr;

use super::collect::Run;
use super::list::List;
use super::segment::{Segment, code_in_map, unmarked};
use super::state::State;
use crate::layout::PAGE;
use crate::size_class::{bytes_of_class, grains_of_short_run, pages_of_class, size_of_class};

/// The first run of pages of a class begins with a batch of this many blocks.
const FIRST_BATCH: usize = 8;

impl State {
    /// A block of `class`; `requested` is for the error. Null after `refuse`.
    pub fn allocate_small(&self, class: usize, requested: usize) -> *mut u8 {
        let block = self.take_small(class, requested);
        if block.is_null() {
            return block;
        }
        self.usage.add(size_of_class(class));
        if self.geometry.checked() {
            self.set_alive(block, true);
        }
        block
    }

    /// A block of `class` that is counted nowhere yet. Null after `refuse`.
    #[cold]
    #[inline(never)]
    pub fn take_small(&self, class: usize, requested: usize) -> *mut u8 {
        let list = self.list(class);
        let block = list.pop();
        if !block.is_null() {
            return block;
        }
        list.clear();
        if self.cold.is_on() {
            let block = self.take_cold(class, list);
            if !block.is_null() {
                return block;
            }
        }
        if self.fresh[class].bytes.get() == 0 && !self.add_run(class, requested) {
            return ptr::null_mut();
        }
        // Looked for again: a handler that was told of the soft limit may have begun or ended to observe.
        self.carve(class, self.list(class))
    }

    /// Gives `class` a new run. Says no after `refuse`.
    fn add_run(&self, class: usize, requested: usize) -> bool {
        let Some(run) = self
            .take_short_run(class)
            .or_else(|| self.take_run(class, requested))
        else {
            return false;
        };
        // A handler that was told of the soft limit may have used the heap and got a run meanwhile.
        while self.fresh[class].bytes.get() > 0 {
            let list = self.list(class);
            list.push(self.carve(class, list));
        }
        let bytes = run.blocks(class) * size_of_class(class);
        let start = run.segment.byte(run.start() - run.segment.address());
        self.fresh[class].next.set(start);
        self.fresh[class].bytes.set(bytes);
        self.run_counts[class].set(self.run_counts[class].get() + 1);
        true
    }

    /// A run of pages for `class`. `None` after `refuse`.
    fn take_run(&self, class: usize, requested: usize) -> Option<Run> {
        let pages = pages_of_class(class);
        let first = self.find_pages(pages, PAGE, code_in_map(class), requested)?;
        for back in 0..pages {
            first.plus(back).set_span(&self.geometry, back);
        }
        if self.cold.is_on() {
            self.make_hot(class, first);
        }
        let next = first.plus(pages);
        if next.index < self.geometry.pages {
            self.fetch_ahead(next.start());
        }
        Some(Run::of_pages(first, pages))
    }

    /// The next block of the class's newest run, which has one; the few after it go on the list.
    #[inline]
    fn carve(&self, class: usize, list: &List) -> *mut u8 {
        let size = size_of_class(class);
        let fresh = &self.fresh[class];
        let (block, bytes) = (fresh.next.get(), fresh.bytes.get());
        // As much again as the run has given so far, up to the end of the page: a heap that needs few
        // blocks is spared the rest, one that needs many is soon served by the page. (A short run counts as the
        // end of a whole one, and is carved at once.)
        let given = bytes_of_class(class) - bytes;
        let most = match self.run_counts[class].get() {
            1 | 2 => given.max(FIRST_BATCH * size),
            _ => PAGE,
        };
        let to_page_end = PAGE - block.addr() % PAGE;
        let batch = to_page_end.min(most).min(bytes);
        let taken = list.link(block, size, batch);
        let next = block.wrapping_add(taken);
        fresh.next.set(next);
        fresh.bytes.set(bytes - taken);
        if batch == to_page_end && bytes > taken {
            self.fetch_ahead(next);
        }
        block
    }

    /// The run of `class` in which `address` lies.
    pub fn run_of(&self, segment: Segment, class: usize, address: usize) -> Run {
        let (mut grain, byte) = (segment.grain_of(address), code_in_map(class));
        if self.in_nursery(segment, grain) {
            // A class has one short run at most; the grain before the nursery is the header's.
            while unmarked(segment.grain(grain - 1)) == byte {
                grain -= 1;
            }
            return Run {
                segment,
                grain,
                grains: grains_of_short_run(class),
                byte,
            };
        }
        Run::of_pages(self.first_page(segment, address), pages_of_class(class))
    }

    /// Whether the block at `address` lies where its class's run is not carved yet.
    pub fn is_uncarved(&self, class: usize, address: usize) -> bool {
        let fresh = &self.fresh[class];
        let start = fresh.next.get().addr();
        (start..start + fresh.bytes.get()).contains(&address)
    }

    /// Notes in checked mode that the block at `block` is in use, or not.
    pub fn set_alive(&self, block: *mut u8, alive: bool) {
        let segment = self.find_segment(self.geometry.segment_address(block.addr()));
        if let Some(segment) = segment {
            let (word, bit) = segment.live_bit(&self.geometry, block.addr());
            word.set(if alive {
                word.get() | bit
            } else {
                word.get() & !bit
            });
        }
    }
}
