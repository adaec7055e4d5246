//! Owns looking for runs without a block in use among the larger small classes only: their free blocks are few for the
//! pages they take, so that this costs little even in a large heap. (`collect` looks at all classes.) Called by `large`.

use core::ptr;

use super::large::SCATTERED_TO;
use super::segment::{PageInfo, Segment};
use super::state::{FreeBlock, State};
use crate::layout::PAGE;
use crate::size_class::{CLASSES, blocks_of_class, class_of, pages_of_class};

/// Blocks of classes from this size on are looked at.
const SWEPT_FROM: usize = 384;

/// How many free blocks of a class are looked at, those last freed: what became free together lies there together.
const MOST: usize = 4096;

/// A heap of which less than one part in this many is in no block is not swept, nor is one again that has not grown by
/// such a part since it was swept for little.
const PART: usize = 16;

/// What it was swept for is little if it is less than one part in this many.
const LITTLE: usize = 32;

/// What a run's count of free blocks becomes once it is known to be free.
const LEAVES: *mut PageInfo = ptr::without_provenance_mut(usize::MAX);

impl State {
    /// Whether the heap is to be swept before it grows: smaller ones are collected.
    pub fn sweep_is_due(&self) -> bool {
        let held = self.held.get();
        held > SCATTERED_TO && held >= self.sweep_at.get() && held - self.usage.now() >= held / PART
    }

    /// Frees the pages of runs that have no block in use. Answers how many bytes.
    pub fn sweep(&self) -> usize {
        let first = class_of(SWEPT_FROM).unwrap_or(CLASSES);
        let pages: usize = (first..CLASSES)
            .filter(|&class| self.run_counts[class].get() > 1)
            .map(|class| self.sweep_class(class) * pages_of_class(class))
            .sum();
        let held = self.held.get();
        let little = pages * PAGE < held / LITTLE;
        self.sweep_at
            .set(if little { held + held / PART } else { 0 });
        pages * PAGE
    }

    /// As [`sweep`](Self::sweep), for one class. Answers how many runs.
    fn sweep_class(&self, class: usize) -> usize {
        let free = || {
            let mut block = self.list(class).head.get();
            core::iter::from_fn(move || {
                // SAFETY: a list holds null or a free block, whose first word leads to the next.
                let node = unsafe { block.as_ref() }?;
                block = node.next.get();
                Some(node)
            })
            .take(MOST)
        };
        for info in free().filter_map(|block| self.info_of_run(class, block)) {
            info.previous.set(ptr::null_mut());
        }
        for info in free().filter_map(|block| self.info_of_run(class, block)) {
            let count = info.previous.get().addr() + 1;
            info.previous.set(ptr::without_provenance_mut(count));
        }
        // Blocks of runs that are free leave the list, and their runs are strung together.
        let all = ptr::without_provenance_mut(blocks_of_class(class));
        let mut leaving: *mut PageInfo = ptr::null_mut();
        let mut place = &self.list(class).head;
        for block in free() {
            let info = self.info_of_run(class, block);
            if let Some(info) = info.filter(|info| info.previous.get() == all) {
                info.previous.set(LEAVES);
                info.next.set(leaving);
                leaving = ptr::from_ref(info).cast_mut();
            }
            if info.is_some_and(|info| info.previous.get() == LEAVES) {
                place.set(block.next.get());
            } else {
                place = &block.next;
            }
        }
        let mut runs = 0;
        // SAFETY: an info of a segment that is alive: giving a run back ends a segment only if no other run is left in it.
        while let Some(info) = unsafe { leaving.as_ref() } {
            let run = self.geometry.page_of(leaving);
            leaving = info.next.get();
            self.run_counts[class].set(self.run_counts[class].get() - 1);
            self.give_pages(run, pages_of_class(class));
            runs += 1;
        }
        runs
    }

    /// Where the free blocks are counted of the run in which a free block of `class` lies. None for a run that stays
    /// anyway: a short one, or the newest, of which not all blocks are carved.
    fn info_of_run(&self, class: usize, block: &FreeBlock) -> Option<&'static PageInfo> {
        let address = ptr::from_ref(block).addr();
        // SAFETY: the block lies in a segment of this heap.
        let segment = unsafe { Segment::at(self.geometry.segment_address(address)) };
        if self.in_nursery(segment, segment.grain_of(address)) {
            return None;
        }
        let run = self.run_of(segment, class, address);
        (!self.holds_fresh(class, run)).then(|| run.first().info(&self.geometry))
    }
}
