//! Owns what becomes of a large block that outgrows its segment and has it to itself: the segment becomes that of a huge
//! block, which grows where it is, and nothing is copied. Called by `resize`.

use core::ptr;

use super::segment::{Kind, Page, page};
use super::state::State;
use crate::layout::PAGE;

/// Before the block may be free what is one part in so many of it: in a huge segment that is lost.
const FRONT: usize = 8;

impl State {
    /// Makes the large block of `pages` pages at `run` a huge one of `size` bytes, for which segments have no room. Null if
    /// something else lies in its segment, or that cannot grow; nothing has changed then.
    #[inline(never)]
    pub fn outgrow(&self, run: Page, pages: usize, size: usize) -> *mut u8 {
        let can = self.capabilities;
        if !can.grow_in_place && !can.move_without_copy {
            return ptr::null_mut();
        }
        // They may lie in this segment.
        self.give_spares();
        if !self.is_alone(run, pages) {
            return ptr::null_mut();
        }
        self.make_huge(run, pages);
        let resized = self.resize_huge(run.segment, size, PAGE);
        if resized.is_null() {
            self.make_large(run, pages);
        }
        resized
    }

    /// Whether the large block at `run` has its segment to itself, and that is fit to be a huge block's.
    fn is_alone(&self, run: Page, pages: usize) -> bool {
        let header = run.segment.header();
        let used = self.geometry.pages - header.free_pages.get() as usize;
        let first = header.header_pages.get() as usize;
        let end = run.index + pages;
        run.segment != self.first
            && first + pages == used
            && run.index - first <= pages / FRONT
            // A huge block fills half of its grant, and ends where a grant might.
            && 2 * end >= self.geometry.pages
            && (end * PAGE).is_multiple_of(self.capabilities.granularity)
    }

    /// The free runs before and behind the block of `pages` pages at `run`, which has its segment to itself; of no pages where there
    /// is none.
    fn free_around(&self, run: Page, pages: usize) -> [(Page, usize); 2] {
        let segment = run.segment;
        let first = self.geometry.header_end.div_ceil(PAGE);
        let before = (
            Page {
                segment,
                index: first,
            },
            run.index - first,
        );
        let behind = run.plus(pages);
        [before, (behind, self.geometry.pages - behind.index)]
    }

    /// Makes the block at `run` a huge one of the same length, and its segment that of a huge block.
    fn make_huge(&self, run: Page, pages: usize) {
        let (segment, header) = (run.segment, run.segment.header());
        for (first, pages) in self.free_around(run, pages) {
            if pages > 0 {
                let free = self.free_runs.run_at(&self.geometry, first);
                self.free_runs.remove(&self.geometry, free);
            }
        }
        self.map_huge(segment, run.index);
        header.kind.set(Kind::Huge);
        header.free_pages.set(0);
        header.block.set(pages * PAGE);
        self.page_segments.set(self.page_segments.get() - 1);
        self.huge_segments.set(self.huge_segments.get() + 1);
    }

    /// Undoes [`make_huge`](Self::make_huge).
    fn make_large(&self, run: Page, pages: usize) {
        let (segment, header) = (run.segment, run.segment.header());
        let around = self.free_around(run, pages);
        self.page_segments.set(self.page_segments.get() + 1);
        self.huge_segments.set(self.huge_segments.get() - 1);
        header.kind.set(Kind::Pages);
        header.block.set(0);
        header.header_pages.set(around[0].0.index as u32);
        header.free_pages.set((around[0].1 + around[1].1) as u32);
        self.mark_header(segment);
        for (first, pages) in around {
            if pages > 0 {
                segment.fill(first.index, pages, page::FREE);
                self.free_runs.insert(&self.geometry, first, pages);
            }
        }
        segment.fill(run.index, pages, page::LARGE_REST);
        segment.fill(run.index, 1, page::LARGE);
        // Asked anew: whoever was told of the soft limit may have stopped the sampling.
        let start = run.start().addr();
        if self.has_sample(start) {
            segment.fill_grains(segment.grain_of(start), 1, page::SAMPLED);
        }
        run.set_span(&self.geometry, pages);
    }
}
